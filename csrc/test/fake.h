/* SPDX-License-Identifier: MIT */
#pragma once

/* A host for tests: its clock is moved by hand, its memory is counted and can fail, and it records the
 * requests of the tree. Also watchers, timers and causes for tests: probes, alarms and reasons. */

#include "harness.h"

#include <ctx/ctx.h>

#include <stdatomic.h>

#define MS UINT64_C(1000000)

/* -- Memory ------------------------------------------------------------------------------ */

/* One account for all hosts: flags allocate without a host's data, from any thread. */
static struct {
  atomic_size_t bytes;
  atomic_ulong allocations; /* asked for since the start of the host */
  unsigned long fail_at;    /* the one that fails, counted from 1; 0: none */
  bool fail_on;             /* so do all after it */
  atomic_bool failed;       /* one has */
} memory;

static inline bool memory_fails(void) {
  unsigned long nth = atomic_fetch_add(&memory.allocations, 1) + 1;
  bool fails =
      memory.fail_at && (nth == memory.fail_at || (memory.fail_on && nth > memory.fail_at));
  if (fails) atomic_store(&memory.failed, true);
  return fails;
}

/* Always moves a block, so that a stale pointer shows, and holds the core to its word about the
 * old size. */
static inline void* memory_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  (void)data;
  max_align_t *old = block ? (max_align_t*)block - 1 : NULL, *fresh = NULL;
  ASSERT_EQ(old ? *(size_t*)old : 0, old_size);
  if (new_size > 0) {
    if (memory_fails()) return NULL;
    fresh = malloc(sizeof *fresh + new_size);
    ASSERT(fresh);
    *(size_t*)fresh = new_size;
    if (old) memcpy(fresh + 1, block, old_size < new_size ? old_size : new_size);
  }
  atomic_fetch_add(&memory.bytes, new_size);
  atomic_fetch_sub(&memory.bytes, old_size);
  free(old);
  return fresh ? fresh + 1 : NULL;
}

/* -- The host --------------------------------------------------------------------------- */

typedef struct fake_s {
  ctx_tree_t tree;
  ctx_t* root;      /* the background of `tree` */
  uint64_t now_ns;  /* the clock */
  uint64_t lag_ns;  /* how far the coarse clock is behind */
  uint64_t wake_ns; /* when the tree asked to be run: the last request, until it is served */
  unsigned wakes;   /* requests so far */
  bool running;     /* inside ctx_tree_run */
  atomic_uint soon; /* wake_soon calls not served yet */
  char log[256];    /* a letter for each call of a probe or alarm */
  size_t logged;
} fake_t;

static unsigned fake_open; /* hosts between fake_start and fake_stop */

static inline uint64_t fake_now(void* data) {
  return ((fake_t*)data)->now_ns;
}

static inline uint64_t fake_coarse(void* data) {
  return ((fake_t*)data)->now_ns - ((fake_t*)data)->lag_ns;
}

static inline void fake_wake_at(void* data, uint64_t at_ns) {
  fake_t* f = data;
  f->wake_ns = at_ns;
  f->wakes++;
}

static inline void fake_wake_soon(void* data) {
  atomic_fetch_add(&((fake_t*)data)->soon, 1);
}

static const ctx_host_t fake_host = {fake_now, NULL, fake_wake_at, fake_wake_soon, memory_alloc};
static const ctx_host_t fake_host_coarse = {fake_now, fake_coarse, fake_wake_at, fake_wake_soon,
                                            memory_alloc};
static const ctx_host_t fake_host_alone = {fake_now, NULL, fake_wake_at, NULL, memory_alloc};

static inline void fake_start_on(fake_t* f, const ctx_host_t* host) {
  memset(f, 0, sizeof *f);
  f->now_ns = 1000 * MS;
  f->wake_ns = CTX_NEVER;
  memory.allocations = 0;
  memory.fail_at = 0;
  memory.fail_on = false;
  memory.failed = false;
  ctx_tree_init(&f->tree, host, f);
  f->root = ctx_background(&f->tree);
  fake_open++;
}

static inline void fake_start(fake_t* f) {
  fake_start_on(f, &fake_host);
}

static inline void fake_stop(fake_t* f) {
  ctx_tree_close(&f->tree);
  fake_open--;
}

static inline void fake_run(fake_t* f) {
  f->running = true;
  ctx_tree_run(&f->tree);
  f->running = false;
}

/* One turn of the host's loop: runs the tree if it has asked for that by now. A request serves
 * once, like a loop's timer. Returns whether it did. */
static inline bool fake_turn(fake_t* f) {
  bool soon = atomic_exchange(&f->soon, 0) > 0;
  if (!soon && f->wake_ns > f->now_ns) return false;
  if (f->wake_ns <= f->now_ns) f->wake_ns = CTX_NEVER;
  fake_run(f);
  return true;
}

/* Moves time by `ns` and, at each moment that the tree asked for on the way, runs it. */
static inline void fake_advance(fake_t* f, uint64_t ns) {
  uint64_t end_ns = ctx_time_add(f->now_ns, ns);
  for (unsigned turns = 0;; turns++) {
    ASSERT(turns < 1000000);
    if (fake_turn(f)) continue;
    if (f->wake_ns > end_ns || f->wake_ns == CTX_NEVER) break;
    f->now_ns = f->wake_ns;
  }
  f->now_ns = end_ns;
}

/* Turns until nothing is left to do now. */
static inline void fake_settle(fake_t* f) {
  fake_advance(f, 0);
}

/* The calls since the last look, a letter each, in order. */
static inline const char* fake_calls(fake_t* f) {
  static char calls[sizeof f->log];
  memcpy(calls, f->log, sizeof calls);
  memset(f->log, 0, sizeof f->log);
  f->logged = 0;
  return calls;
}

static inline void fake_note(fake_t* f, char letter) {
  ASSERT(f->running); /* never within the call that set it off */
  if (f->logged + 1 < sizeof f->log) f->log[f->logged++] = letter;
}

static inline ctx_counters_t fake_counters(const fake_t* f) {
  ctx_counters_t counters;
  ctx_counters(&f->tree, &counters);
  return counters;
}

/* -- Probes and alarms: watchers and timers that leave a letter in the log -------------------- */

typedef struct probe_s {
  ctx_watcher_t w; /* first, so that a probe is found from its watcher */
  fake_t* fake;
  void (*then)(struct probe_s* p); /* what it does in its call; may free it */
  void* arg;
  unsigned calls;
  char letter;
} probe_t;

static inline void probe_called(ctx_watcher_t* w) {
  probe_t* p = (probe_t*)w;
  fake_note(p->fake, p->letter);
  p->calls++;
  if (p->then) p->then(p);
}

static inline int probe_try(fake_t* f, probe_t* p, ctx_t* c, char letter) {
  p->fake = f;
  p->letter = letter;
  return ctx_watch(c, &p->w, probe_called);
}

static inline void probe_watch(fake_t* f, probe_t* p, ctx_t* c, char letter) {
  ASSERT_EQ(probe_try(f, p, c, letter), 0);
}

typedef struct alarm_s {
  ctx_timer_t t;
  fake_t* fake;
  void (*then)(struct alarm_s* a);
  void* arg;
  unsigned calls;
  char letter;
} alarm_t;

static inline void alarm_called(ctx_timer_t* t) {
  alarm_t* a = (alarm_t*)t;
  fake_note(a->fake, a->letter);
  a->calls++;
  if (a->then) a->then(a);
}

static inline int alarm_try(fake_t* f, alarm_t* a, uint64_t at_ns, char letter) {
  a->fake = f;
  a->letter = letter;
  return ctx_timer_start(&f->tree, &a->t, at_ns, alarm_called);
}

static inline void alarm_start(fake_t* f, alarm_t* a, uint64_t at_ns, char letter) {
  ASSERT_EQ(alarm_try(f, a, at_ns, letter), 0);
}

/* -- Reasons: causes that count their references ----------------------------------------------- */

typedef struct reason_s {
  ctx_cause_t cause; /* first */
  const char* text;
  atomic_int held;
} reason_t;

static atomic_int reasons_held; /* over all reasons; 0 after each test */

static inline void reason_retain(ctx_cause_t* cause) {
  atomic_fetch_add(&((reason_t*)cause)->held, 1);
  atomic_fetch_add(&reasons_held, 1);
}

static inline void reason_release(ctx_cause_t* cause) {
  ASSERT_INT(atomic_fetch_sub(&((reason_t*)cause)->held, 1), >, 0);
  atomic_fetch_sub(&reasons_held, 1);
}

static inline const char* reason_message(const ctx_cause_t* cause) {
  return ((const reason_t*)cause)->text;
}

static const ctx_cause_ops_t reason_ops = {reason_retain, reason_release, reason_message};

#define REASON(name) reason_t name = {{&reason_ops}, #name, 0}

/* What a context is done with, in one line of a test. */
#define ASSERT_DONE(c, code, reason)                                                               \
  do {                                                                                             \
    ASSERT_EQ(ctx_err(c), code);                                                                   \
    ASSERT_PTR_EQ(ctx_cause(c), reason);                                                           \
  } while (0)
#define ASSERT_LIVE(c) ASSERT_DONE(c, 0, NULL)

static inline void fake_balance(void) {
  ASSERT_EQ(fake_open, 0);
  ASSERT_EQ(memory.bytes, 0);
  ASSERT_EQ(reasons_held, 0);
}

__attribute__((constructor)) static void fake_is_balanced(void) {
  test_balance = fake_balance;
}
