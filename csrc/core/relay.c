/* SPDX-License-Identifier: MIT */
/* Relays: contexts that do not pass on the causes of other owners, and that may be put between a
 * context and its parent. For bindings, whose contexts a garbage collector frees. */
#include "internal.h"

static ctx_relay_t* open_relay(ctx_relay_t* r, ctx_cause_t* own) {
  r->own = own;
  r->given = NULL;
  r->c.due.flags |= CTX__BORROWS | CTX__RELAYS;
  return r;
}

static void retain(ctx_cause_t* cause) {
  if (cause != NULL && cause->ops != NULL && cause->ops->retain != NULL) cause->ops->retain(cause);
}

static void release(ctx_cause_t* cause) {
  if (cause != NULL && cause->ops != NULL && cause->ops->release != NULL) {
    cause->ops->release(cause);
  }
}

ctx_cause_t* ctx__relay_cause(ctx_relay_t* r, ctx_cause_t* cause) {
  if (cause == NULL || cause->ops == r->own->ops) return cause;
  retain(cause);
  ctx__relay_drop(r);
  r->given = cause;
  return r->own;
}

void ctx__relay_drop(ctx_relay_t* r) {
  ctx_cause_t* given = r->given;
  r->given = NULL;
  release(given);
}

int ctx_relay(ctx_relay_t* r, ctx_t* arm, ctx_t* source, ctx_cause_t* own) {
  int err = ctx_any(&r->c, arm, &source, 1);
  if (err != 0) return err;
  ctx_cause_t* cause = r->c.cause; /* of a relay that is done from the start, which retains it */
  retain(cause);
  ctx__drop_cause(&r->c);
  ctx__set_cause(&open_relay(r, own)->c, cause);
  release(cause);
  return 0;
}

/* -- In another's place ------------------------------------------------------------------------ */

/* Puts `above` in the place of the linked `c`, in the heap and among its siblings, with `c` as its only
 * child. The deadline of `c` is now that of its parent. */
static void replace(ctx_t* above, ctx_t* c) {
  ctx_tree_t* tree = c->tree;
  if (c->due.index != 0) ctx__heap_replace(tree, &c->due, &above->due);
  ctx_t** first = above->parent != NULL ? &above->parent->children : &tree->roots;
  if (c->next == c) {
    above->next = above->prev = above;
  } else {
    above->next = c->next;
    above->prev = c->prev;
    above->next->prev = above->prev->next = above;
  }
  if (*first == c) *first = above;
  above->children = c->next = c->prev = c;
  above->due.flags |= CTX__LINKED;
  tree->counters.linked++;
}

/* Moves the watchers of `c` to `above`: they keep their order before later watchers. */
static void hand_over_watchers(ctx_t* above, ctx_t* c) {
  ctx_watcher_t* first = c->watchers;
  if (first == NULL) return;
  above->watchers = first;
  c->watchers = NULL;
  ctx_watcher_t* w = first;
  do {
    w->c = above;
    w = w->next;
  } while (w != first);
}

void ctx_interpose(ctx_relay_t* r, ctx_t* c, ctx_cause_t* own) {
  ctx_t* above = &r->c;
  (void)ctx_err(c);
  ctx__init(above, c->tree, c->parent, (enum ctx__kind)c->due.kind);
  ctx__set_cause(&open_relay(r, own)->c, c->cause);
  c->tree->counters.derived++;
  above->due.at_ns = c->due.at_ns;
  /* Equal deadlines in the heap are sorted by `order`: `above` gets that of `c`, and `c` a new one. */
  uint64_t order = above->due.order;
  above->due.order = c->due.order;
  c->due.order = order;
  if (c->due.status != 0) {
    ctx__mark(above, -(int)c->due.status, above->cause, c->ended_ns);
    return;
  }
  if (c->due.kind <= CTX__WITHOUT) return; /* neither ends with the other */
  above->due.flags |= CTX__PARENT;
  bool linked = ctx__linked(c);
  if (linked) replace(above, c);
  c->parent = above;
  if (linked) hand_over_watchers(above, c);
  ctx__prune(c);
}
