/* SPDX-License-Identifier: MIT */
/* Semaphores: which waiter may go on, in the order of asking.
 *
 * A waiter watches its context, and is called in the turn after its end. Until then it stays in the
 * queue, so granting units passes over waiters whose context is done. If units were granted in the
 * turn in which the context ended, they are released when the waiter is called. */
#include "internal.h"

enum {
  IDLE, /* in no list: not in use, or passed over */
  QUEUED,
  OVERSIZED,
  GRANTED
};

void ctx_semaphore_init(ctx_semaphore_t* s, ctx_tree_t* tree, uint64_t size) {
  *s = (ctx_semaphore_t){.tree = tree, .size = size};
}

static bool fits(const ctx_semaphore_t* s, uint64_t n) {
  return s->held <= s->size && n <= s->size - s->held;
}

static void append_acquire(ctx_acquires_t* list, ctx_acquire_t* a) {
  a->next = NULL;
  a->prev = list->last;
  if (list->last != NULL) {
    list->last->next = a;
  } else {
    list->first = a;
  }
  list->last = a;
}

static void enqueue_acquire(ctx_semaphore_t* s, ctx_acquire_t* a) {
  a->state = a->n > s->size ? OVERSIZED : QUEUED;
  if (s->queue.first == NULL) s->largest = 0;
  if (a->state == QUEUED && a->n > s->largest) s->largest = a->n;
  append_acquire(a->state == OVERSIZED ? &s->oversized : &s->queue, a);
}

/* Takes an acquire out of its list. */
static void dequeue_acquire(ctx_acquire_t* a) {
  if (a->state == IDLE) return;
  ctx_acquires_t* list = a->state == OVERSIZED ? &a->s->oversized : &a->s->queue;
  if (a->next != NULL) {
    a->next->prev = a->prev;
  } else {
    list->last = a->prev;
  }
  if (a->prev != NULL) {
    a->prev->next = a->next;
  } else {
    list->first = a->next;
  }
  a->next = a->prev = NULL;
  a->state = IDLE;
}

static void call(ctx_watcher_t* w);

/* Grants free units to the first waiters. A waiter for which there are too few delays all others, even
 * if there are enough for them: otherwise a large request might never get its turn. Waiters whose
 * context is done leave the queue here, or each call would pass over them again; their own call is on
 * its way. */
static void hand_out(ctx_semaphore_t* s) {
  for (ctx_acquire_t* a; (a = s->queue.first) != NULL;) {
    bool live = ctx_err(a->c) == 0;
    if (live && !fits(s, a->n)) return;
    dequeue_acquire(a);
    if (!live) continue;
    s->held += a->n;
    a->state = GRANTED;
    (void)ctx_unwatch(&a->watcher);
    ctx__watcher_ready(s->tree, &a->watcher, call);
  }
}

/* The watcher's call: the units were granted, or the context is done. */
static void call(ctx_watcher_t* w) {
  ctx_acquire_t* a = CTX__CONTAINER(w, ctx_acquire_t, watcher);
  ctx_semaphore_t* s = a->s;
  int err = ctx_err(a->c);
  if (a->state == GRANTED) {
    a->state = IDLE;
    if (err != 0) s->held -= a->n;
  } else {
    dequeue_acquire(a);
  }
  a->s = NULL;
  if (err != 0) hand_out(s);
  a->fn(a, err);
}

int ctx_semaphore_acquire(ctx_semaphore_t* s, ctx_t* c, ctx_acquire_t* a, uint64_t n,
                          ctx_acquire_fn fn) {
  int err = ctx_err(c);
  if (err != 0) return err;
  if (ctx_semaphore_try_acquire(s, n)) return 0;
  err = ctx_watch(c, &a->watcher, call);
  if (err != 0) return err;
  a->s = s;
  a->c = c;
  a->n = n;
  a->order = s->asked++;
  a->fn = fn;
  enqueue_acquire(s, a);
  return CTX_PENDING;
}

bool ctx_semaphore_try_acquire(ctx_semaphore_t* s, uint64_t n) {
  if (s->queue.first != NULL || !fits(s, n)) return false;
  s->held += n;
  return true;
}

int ctx_semaphore_release(ctx_semaphore_t* s, uint64_t n) {
  if (n > s->held) return CTX_EINVAL;
  s->held -= n;
  hand_out(s);
  return 0;
}

static ctx_acquire_t* take_first(ctx_acquires_t* list) {
  ctx_acquire_t* a = list->first;
  list->first = a->next;
  return a;
}

/* Sorts all waiters into the two lists again. */
static void sort(ctx_semaphore_t* s) {
  ctx_acquires_t queue = s->queue, oversized = s->oversized;
  s->queue = s->oversized = (ctx_acquires_t){NULL, NULL};
  /* Both by the order of asking, so that a waiter keeps its place while it is oversized. */
  while (queue.first != NULL || oversized.first != NULL) {
    bool from_queue = oversized.first == NULL ||
                      (queue.first != NULL && queue.first->order < oversized.first->order);
    enqueue_acquire(s, take_first(from_queue ? &queue : &oversized));
  }
}

void ctx_semaphore_resize(ctx_semaphore_t* s, uint64_t size) {
  s->size = size;
  if (s->oversized.first != NULL || (s->queue.first != NULL && s->largest > size)) sort(s);
  hand_out(s);
}

bool ctx_acquire_stop(ctx_acquire_t* a) {
  ctx_semaphore_t* s = a->s;
  if (s == NULL) return false;
  (void)ctx_unwatch(&a->watcher);
  if (a->state == GRANTED) {
    a->state = IDLE;
    s->held -= a->n;
  } else {
    dequeue_acquire(a);
  }
  a->s = NULL;
  hand_out(s);
  return true;
}
