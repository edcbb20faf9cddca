/* SPDX-License-Identifier: MIT */
/* A million of everything, on a small stack: nothing recurses, nothing grows, nothing is quadratic.
 * No test here reads a clock: quadratic code would take days. CTX_TEST_ROUNDS, the number of thousands,
 * makes it smaller. */
#define _POSIX_C_SOURCE 200809L

#include "fake.h"

#include <pthread.h>

enum { STACK = 64 * 1024 };

static size_t million;
static fake_t fake;

static void* on_thread(void* law) {
  fake_start(&fake);
  (*(void (**)(fake_t*))law)(&fake);
  fake_stop(&fake);
  return NULL;
}

static void on_small_stack(void (*law)(fake_t* f)) {
  pthread_t thread;
  pthread_attr_t attributes;
  million = test_rounds(1000) * (size_t)1000;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, STACK), 0);
  ASSERT_EQ(pthread_create(&thread, &attributes, on_thread, &law), 0);
  ASSERT_EQ(pthread_join(thread, NULL), 0);
  pthread_attr_destroy(&attributes);
}

static ctx_t* many(void) {
  ctx_t* c = malloc(million * sizeof *c);
  ASSERT(c);
  return c;
}

static ctx_t* chain(fake_t* f) {
  ctx_t* c = many();
  for (size_t i = 0; i < million; i++) ctx_with_cancel(&c[i], i ? &c[i - 1] : f->root);
  return c;
}

/* -- Wide -------------------------------------------------------------------------------------- */

/* One at a time, as a server's requests come and go. */
static void come_and_go(fake_t* f) {
  ctx_t parent;
  probe_t keep = {0}, p = {0};
  ctx_with_cancel(&parent, f->root);
  probe_watch(f, &keep, &parent, 'k');
  for (size_t i = 0; i < million; i++) {
    ctx_t c;
    p = (probe_t){0};
    if (i % 2)
      ctx_with_cancel(&c, &parent);
    else
      ctx_with_deadline(&c, &parent, f->now_ns + MS, NULL);
    probe_watch(f, &p, &c, 'p');
    ctx_cancel(&c, NULL);
    ASSERT_EQ(fake_counters(f).linked, 1);
    if (i % 16 == 0 || !ctx_unwatch(&p.w)) fake_run(f);
  }
  ASSERT_INT(memory.allocations, <=, 1); /* the heap, once */
  ASSERT_LIVE(&parent);
  ASSERT(ctx_unwatch(&keep.w));
  ASSERT_EQ(fake_counters(f).linked, 0);
  ASSERT_EQ(fake_counters(f).watchers, 0);
}
TEST(a_million_children_that_come_and_go_leave_the_parent_empty) {
  on_small_stack(come_and_go);
}

/* All at once, then one by one from somewhere in the middle, every second by its deadline. */
static void pile_up(fake_t* f) {
  ctx_t parent, *c = many();
  probe_t* p = calloc(million, sizeof *p);
  ASSERT(p);
  ctx_with_cancel(&parent, f->root);
  for (size_t i = 0; i < million; i++) {
    uint64_t at_ns = i % 2 ? CTX_NEVER : f->now_ns + MS + i * 7919 % million;
    ctx_with_deadline(&c[i], &parent, at_ns, NULL);
    probe_watch(f, &p[i], &c[i], 'p');
  }
  ASSERT_EQ(fake_counters(f).linked, million + 1);
  ASSERT_EQ(fake_counters(f).deadlines, million / 2);
  for (size_t i = 0; i < million; i++) ctx_cancel(&c[(i * 7919 + million / 2) % million | 1], NULL);
  ASSERT_EQ(fake_counters(f).linked, million / 2 + 1);
  f->now_ns += MS + million;
  fake_settle(f);
  ASSERT_EQ(fake_counters(f).linked, 0);
  ASSERT_EQ(fake_counters(f).watchers, 0);
  ASSERT_EQ(fake_counters(f).expired, million / 2);
  ASSERT_LIVE(&parent);
  free(p);
  free(c);
}
TEST(a_million_children_at_once_end_one_by_one) {
  on_small_stack(pile_up);
}

/* -- Deep -------------------------------------------------------------------------------------- */

static bool count(const ctx_t* c, unsigned depth, void* arg) {
  (void)c;
  (void)depth;
  ++*(size_t*)arg;
  return true;
}

static void cancel_watched(fake_t* f) {
  ctx_t* c = chain(f);
  probe_t p = {0};
  size_t met = 0;
  probe_watch(f, &p, &c[million - 1], 'p');
  ASSERT_EQ(fake_counters(f).linked, million);
  ctx_walk(&f->tree, count, &met);
  ASSERT_EQ(met, million + 2);
  ctx_cancel(&c[0], NULL);
  ASSERT_EQ(fake_counters(f).canceled, million);
  ASSERT_EQ(fake_counters(f).linked, 0);
  fake_settle(f);
  ASSERT_EQ(p.calls, 1);
  free(c);
}
TEST(a_watched_chain_of_a_million_is_cancelled_without_recursion) {
  on_small_stack(cancel_watched);
}

/* The first read brings the news to all; the others find it, from either end. */
static void cancel_idle(fake_t* f) {
  for (int upwards = 0; upwards <= 1; upwards++) {
    ctx_t* c = chain(f);
    ctx_cancel(&c[0], NULL);
    for (size_t i = 0; i < million; i++) {
      ASSERT_EQ(ctx_err(&c[upwards ? million - 1 - i : i]), CTX_CANCELED);
    }
    free(c);
  }
  ASSERT_EQ(fake_counters(f).canceled, 2 * million);
}
TEST(an_idle_chain_of_a_million_learns_of_its_end_in_one_go) {
  on_small_stack(cancel_idle);
}

/* Runs of equal deadlines, each run sooner than the one above; half of them have passed. */
static void expire_idle(fake_t* f) {
  ctx_t* c = many();
  size_t runs = million / 100;
  for (size_t i = 0; i < million; i++) {
    ctx_with_deadline(&c[i], i ? &c[i - 1] : f->root, f->now_ns + runs - i / 100, NULL);
  }
  f->now_ns += runs / 2;
  ctx_cancel(&c[0], NULL);
  for (size_t i = million; i-- > 0;) {
    ASSERT_EQ(ctx_err(&c[i]), runs - i / 100 <= runs / 2 ? CTX_DEADLINE_EXCEEDED : CTX_CANCELED);
  }
  free(c);
}
TEST(an_idle_chain_of_a_million_sorts_out_its_deadlines_in_one_go) {
  on_small_stack(expire_idle);
}

static void poll_deadline(fake_t* f) {
  ctx_t* c = many();
  for (size_t i = 0; i < million; i++) {
    ctx_with_deadline(&c[i], i ? &c[i - 1] : f->root, f->now_ns + MS, NULL);
  }
  f->now_ns += MS;
  for (size_t i = million; i-- > 0;) ASSERT_EQ(ctx_err(&c[i]), CTX_DEADLINE_EXCEEDED);
  free(c);
}
TEST(a_deadline_far_above_is_found_once) {
  on_small_stack(poll_deadline);
}

/* Something else has ended: that all these have not is found out once, too. */
static void stay_live(fake_t* f) {
  ctx_t *c = chain(f), other, child;
  ctx_with_cancel(&other, f->root);
  ctx_with_cancel(&child, &other);
  ctx_cancel(&other, NULL);
  for (size_t i = million; i-- > 0;) ASSERT_EQ(ctx_err(&c[i]), 0);
  free(c);
}
TEST(a_live_chain_of_a_million_is_asked_once) {
  on_small_stack(stay_live);
}

/* As functions return, the innermost first, watched and not. */
static void unwind(fake_t* f) {
  for (int watched = 0; watched <= 1; watched++) {
    ctx_t* c = chain(f);
    probe_t p = {0};
    if (watched) probe_watch(f, &p, &c[million - 1], 'p');
    for (size_t i = million; i-- > 0;) ctx_release(&c[i]);
    fake_settle(f);
    ASSERT_EQ(p.calls, watched);
    ASSERT_EQ(fake_counters(f).linked, 0);
    free(c);
  }
}
TEST(a_chain_of_a_million_is_released_from_its_end) {
  on_small_stack(unwind);
}

/* any of any of any ... each over the one before. */
static void any_of_any(fake_t* f) {
  ctx_t *c = many(), *arms = many();
  ctx_with_cancel(&c[0], f->root);
  for (size_t i = 1; i < million; i++) {
    ctx_t* source = &c[i - 1];
    ASSERT_EQ(ctx_any(&c[i], &arms[i], &source, 1), 0);
  }
  ctx_cancel(&c[0], NULL);
  ASSERT_EQ(fake_counters(f).canceled, million);
  ASSERT_EQ(fake_counters(f).linked, 0);
  free(arms);
  free(c);
}
TEST(a_million_any_of_any_end_without_recursion) {
  on_small_stack(any_of_any);
}
