/* SPDX-License-Identifier: MIT */
/* Watchers: when and in which order they are called, and that nothing of them stays linked. */
#include "fake.h"

TEST(a_watcher_is_called_once_and_never_within_the_cancel) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  probe_t p = {0};
  ctx_with_cancel(&c, f.root);
  probe_watch(&f, &p, &c, 'p');
  fake_settle(&f);
  ASSERT_EQ(f.wakes, 0);
  ctx_cancel(&c, NULL);
  ASSERT_EQ(p.calls, 0);
  ASSERT_EQ(fake_counters(&f).watchers, 1);
  ASSERT(fake_turn(&f));
  ASSERT_EQ(p.calls, 1);
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  ctx_cancel(&c, NULL);
  fake_run(&f);
  fake_advance(&f, 1000 * MS);
  ASSERT_EQ(p.calls, 1);
  fake_stop(&f);
}

TEST(a_watcher_of_a_done_context_is_called_soon_but_not_at_once) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  probe_t p = {0}, q = {0};
  ctx_with_cancel(&c, f.root);
  ctx_cancel(&c, NULL);
  probe_watch(&f, &p, &c, 'p');
  probe_watch(&f, &q, &c, 'q');
  ASSERT_STR_EQ(fake_calls(&f), "");
  ASSERT_INT(f.wake_ns, <=, f.now_ns);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "pq");
  fake_stop(&f);
}

/* stop is true only if it prevented the call. */
TEST(unwatch_tells_whether_it_kept_the_call_from_happening) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  probe_t p[4] = {0};
  ctx_with_cancel(&c, f.root);
  ASSERT(!ctx_unwatch(&p[0].w)); /* never registered */
  for (int i = 0; i < 3; i++) probe_watch(&f, &p[i], &c, (char)('0' + i));
  ASSERT(ctx_unwatch(&p[0].w)); /* waiting */
  ASSERT(!ctx_unwatch(&p[0].w));
  ctx_cancel(&c, NULL);
  probe_watch(&f, &p[3], &c, '3');
  ASSERT(ctx_unwatch(&p[1].w)); /* ready */
  ASSERT(!ctx_unwatch(&p[1].w));
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "23");
  ASSERT(!ctx_unwatch(&p[2].w)); /* called */
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

/* ORDER in ctx.h. a ── b ── c, and d beside b; two watchers each, registered from below. */
TEST(watchers_are_called_in_order_a_parents_before_its_childrens) {
  fake_t f;
  fake_start(&f);
  ctx_t a, b, c, d;
  ctx_with_cancel(&a, f.root);
  ctx_with_cancel(&b, &a);
  ctx_with_cancel(&c, &b);
  ctx_with_cancel(&d, &a);
  ctx_t* of[] = {&c, &c, &d, &b, &a, &a, &d, &b};
  probe_t p[8] = {0};
  for (int i = 0; i < 8; i++) probe_watch(&f, &p[i], of[i], (char)('0' + i));
  ctx_cancel(&a, NULL);
  fake_settle(&f);
  const char* calls = fake_calls(&f);
  ASSERT_EQ(strlen(calls), 8);
  static const char* before[] = {"45", "57", "53", "37", "70", "01", "52", "26"};
  for (int i = 0; i < 8; i++) {
    test_note("%c before %c in %s", before[i][0], before[i][1], calls);
    ASSERT_INT(strchr(calls, before[i][0]), <, strchr(calls, before[i][1]));
  }
  fake_stop(&f);
}

/* -- What a watcher may do in its call --------------------------------------------------------- */

static void watch_again(probe_t* p) {
  if (p->calls < 3) probe_watch(p->fake, p, p->arg, p->letter);
}

TEST(a_watcher_may_register_again_and_waits_for_the_next_turn) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  probe_t p = {.then = watch_again, .arg = &c};
  probe_watch(&f, &p, &c, 'p');
  ctx_cancel(&c, NULL);
  for (unsigned i = 1; i <= 3; i++) {
    ASSERT(fake_turn(&f));
    ASSERT_EQ(p.calls, i);
  }
  ASSERT(!fake_turn(&f));
  fake_stop(&f);
}

static void cancel_other(probe_t* p) {
  ctx_cancel(p->arg, NULL);
}

/* "A waiter of the parent may cancel the child during propagation", and the parent's parent;
 * what was not ready at the start waits for the next turn. */
TEST(a_watcher_may_cancel_anything) {
  fake_t f;
  fake_start(&f);
  ctx_t parent, child, other;
  ctx_with_cancel(&parent, f.root);
  ctx_with_cancel(&child, &parent);
  ctx_with_cancel(&other, f.root);
  probe_t p = {.then = cancel_other, .arg = &child};
  probe_t q = {.then = cancel_other, .arg = &other};
  probe_t r = {.then = cancel_other, .arg = &parent};
  probe_watch(&f, &p, &parent, 'p');
  probe_watch(&f, &q, &child, 'q');
  probe_watch(&f, &r, &other, 'r');
  ctx_cancel(&parent, NULL);
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "pq");
  ASSERT_EQ(ctx_err(&other), CTX_CANCELED);
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "r");
  ASSERT(!fake_turn(&f));
  fake_stop(&f);
}

static void unwatch_other(probe_t* p) {
  ASSERT(ctx_unwatch(&((probe_t*)p->arg)->w));
}

TEST(a_watcher_may_take_back_another_that_is_ready_in_the_same_turn) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  probe_t p[4] = {0};
  p[0] = (probe_t){.then = unwatch_other, .arg = &p[1]};
  p[2] = (probe_t){.then = unwatch_other, .arg = &p[3]};
  for (int i = 0; i < 4; i++) probe_watch(&f, &p[i], &c, (char)('0' + i));
  ctx_cancel(&c, NULL);
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "02");
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

static void free_all(probe_t* p) {
  ctx_t* c = p->arg;
  ctx_release(c);
  free(c);
  free(p);
}

/* The last watcher frees the context and itself. */
TEST(a_watcher_may_free_itself_and_its_context) {
  fake_t f;
  fake_start(&f);
  ctx_t* c = malloc(sizeof *c);
  probe_t *p = calloc(1, sizeof *p), *q = calloc(1, sizeof *q);
  ctx_with_deadline(c, f.root, f.now_ns + MS, NULL);
  probe_watch(&f, p, c, 'p');
  probe_watch(&f, q, c, 'q');
  q->then = free_all;
  q->arg = c;
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "pq");
  free(p);
  fake_stop(&f);
}

TEST(watchers_outlive_a_released_context) {
  fake_t f;
  fake_start(&f);
  ctx_t* c = malloc(sizeof *c);
  probe_t p = {0}, q = {0};
  ctx_with_cancel(c, f.root);
  probe_watch(&f, &p, c, 'p');
  probe_watch(&f, &q, c, 'q');
  ctx_release(c);
  free(c);
  ASSERT(ctx_unwatch(&p.w));
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "q");
  fake_stop(&f);
}

typedef struct nested_s {
  ctx_t* other; /* which is watched */
  unsigned* calls;
} nested_t;

static void run_again(probe_t* p) {
  nested_t* nested = p->arg;
  ctx_cancel(nested->other, NULL);
  ctx_tree_run(&p->fake->tree);
  ASSERT_EQ(*nested->calls, 0);
}

TEST(running_the_tree_within_a_call_does_nothing) {
  fake_t f;
  fake_start(&f);
  ctx_t c, other;
  ctx_with_cancel(&c, f.root);
  ctx_with_cancel(&other, f.root);
  probe_t q = {0};
  nested_t nested = {&other, &q.calls};
  probe_t p = {.then = run_again, .arg = &nested};
  probe_watch(&f, &p, &c, 'p');
  probe_watch(&f, &q, &other, 'q');
  ctx_cancel(&c, NULL);
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "p");
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "q");
  fake_stop(&f);
}

static void close_tree(probe_t* p) {
  ctx_tree_close(&p->fake->tree);
}

TEST(a_watcher_may_close_the_tree_and_no_other_is_called) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  probe_t p = {.then = close_tree}, rest[2] = {0};
  alarm_t a = {0};
  probe_watch(&f, &p, &c, 'p');
  probe_watch(&f, &rest[0], &c, 'q');
  ctx_cancel(&c, NULL);
  probe_watch(&f, &rest[1], &c, 'r');
  alarm_start(&f, &a, f.now_ns, 'a');
  fake_settle(&f);
  fake_run(&f);
  ASSERT_STR_EQ(fake_calls(&f), "p");
  ASSERT(ctx_unwatch(&rest[0].w));
  ASSERT(ctx_unwatch(&rest[1].w));
  ASSERT(ctx_timer_stop(&a.t));
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

static void derive_below(probe_t* p) {
  ctx_t child;
  ctx_with_cancel(&child, p->arg);
  ctx_t* parent = p->arg;
  ASSERT_PTR_EQ(ctx_cause(&child), ctx_cause(parent));
  ASSERT_EQ(ctx_err(&child), CTX_CANCELED);
  ctx_release(&child);
}

/* 100 rounds, like Go's. */
TEST(a_child_derived_while_its_parent_is_being_cancelled_ends_with_its_cause) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  for (int i = 0; i < 100; i++) {
    ctx_t parent, child;
    ctx_with_cancel(&parent, f.root);
    ctx_with_cancel(&child, &parent);
    probe_t p = {.then = derive_below, .arg = &parent};
    probe_t q = {.then = derive_below, .arg = &child};
    probe_watch(&f, &q, &child, 'q');
    probe_watch(&f, &p, &parent, 'p');
    ctx_cancel(&parent, &gone.cause);
    fake_settle(&f);
    ASSERT_EQ(p.calls + q.calls, 2);
    ctx_release(&child);
    ctx_release(&parent);
  }
  fake_stop(&f);
}

/* A random tree of 100, each watched, each cancelled, in random order. */
TEST(a_hundred_contexts_cancelled_in_random_order_all_end_and_leave_nothing) {
  enum { N = 100 };
  uint64_t random = test_seed;
  test_note("seed %ju", (uintmax_t)test_seed);
  for (int round = 0; round < 20; round++) {
    fake_t f;
    static ctx_t c[N];
    static probe_t p[N];
    int order[N];
    memset(p, 0, sizeof p);
    fake_start(&f);
    for (int i = 0; i < N; i++) {
      uint64_t parent = test_random(&random) % (uint64_t)(i + 1);
      ctx_with_cancel(&c[i], parent ? &c[parent - 1] : f.root);
      probe_watch(&f, &p[i], &c[i], 'p');
      uint64_t place = test_random(&random) % (uint64_t)(i + 1);
      order[i] = order[place];
      order[place] = i;
    }
    for (int i = 0; i < N; i++) {
      ctx_cancel(&c[order[i]], NULL);
      if (test_random(&random) % 4 == 0) fake_turn(&f);
    }
    fake_settle(&f);
    for (int i = 0; i < N; i++) ASSERT_EQ(p[i].calls, 1);
    ASSERT_EQ(fake_counters(&f).linked, 0);
    fake_stop(&f);
  }
}

/* -- What is linked ---------------------------------------------------------------------------- */

/* Like Go's TestCancelRemoves, for cancel, deadline and stop. */
TEST(nothing_stays_in_the_parent_after_cancel_deadline_or_unwatch) {
  fake_t f;
  fake_start(&f);
  ctx_t parent, c[3];
  probe_t keep = {0}, p[3] = {0};
  ctx_with_cancel(&parent, f.root);
  probe_watch(&f, &keep, &parent, 'k');
  ctx_with_cancel(&c[0], &parent);
  ctx_with_deadline(&c[1], &parent, f.now_ns + MS, NULL);
  ctx_with_deadline(&c[2], &parent, f.now_ns + 2 * MS, NULL);
  for (int i = 0; i < 3; i++) probe_watch(&f, &p[i], &c[i], (char)('0' + i));
  ASSERT_EQ(fake_counters(&f).linked, 4);
  ASSERT_EQ(fake_counters(&f).deadlines, 2);
  ctx_cancel(&c[0], NULL);
  ASSERT_EQ(fake_counters(&f).linked, 3);
  fake_advance(&f, MS);
  ASSERT_EQ(fake_counters(&f).linked, 2);
  ASSERT(ctx_unwatch(&p[2].w));
  ASSERT_EQ(fake_counters(&f).linked, 1);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ASSERT_LIVE(&parent);
  ASSERT(ctx_unwatch(&keep.w));
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_stop(&f);
}

/* A fork: stem of 10, two leaves. The stem stays as long as one leaf is watched. */
TEST(a_chain_is_linked_while_its_end_is_watched) {
  enum { N = 10 };
  fake_t f;
  fake_start(&f);
  ctx_t stem[N], leaf[2];
  probe_t p = {0}, q = {0};
  for (int i = 0; i < N; i++) ctx_with_cancel(&stem[i], i ? &stem[i - 1] : f.root);
  for (int i = 0; i < 2; i++) ctx_with_deadline(&leaf[i], &stem[N - 1], f.now_ns + MS, NULL);
  for (int round = 0; round < 3; round++) {
    probe_watch(&f, &p, &leaf[0], 'p');
    ASSERT_EQ(fake_counters(&f).linked, N + 1);
    probe_watch(&f, &q, &leaf[1], 'q');
    ASSERT_EQ(fake_counters(&f).linked, N + 2);
    ASSERT_EQ(fake_counters(&f).deadlines, 2);
    ASSERT(ctx_unwatch(&p.w));
    ASSERT_EQ(fake_counters(&f).linked, N + 1);
    ASSERT(ctx_unwatch(&q.w));
    ASSERT_EQ(fake_counters(&f).linked, 0);
    ASSERT_EQ(fake_counters(&f).deadlines, 0);
    ctx_t other;
    ctx_with_cancel(&other, &stem[3]);
    ctx_cancel(&other, NULL);
    ASSERT_LIVE(&leaf[0]);
  }
  fake_stop(&f);
}

TEST(a_root_may_be_watched_in_vain) {
  fake_t f;
  fake_start(&f);
  ctx_t detached;
  probe_t p = {0}, q = {0};
  ctx_without_cancel(&detached, f.root);
  probe_watch(&f, &p, f.root, 'p');
  probe_watch(&f, &q, &detached, 'q');
  ASSERT_EQ(fake_counters(&f).watchers, 2);
  fake_advance(&f, 1000 * MS);
  ASSERT(ctx_unwatch(&p.w));
  ASSERT(ctx_unwatch(&q.w));
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_stop(&f);
}

/* -- When the host is woken -------------------------------------------------------------------- */

TEST(the_host_is_asked_for_the_next_deadline_also_after_waking_up_too_early) {
  fake_t f;
  fake_start(&f);
  ctx_t c[2];
  probe_t p[2] = {0};
  uint64_t start_ns = f.now_ns;
  ctx_with_deadline(&c[0], f.root, start_ns + 2 * MS, NULL);
  ctx_with_deadline(&c[1], f.root, start_ns + MS, NULL);
  probe_watch(&f, &p[0], &c[0], '0');
  ASSERT_EQ(f.wake_ns, start_ns + 2 * MS);
  probe_watch(&f, &p[1], &c[1], '1');
  ASSERT_EQ(f.wake_ns, start_ns + MS);
  f.now_ns = start_ns + MS - 1;
  f.wake_ns = CTX_NEVER; /* an alarm that rang a moment too early is spent */
  fake_run(&f);
  ASSERT_EQ(f.wake_ns, start_ns + MS);
  fake_advance(&f, 1);
  ASSERT_STR_EQ(fake_calls(&f), "1");
  ASSERT_EQ(f.wake_ns, start_ns + 2 * MS);
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "0");
  ASSERT_EQ(f.wake_ns, CTX_NEVER);
  fake_stop(&f);
}
