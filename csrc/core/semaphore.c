/* SPDX-License-Identifier: MIT */
/* Semaphores: which waiter may go on, in the order of asking.
 *
 * A waiter watches its context, and hears of its end in the turn after. Until then it stands in the
 * queue, so handing out units passes over those whose context is done. Units that were handed
 * over in the very turn in which the context ended go back when the waiter is called. */
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

/* Of one that is in a list: out of that. */
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

/* Hands out what is free to those in front. The first that does not fit holds up all behind it,
 * though they would: else a large request might never come to its turn. Those whose context is done
 * leave the queue as they are passed over, or each call would pass over them again; theirs is on its
 * way. */
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

/* The waiter's turn: it was granted, or its context is done. */
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

/* Sorts all that wait into the two lists anew. */
static void sort(ctx_semaphore_t* s) {
  ctx_acquires_t queue = s->queue, oversized = s->oversized;
  s->queue = s->oversized = (ctx_acquires_t){NULL, NULL};
  /* Both by the order of asking: one that is oversized for a while keeps its place. */
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
