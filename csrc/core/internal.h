/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by the files of the core. The invariants of the tree:
 *
 * - A context is LINKED (in its parent's `children`, or in the tree's `roots`) exactly while it
 *   is live and has a watcher or a linked child. The two roots, and a live `any` with its arms, are
 *   always linked. So all ancestors of a linked context are linked and live.
 * - A linked context is in the heap exactly when its deadline is earlier than its parent's.
 * - A child's deadline is never later than its parent's. So an end by deadline belongs to the
 *   deadline's owner: the topmost ancestor with the same deadline.
 * - A done context ended no later than its deadline: ended_ns <= due.at_ns.
 * - A live, unlinked context may have a done ancestor without having noticed it. Then the tree's
 *   epoch has risen since `seen`, and ctx__pull ends the context. */

#define CTX_BUILD
#include <ctx/ctx.h>

/* The core's own names are hidden in the object that it is linked into, with any build system. */
#pragma GCC visibility push(hidden)

enum ctx__kind {
  CTX__TIMER, /* no context */
  CTX__BACKGROUND,
  CTX__TODO,
  CTX__WITHOUT, /* up to here: never done */
  CTX__CANCEL,
  CTX__DEADLINE,
  CTX__ANY,
  CTX__ARM, /* of an `any`, linked in one of its sources */
  CTX__FLAG /* the ear of a flag, linked in its context */
};

enum ctx__flags {
  CTX__LINKED = 1,
  CTX__PARENT = 2,     /* a context was derived from it */
  CTX__BORROWS = 4,    /* does not retain its cause */
  CTX__OWNS_CAUSE = 8, /* its cause is to be released */
  CTX__RELEASED = 16,
  CTX__RELAYS = 32 /* it is the start of a ctx_relay_t */
};

#define CTX__CONTAINER(pointer, type, member)                                                      \
  ((type*)(void*)(&((char*)(pointer))[-(ptrdiff_t)offsetof(type, member)]))

/* context.c: fills in `c` as a live context of this kind below `parent` (or none). */
void ctx__init(ctx_t* c, ctx_tree_t* tree, ctx_t* parent, enum ctx__kind kind);
/* Writes the end of a context into it, and tells nothing else. */
void ctx__mark(ctx_t* c, int status, ctx_cause_t* cause, uint64_t ended_ns);
/* Retains `cause` (may be NULL) unless `c` borrows, and drops the one it had. */
void ctx__set_cause(ctx_t* c, ctx_cause_t* cause);
void ctx__drop_cause(ctx_t* c);

/* cancel.c: */
/* Looks for a done ancestor of the live `c`, and then ends `c`. True if `c` is done now. */
bool ctx__pull(ctx_t* c);
/* Ends the live `top` and everything linked below it, with the cause that `top` has. */
void ctx__finish(ctx_t* top, int status, uint64_t ended_ns);
/* ctx_cancel, also for a ctx_without_cancel. */
void ctx__cancel(ctx_t* c, ctx_cause_t* cause);
/* Ends the owner of the deadline of the live `c`, which has passed. */
void ctx__expire(ctx_t* c);

/* deadline.c: */
uint64_t ctx__now_coarse(ctx_tree_t* tree);
int ctx__heap_push(ctx_tree_t* tree, ctx_due_t* due);
void ctx__heap_remove(ctx_tree_t* tree, ctx_due_t* due);
/* `by` has the same time and order. */
void ctx__heap_replace(ctx_tree_t* tree, ctx_due_t* due, ctx_due_t* by);
uint64_t ctx__heap_first_ns(const ctx_tree_t* tree);
void ctx__heap_close(ctx_tree_t* tree);
/* Ends every linked context and readies every timer that is due at `now_ns`, in order. */
void ctx__expire_due(ctx_tree_t* tree, uint64_t now_ns);
/* Asks the host for a ctx_tree_run at `at_ns`, unless it was asked for an earlier one. */
void ctx__wake(ctx_tree_t* tree, uint64_t at_ns);

/* watch.c: */
/* Links the live `c` and its ancestors. Returns 0, or CTX_ENOMEM with nothing changed. */
int ctx__link(ctx_t* c);
/* Takes `c` out of the list of its siblings. */
void ctx__unlink(ctx_t* c);
/* Unlinks `c`, and its ancestors as far as nothing watches them any more. */
void ctx__prune(ctx_t* c);
/* Puts a watcher that is in no list at the end of the ready list. */
void ctx__ready(ctx_tree_t* tree, ctx_watcher_t* w);
void ctx__ready_all(ctx_t* c);
/* Has fn(w) called on the next turn, without a context. `w` must not be in use. */
void ctx__watcher_ready(ctx_tree_t* tree, ctx_watcher_t* w, ctx_watcher_fn fn);
void ctx__watcher_remove(ctx_watcher_t* w);

/* any.c: unlinks the arms that are still linked. */
void ctx__any_disarm(ctx_t* any);

/* relay.c: */
/* The cause with which `r` ends instead of `cause`, which it keeps if it has another owner. */
ctx_cause_t* ctx__relay_cause(ctx_relay_t* r, ctx_cause_t* cause);
void ctx__relay_drop(ctx_relay_t* r);

/* share.c: */
void ctx__flag_hear(ctx_t* ear);
void ctx__inbox_run(ctx_tree_t* tree);
void ctx__inbox_close(ctx_tree_t* tree);

static inline bool ctx__linked(const ctx_t* c) {
  return (c->due.flags & CTX__LINKED) != 0;
}

#pragma GCC visibility pop
