/* SPDX-License-Identifier: MIT */
/* Whether a context is done, and how one end becomes the end of a whole subtree.
 *
 * A walk ends linked contexts at once. Its work list is threaded through the contexts themselves, so
 * it neither allocates nor recurses. Unlinked contexts look for an end above when they are asked. */
#include "internal.h"

/* Ends the live, unlinked contexts between the done ancestor `from` and `c`. Walks upwards in runs of
 * contexts with the same deadline. A deadline that had passed when the ancestor ended came first,
 * and its owner is the topmost context of the run. A deadline at the same time as a cancel counts as
 * passed, as it does for linked contexts and for a ctx_err just before the cancel. If the ancestor
 * ended by its own deadline, that deadline is the time. */
static void inherit(ctx_t* c, ctx_t* from) {
  uint64_t passed_ns = from->ended_ns + (from->due.status == -CTX_CANCELED);
  while (c != from) {
    uint64_t at_ns = c->due.at_ns;
    if (at_ns >= passed_ns) {
      ctx__mark(c, -(int)from->due.status, from->cause, from->ended_ns);
      c = c->parent;
      continue;
    }
    ctx_t* owner = c;
    while (owner->parent != from && owner->parent->due.at_ns == at_ns) owner = owner->parent;
    ctx_cause_t* cause = owner->cause;
    for (; c != owner; c = c->parent) ctx__mark(c, CTX_DEADLINE_EXCEEDED, cause, at_ns);
    ctx__mark(owner, CTX_DEADLINE_EXCEEDED, cause, at_ns);
    c = owner->parent;
  }
}

bool ctx__pull(ctx_t* c) {
  if (ctx__linked(c)) return false;
  uint64_t epoch = c->tree->epoch;
  ctx_t* up = c->parent;
  while (up != NULL && up->due.status == 0 && !ctx__linked(up) && up->seen != epoch) {
    up = up->parent;
  }
  if (up != NULL && up->due.status != 0) {
    inherit(c, up);
    return true;
  }
  for (; c != up; c = c->parent) c->seen = epoch;
  return false;
}

/* Ends the owners of arms. The arms that are done are a list by `prev`. An owner has other arms, which
 * may be anywhere in the tree; so this waits until the walk is over. */
static ctx_t* pop_owner(ctx_t** arms) {
  while (*arms != NULL) {
    ctx_t* arm = *arms;
    *arms = arm->prev;
    ctx_t* owner = arm->owner;
    bool first = owner->due.status == 0;
    if (first) {
      ctx__any_disarm(owner);
      ctx__unlink(owner);
      ctx__mark(owner, -(int)arm->due.status, arm->cause, arm->ended_ns);
    }
    ctx__drop_cause(arm);
    if (first) return owner;
  }
  return NULL;
}

/* Takes `c`, which has just been marked as done, out of the heap, readies its watchers, and puts
 * its children in front of the rest of the work. Returns the next context of the work. */
static ctx_t* settle(ctx_t* c, ctx_t* rest) {
  if (c->due.index != 0) ctx__heap_remove(c->tree, &c->due);
  if (c->watchers != NULL) ctx__ready_all(c);
  ctx_t* first = c->children;
  if (first == NULL) return rest;
  c->children = NULL;
  first->prev->next = rest;
  return first;
}

/* Ends all linked contexts below `top`, which is marked and unlinked already. Appends the arms among
 * them to the list that ends at `*last_arm`; returns its new end. */
static ctx_t** walk(ctx_t* top, ctx_t** last_arm) {
  ctx_tree_t* tree = top->tree;
  if (top->due.flags & CTX__PARENT) tree->epoch++;
  int status = -(int)top->due.status;
  ctx_t* work = settle(top, NULL);
  while (work != NULL) {
    ctx_t* c = work;
    work = c->next;
    c->due.flags &= (uint8_t)~CTX__LINKED;
    if (c->due.kind < CTX__ARM) tree->counters.linked--;
    ctx__mark(c, status, top->cause, top->ended_ns);
    if (c->due.kind == CTX__ARM) {
      c->prev = NULL;
      *last_arm = c;
      last_arm = &c->prev;
    } else if (c->due.kind == CTX__FLAG) {
      ctx__flag_hear(c);
    } else {
      work = settle(c, work);
    }
  }
  return last_arm;
}

/* For a context that is watched, or has a watched descendant. */
static void finish_linked(ctx_t* top, int status, uint64_t ended_ns) {
  ctx_tree_t* tree = top->tree;
  ctx_t* arms = NULL;
  ctx_t** last_arm = &arms;
  if (top->due.kind == CTX__ANY) ctx__any_disarm(top);
  ctx__unlink(top);
  ctx__mark(top, status, top->cause, ended_ns);
  last_arm = walk(top, last_arm);
  for (;;) {
    ctx_t* owner = pop_owner(&arms);
    if (owner == NULL) break;
    if (arms == NULL) last_arm = &arms;
    last_arm = walk(owner, last_arm);
  }
  if (top->parent != NULL) ctx__prune(top->parent);
  if (tree->ready.next != &tree->ready) ctx__wake(tree, 0);
}

void ctx__finish(ctx_t* top, int status, uint64_t ended_ns) {
  ctx_t* parent = top->parent;
  if (ctx__linked(top)) {
    finish_linked(top, status, ended_ns);
  } else {
    ctx__mark(top, status, top->cause, ended_ns);
    if (top->due.flags & CTX__PARENT) top->tree->epoch++;
  }
  /* All ancestors are live: remember it. Otherwise contexts that end from the innermost outwards, as
   * functions return, would each look up to the root, in quadratic time. (An `any` has no `seen`.) */
  if (parent != NULL && parent->due.kind != CTX__ANY) parent->seen = parent->tree->epoch;
}

void ctx__expire(ctx_t* c) {
  uint64_t at_ns = c->due.at_ns;
  ctx_t* owner = c;
  for (;;) {
    if (owner->due.kind == CTX__ANY) {
      owner = owner->arms;
      while (owner->due.at_ns != at_ns) owner = owner->arms;
    } else if (owner->parent != NULL && owner->parent->due.at_ns == at_ns) {
      owner = owner->parent;
    } else {
      break;
    }
  }
  /* Earlier deadlines in the heap go first: a poll must not let this one overtake them. The order
   * counts for their watchers, and for two sources of one `any`. */
  if (ctx__linked(owner)) ctx__expire_due(c->tree, at_ns);
  if (owner->due.status == 0) ctx__finish(owner, CTX_DEADLINE_EXCEEDED, at_ns);
  if (c->due.status == 0) (void)ctx__pull(c);
}

void ctx__cancel(ctx_t* c, ctx_cause_t* cause) {
  ctx_tree_t* tree = c->tree;
  if (c->due.status != 0) return;
  if (c->seen != tree->epoch && ctx__pull(c)) return;
  /* The clock is read only where it matters: where a deadline, here or below, may have passed
   * unnoticed. */
  uint64_t now_ns = tree->now_ns;
  if (c->due.at_ns != CTX_NEVER || (c->due.flags & (CTX__PARENT | CTX__LINKED))) {
    now_ns = ctx__now_coarse(tree);
    if (c->due.at_ns <= now_ns) {
      ctx__expire(c);
      return;
    }
    ctx__expire_due(tree, now_ns);
    if (c->due.status != 0) return;
  }
  ctx__set_cause(c, cause);
  ctx__finish(c, CTX_CANCELED, now_ns);
}

void ctx_cancel(ctx_t* c, ctx_cause_t* cause) {
  if (c->due.kind > CTX__WITHOUT) ctx__cancel(c, cause);
}
