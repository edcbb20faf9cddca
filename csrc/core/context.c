/* SPDX-License-Identifier: MIT */
/* One context: made, read, released. */
#include "internal.h"

void ctx__init(ctx_t* c, ctx_tree_t* tree, ctx_t* parent, enum ctx__kind kind) {
  c->due.at_ns = parent != NULL ? parent->due.at_ns : CTX_NEVER;
  c->due.order = ++tree->made;
  c->due.index = 0;
  c->due.kind = (uint8_t)kind;
  c->due.status = 0;
  c->due.flags = 0;
  c->tree = tree;
  c->parent = parent;
  c->cause = NULL;
  c->seen = tree->epoch;
  c->children = NULL;
  c->watchers = NULL;
  c->next = NULL;
  c->prev = NULL;
  c->name = NULL;
}

void ctx__drop_cause(ctx_t* c) {
  if (c->due.flags & CTX__OWNS_CAUSE) {
    c->due.flags &= (uint8_t)~CTX__OWNS_CAUSE;
    if (c->cause->ops != NULL && c->cause->ops->release != NULL) c->cause->ops->release(c->cause);
  }
  c->cause = NULL;
}

void ctx__set_cause(ctx_t* c, ctx_cause_t* cause) {
  if (c->cause == cause) return;
  if (c->due.flags & CTX__RELAYS) {
    cause = ctx__relay_cause((ctx_relay_t*)(void*)c, cause);
    if (c->cause == cause) return;
  }
  /* Retain first: the old cause may hold the only reference to the new one. */
  bool owns = cause != NULL && !(c->due.flags & CTX__BORROWS);
  if (owns && cause->ops != NULL && cause->ops->retain != NULL) cause->ops->retain(cause);
  ctx__drop_cause(c);
  c->cause = cause;
  if (owns) c->due.flags |= CTX__OWNS_CAUSE;
}

void ctx__mark(ctx_t* c, int status, ctx_cause_t* cause, uint64_t ended_ns) {
  ctx__set_cause(c, cause);
  c->due.status = (uint8_t)-status;
  c->ended_ns = ended_ns;
  if (c->due.kind >= CTX__ARM) return;
  if (status == CTX_CANCELED) {
    c->tree->counters.canceled++;
  } else {
    c->tree->counters.expired++;
  }
}

/* Everything but the deadline of a context that can be done. */
static void derive(ctx_t* c, ctx_t* parent, enum ctx__kind kind) {
  ctx_tree_t* tree = parent->tree;
  if (parent->due.status == 0 && parent->seen != tree->epoch) (void)ctx__pull(parent);
  ctx__init(c, tree, parent, kind);
  parent->due.flags |= CTX__PARENT;
  tree->counters.derived++;
  if (parent->due.status != 0) {
    ctx__mark(c, -(int)parent->due.status, parent->cause, parent->ended_ns);
  }
}

void ctx_with_cancel(ctx_t* c, ctx_t* parent) {
  derive(c, parent, CTX__CANCEL);
}

void ctx_with_deadline(ctx_t* c, ctx_t* parent, uint64_t deadline_ns, ctx_cause_t* cause) {
  /* Done from the start. Then it matters whether the parent's deadline has passed and came first. */
  if (deadline_ns <= parent->tree->now_ns) (void)ctx_err(parent);
  derive(c, parent, CTX__DEADLINE);
  /* Also for a context that is done from the start: in Go it has its deadline, too. */
  if (deadline_ns >= c->due.at_ns) return;
  c->due.at_ns = deadline_ns;
  if (c->due.status != 0) return;
  ctx__set_cause(c, cause);
  /* Not ctx_now: the caller has just read the clock to compute the deadline. If the deadline has
   * passed since, the first ctx_err notices. */
  if (deadline_ns <= c->tree->now_ns) ctx__mark(c, CTX_DEADLINE_EXCEEDED, c->cause, deadline_ns);
}

void ctx_with_timeout(ctx_t* c, ctx_t* parent, uint64_t timeout_ns, ctx_cause_t* cause) {
  ctx_with_deadline(c, parent, ctx_time_add(ctx_now(parent->tree), timeout_ns), cause);
}

void ctx_without_cancel(ctx_t* c, ctx_t* parent) {
  ctx__init(c, parent->tree, NULL, CTX__WITHOUT);
  parent->tree->counters.derived++;
}

int ctx_err(ctx_t* c) {
  if (c->due.status == 0 && (c->seen == c->tree->epoch || !ctx__pull(c)) &&
      c->due.at_ns != CTX_NEVER && c->due.at_ns <= ctx__now_coarse(c->tree)) {
    ctx__expire(c);
  }
  return -(int)c->due.status;
}

ctx_cause_t* ctx_cause(ctx_t* c) {
  ctx_cause_t* cause = ctx_err(c) != 0 ? c->cause : NULL;
  /* A relay's own cause stands for the cause that the relay was given. */
  for (ctx_t* x = c; x != NULL && cause != NULL; x = x->parent) {
    const ctx_relay_t* r = (const ctx_relay_t*)(const void*)x;
    if ((x->due.flags & CTX__RELAYS) && r->own == cause && r->given != NULL) return r->given;
  }
  return cause;
}

uint64_t ctx_deadline(const ctx_t* c) {
  return c->due.at_ns;
}

void ctx_set_name(ctx_t* c, const char* name) {
  c->name = name;
}

const char* ctx_name(const ctx_t* c) {
  return c->name;
}

const ctx_t* ctx_parent(const ctx_t* c) {
  return c->parent;
}

bool ctx_can_end(const ctx_t* c) {
  return c->due.kind > CTX__WITHOUT;
}

uint64_t ctx_id(const ctx_t* c) {
  return c->due.order;
}

void ctx_borrow_cause(ctx_t* c) {
  ctx_cause_t* cause = c->cause;
  ctx__drop_cause(c);
  c->cause = cause;
  c->due.flags |= CTX__BORROWS;
}

void ctx_release(ctx_t* c) {
  if (c->due.kind <= CTX__TODO || (c->due.flags & CTX__RELEASED)) return;
  /* Not ctx_cancel, which does nothing on a ctx_without_cancel: its memory is freed, too, and no
   * watcher, arm or ear may stay linked in it. */
  ctx__cancel(c, NULL);
  if (c->due.flags & CTX__RELAYS) {
    ctx__relay_drop((ctx_relay_t*)(void*)c);
  } else {
    ctx__drop_cause(c);
  }
  c->due.flags |= CTX__RELEASED;
}

const char* ctx_strerror(int code) {
  switch (code) {
#define CTX_ERRNO(name, value, text)                                                               \
  case CTX_##name: return text;
    CTX_ERRNO_MAP(CTX_ERRNO)
#undef CTX_ERRNO
  default: return "unknown error";
  }
}
