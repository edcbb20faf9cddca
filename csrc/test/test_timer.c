/* SPDX-License-Identifier: MIT */
/* Timers: when they are called, in which order, and what may happen in their calls. */
#include "fake.h"

TEST(a_timer_is_called_once_when_its_time_has_come) {
  fake_t f;
  fake_start(&f);
  alarm_t a = {0};
  alarm_start(&f, &a, f.now_ns + MS, 'a');
  ASSERT_EQ(f.wake_ns, f.now_ns + MS);
  ASSERT_EQ(fake_counters(&f).deadlines, 1);
  ASSERT_EQ(fake_counters(&f).watchers, 1);
  fake_advance(&f, MS - 1);
  fake_run(&f);
  ASSERT_EQ(a.calls, 0);
  fake_advance(&f, 1);
  ASSERT_EQ(a.calls, 1);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_advance(&f, 1000 * MS);
  ASSERT_EQ(a.calls, 1);
  ASSERT(!ctx_timer_stop(&a.t));
  fake_stop(&f);
}

TEST(a_timer_for_the_past_waits_for_the_next_turn) {
  fake_t f;
  fake_start(&f);
  alarm_t a = {0}, b = {0}, c = {0};
  alarm_start(&f, &a, f.now_ns, 'a');
  alarm_start(&f, &b, 0, 'b');
  alarm_start(&f, &c, f.now_ns, 'c');
  ASSERT_STR_EQ(fake_calls(&f), "");
  ASSERT_INT(f.wake_ns, <=, f.now_ns);
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "bac");
  fake_stop(&f);
}

TEST(a_timer_without_end_can_only_be_stopped) {
  fake_t f;
  fake_start(&f);
  alarm_t a = {0};
  alarm_start(&f, &a, CTX_NEVER, 'a');
  ASSERT_EQ(f.wakes, 0);
  ASSERT_EQ(fake_counters(&f).watchers, 1);
  f.now_ns = CTX_NEVER;
  fake_run(&f);
  ASSERT_EQ(a.calls, 0);
  ASSERT(ctx_timer_stop(&a.t));
  ASSERT(!ctx_timer_stop(&a.t));
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

TEST(stop_tells_whether_it_kept_the_call_from_happening) {
  fake_t f;
  fake_start(&f);
  alarm_t a[3] = {0};
  ASSERT(!ctx_timer_stop(&a[0].t));
  for (int i = 0; i < 3; i++) alarm_start(&f, &a[i], f.now_ns + MS, (char)('0' + i));
  ASSERT(ctx_timer_stop(&a[1].t));
  ASSERT(!ctx_timer_stop(&a[1].t));
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "02");
  ASSERT(!ctx_timer_stop(&a[0].t));
  alarm_start(&f, &a[1], f.now_ns + MS, '1');
  ASSERT(ctx_timer_stop(&a[1].t));
  alarm_start(&f, &a[1], f.now_ns, '1');
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "1");
  fake_stop(&f);
}

/* -- In a call --------------------------------------------------------------------------------- */

static void start_again(alarm_t* a) {
  if (a->calls < 3) alarm_start(a->fake, a, a->fake->now_ns, a->letter);
}

TEST(a_timer_may_start_again_and_waits_for_the_next_turn) {
  fake_t f;
  fake_start(&f);
  alarm_t a = {.then = start_again};
  alarm_start(&f, &a, f.now_ns, 'a');
  for (unsigned i = 1; i <= 3; i++) {
    ASSERT(fake_turn(&f));
    ASSERT_EQ(a.calls, i);
  }
  ASSERT(!fake_turn(&f));
  fake_stop(&f);
}

static void stop_other(alarm_t* a) {
  ASSERT(ctx_timer_stop(&((alarm_t*)a->arg)->t));
}

TEST(a_timer_may_stop_another_that_is_due_in_the_same_turn) {
  fake_t f;
  fake_start(&f);
  alarm_t b = {0}, a = {.then = stop_other, .arg = &b};
  alarm_start(&f, &a, f.now_ns + MS, 'a');
  alarm_start(&f, &b, f.now_ns + MS, 'b');
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "a");
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

static void free_it(alarm_t* a) {
  free(a);
}

TEST(a_timer_may_be_freed_in_its_call) {
  fake_t f;
  fake_start(&f);
  alarm_t* a = calloc(1, sizeof *a);
  a->then = free_it;
  alarm_start(&f, a, f.now_ns + MS, 'a');
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "a");
  fake_stop(&f);
}

static void dawdle(alarm_t* a) {
  a->fake->now_ns += 10 * MS;
}

/* A call that takes its time: what falls due meanwhile waits for the next turn, which is asked
 * for. */
TEST(what_falls_due_during_a_turn_waits_for_the_next) {
  fake_t f;
  fake_start(&f);
  alarm_t a = {.then = dawdle}, b = {0};
  ctx_t c;
  probe_t p = {0};
  ctx_with_deadline(&c, f.root, f.now_ns + 2 * MS, NULL);
  probe_watch(&f, &p, &c, 'p');
  alarm_start(&f, &a, f.now_ns + MS, 'a');
  alarm_start(&f, &b, f.now_ns + 3 * MS, 'b');
  f.now_ns += MS;
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "a");
  ASSERT(fake_turn(&f));
  ASSERT_STR_EQ(fake_calls(&f), "pb");
  fake_stop(&f);
}

/* -- Many -------------------------------------------------------------------------------------- */

enum { MANY = 1000 };
typedef struct crowd_s {
  alarm_t alarms[MANY];
  uint64_t at_ns[MANY];
  int last; /* the one called last */
  unsigned calls;
} crowd_t;

static void in_order(alarm_t* a) {
  crowd_t* crowd = a->arg;
  int i = (int)(a - crowd->alarms), last = crowd->last;
  ASSERT_EQ(a->fake->now_ns, crowd->at_ns[i]);
  if (last >= 0) {
    ASSERT_INT(crowd->at_ns[last], <=, crowd->at_ns[i]);
    if (crowd->at_ns[last] == crowd->at_ns[i]) ASSERT_INT(last, <, i);
  }
  crowd->last = i;
  crowd->calls++;
}

/* A third of them stopped again, in random order: the heap must stay a heap. */
TEST(a_thousand_timers_are_called_by_time_and_equal_ones_as_they_were_started) {
  uint64_t random = test_seed;
  test_note("seed %ju", (uintmax_t)test_seed);
  for (int round = 0; round < 10; round++) {
    fake_t f;
    static crowd_t crowd;
    unsigned stopped = 0;
    memset(&crowd, 0, sizeof crowd);
    crowd.last = -1;
    fake_start(&f);
    for (int i = 0; i < MANY; i++) {
      crowd.alarms[i] = (alarm_t){.then = in_order, .arg = &crowd};
      crowd.at_ns[i] = f.now_ns + 1 + test_random(&random) % 300;
      alarm_start(&f, &crowd.alarms[i], crowd.at_ns[i], 'a');
    }
    for (int i = 0; i < MANY / 2; i++) {
      stopped += ctx_timer_stop(&crowd.alarms[test_random(&random) % MANY].t);
    }
    ASSERT_EQ(fake_counters(&f).deadlines, MANY - stopped);
    fake_advance(&f, 300);
    ASSERT_EQ(crowd.calls, MANY - stopped);
    ASSERT_EQ(fake_counters(&f).deadlines, 0);
    fake_stop(&f);
  }
}
