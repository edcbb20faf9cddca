/* SPDX-License-Identifier: MIT */
#include <ctx/ctx.h> /* which includes this in its turn */

#ifndef CTX_TYPES_H
#define CTX_TYPES_H

/* The structures of ctx.h, which includes this. They are public because of their size only, so that
 * callers can own their memory. The library owns their fields, except `data`, which is for the
 * caller: the library neither reads nor writes it. */

/* An entry of the heap: the beginning of a context and of a timer, so that one heap has both. */
typedef struct ctx_due_s {
  uint64_t at_ns; /* of a context: the earlier of its own and its parent's */
  uint64_t order; /* of equal times, the lower comes first; also a context's id */
  uint32_t index; /* place in the heap, from 1; 0: not in it */
  uint8_t kind;   /* CTX__TIMER, or the kind of the context */
  uint8_t status; /* 0, or minus the code of ctx_err */
  uint8_t flags;
} ctx_due_t;

struct ctx_watcher_s {
  void* data;
  ctx_watcher_t *next, *prev; /* circular, in the context's list or the tree's ready list */
  ctx_t* c;                   /* NULL once ready */
  ctx_tree_t* tree;           /* NULL when not in use */
  ctx_watcher_fn fn;
};

struct ctx_timer_s {
  void* data;
  ctx_due_t due;
  ctx_watcher_t ready; /* its link in the ready list once due */
  ctx_timer_fn fn;
};

struct ctx_s {
  ctx_due_t due;
  ctx_tree_t* tree;
  ctx_t* parent;      /* nearest ancestor that can be done; NULL: none */
  ctx_cause_t* cause; /* live: the deadline's; done: the cause that counts */
  union {
    uint64_t seen; /* the tree's epoch when it was last found live */
    ctx_t* arms;   /* an `any`: its first arm; an arm: the next one */
  };
  ctx_t* children;         /* linked ones, circular by `next` and `prev`; the first */
  ctx_watcher_t* watchers; /* circular; the first */
  union {
    ctx_t* next;       /* linked: the next sibling */
    uint64_t ended_ns; /* done: the time of the end; a deadline's own, not when it was noticed */
  };
  ctx_t* prev; /* linked: the sibling before; an arm that is done: see cancel.c */
  union {
    const char* name;
    ctx_t* owner; /* an arm: its `any` */
  };
};

struct ctx_relay_s {
  ctx_t c; /* first */
  ctx_cause_t *own, *given;
};

struct ctx_acquire_s {
  void* data;
  ctx_watcher_t watcher; /* of the context; once granted, in the ready list */
  ctx_acquire_t *next, *prev;
  ctx_semaphore_t* s; /* NULL when not in use */
  ctx_t* c;
  uint64_t n;
  uint64_t order; /* of asking */
  ctx_acquire_fn fn;
  uint8_t state;
};

/* Acquires that wait, in the order of asking. */
typedef struct ctx_acquires_s {
  ctx_acquire_t *first, *last;
} ctx_acquires_t;

struct ctx_semaphore_s {
  ctx_tree_t* tree;
  uint64_t size, held;
  uint64_t asked;           /* acquires that have waited so far: the source of `order` */
  uint64_t largest;         /* no acquire in the queue asks for more units */
  ctx_acquires_t queue;     /* for their turn */
  ctx_acquires_t oversized; /* for more than the size */
};

struct ctx_begin_s {
  void* data;
  ctx_acquire_t acquire;
  ctx_group_t* g;
  ctx_begin_fn fn;
};

struct ctx_join_s {
  void* data;
  ctx_watcher_t watcher; /* in the ready list once the tasks have ended */
  ctx_join_t *next, *prev;
  ctx_group_t* g; /* NULL when not in use */
  ctx_join_fn fn;
};

struct ctx_group_s {
  ctx_tree_t* tree;
  ctx_t* c;
  ctx_semaphore_t slots;
  size_t running;
  ctx_join_t *first, *last; /* the waiters */
  bool limited, failed;
};

struct ctx_tree_s {
  const ctx_host_t* host;
  void* data;
  uint64_t now_ns;      /* the latest time read */
  uint64_t epoch;       /* rises when a context ends from which children were derived */
  uint64_t made;        /* contexts and timers made: the source of `order` */
  uint64_t woken_at_ns; /* the time that the host was last asked for */
  struct ctx_heap_entry_s* heap;
  uint32_t heap_size, heap_capacity;
  struct ctx_inbox_s* inbox; /* shared with flags */
  ctx_watcher_t ready;       /* sentinel */
  ctx_t* roots;              /* linked contexts without a parent, circular */
  ctx_counters_t counters;
  ctx_t background, todo;
  bool running, closed;
};

#endif
