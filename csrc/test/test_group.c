/* SPDX-License-Identifier: MIT */
/* Groups: tasks that fail and stop together, places under a limit, and waits. */
#include "groups.h"

/* -- Errors and ends --------------------------------------------------------------------------- */

TEST(a_wait_that_is_over_ends_the_context_without_a_cause) {
  scene_t x;
  open_scene(&x, -1);
  start_all(&x, 0, 1, 0);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_LIVE(&x.c);
  finish(&x);
  ASSERT_DONE(&x.c, CTX_CANCELED, NULL);
  ASSERT_STR_EQ(calls(&x), "1");
  ASSERT_LIVE(&x.parent);
  close_scene(&x);
}

/* For programs that wait in a way of their own: a place that was granted counts before its task does. */
TEST(whether_a_group_is_over_can_be_asked) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT(ctx_group_is_over(&x.g));
  ASSERT_EQ(start(&x, 0), 0);
  ASSERT_EQ(start(&x, 1), CTX_PENDING);
  ASSERT(!ctx_group_is_over(&x.g));
  finish(&x);
  ASSERT(!ctx_group_is_over(&x.g));
  ASSERT_STR_EQ(calls(&x), "b");
  ASSERT(!ctx_group_is_over(&x.g));
  finish(&x);
  ASSERT(ctx_group_is_over(&x.g));
  ASSERT_LIVE(&x.c);
  close_scene(&x);
}

TEST(a_wait_for_no_task_is_over_at_once) {
  scene_t x;
  open_scene(&x, -1);
  ASSERT_EQ(join(&x, 0), 0);
  ASSERT_DONE(&x.c, CTX_CANCELED, NULL);
  ASSERT(!ctx_join_stop(&x.end[0].j));
  close_scene(&x);
}

TEST(the_first_failure_is_the_cause_and_the_wait_is_for_all) {
  scene_t x;
  REASON(first);
  REASON(second);
  open_scene(&x, -1);
  start_all(&x, 0, 3, 0);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_LIVE(&x.c);
  ctx_group_end(&x.g, true, &first.cause);
  ASSERT_DONE(&x.c, CTX_CANCELED, &first.cause);
  ctx_group_end(&x.g, true, &second.cause);
  ASSERT_EQ(second.held, 0);
  ASSERT_STR_EQ(calls(&x), "");
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  ASSERT_DONE(&x.c, CTX_CANCELED, &first.cause);
  ASSERT(x.g.failed);
  close_scene(&x);
}

TEST(the_end_of_the_parent_is_no_failure) {
  scene_t x;
  REASON(gone);
  REASON(late);
  open_scene(&x, -1);
  start_all(&x, 0, 1, 0);
  ctx_cancel(&x.parent, &gone.cause);
  finish(&x);
  ASSERT(!x.g.failed);
  ctx_group_end(&x.g, true, &late.cause);
  ASSERT_DONE(&x.c, CTX_CANCELED, &gone.cause);
  ASSERT(x.g.failed);
  close_scene(&x);
}

TEST(a_group_without_a_context_stops_nobody_and_can_be_used_again) {
  scene_t x;
  REASON(why);
  open_scene(&x, -1);
  ctx_group_init(&x.g, &x.f.tree, NULL);
  for (int round = 0; round < 3; round++) {
    start_all(&x, 0, 1, 0);
    ASSERT_EQ(join(&x, 0), CTX_PENDING);
    ctx_group_end(&x.g, round == 1, &why.cause);
    finish(&x);
    ASSERT_STR_EQ(calls(&x), "1");
    ASSERT_EQ(x.g.failed, round >= 1);
  }
  ASSERT_LIVE(&x.c);
  close_scene(&x);
}

/* -- Limits ---------------------------------------------------------------------------------------- */

TEST(the_limit_is_kept_and_places_go_in_the_order_of_asking) {
  scene_t x;
  open_scene(&x, 2);
  start_all(&x, 0, 1, 0);
  start_all(&x, 2, 3, CTX_PENDING);
  ASSERT_EQ(x.g.running, 2);
  ASSERT_STR_EQ(calls(&x), "");
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "c");
  ASSERT_EQ(x.g.running, 2);
  finish(&x);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "d");
  finish(&x);
  close_scene(&x);
}

TEST(zero_lets_nobody_begin_and_a_negative_limit_everybody) {
  scene_t x;
  open_scene(&x, 0);
  ASSERT(!ctx_group_try_begin(&x.g));
  ASSERT_EQ(start(&x, 0), CTX_PENDING);
  ASSERT_EQ(join(&x, 0), 0); /* no task is running */
  ASSERT_STR_EQ(calls(&x), "A");
  ASSERT_EQ(ctx_group_set_limit(&x.g, -5), 0);
  for (int i = 0; i < 1000; i++) ASSERT(ctx_group_try_begin(&x.g));
  for (int i = 0; i < 1000; i++) finish(&x);
  close_scene(&x);
}

/* Cause: the limit could be set while a place was granted, or while tasks waited under a limit of 0;
 * it then made a new semaphore over the one that they stood in. Cure: busy is all of that. */
TEST(the_limit_cannot_be_set_while_anyone_runs_or_waits_to_begin) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT_EQ(start(&x, 0), 0);
  ASSERT_EQ(ctx_group_set_limit(&x.g, 2), CTX_EBUSY);
  ASSERT_EQ(start(&x, 1), CTX_PENDING);
  finish(&x);
  ASSERT_EQ(x.g.running, 0); /* b has a place, and has not begun */
  ASSERT_EQ(ctx_group_set_limit(&x.g, 2), CTX_EBUSY);
  ASSERT_STR_EQ(calls(&x), "b");
  finish(&x);
  ASSERT_EQ(ctx_group_set_limit(&x.g, 0), 0);
  ASSERT_EQ(start(&x, 2), CTX_PENDING);
  ASSERT_EQ(ctx_group_set_limit(&x.g, 2), CTX_EBUSY);
  ASSERT(ctx_begin_stop(&x.job[2].b));
  ASSERT_EQ(ctx_group_set_limit(&x.g, 2), 0);
  start_all(&x, 0, 1, 0);
  finish(&x);
  finish(&x);
  close_scene(&x);
}

static void begin_in_call(end_t* end) {
  scene_t* x = end->arg;
  ASSERT(ctx_group_try_begin(&x->g));
  ASSERT(!ctx_group_try_begin(&x->g));
}

TEST(the_place_is_free_before_the_wait_is_over) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT(ctx_group_try_begin(&x.g));
  ASSERT(!ctx_group_try_begin(&x.g));
  x.end[0].then = begin_in_call;
  x.end[0].arg = &x;
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  finish(&x);
  close_scene(&x);
}

TEST(a_task_may_begin_after_the_end_of_the_context) {
  scene_t x;
  open_scene(&x, 1);
  ctx_cancel(&x.parent, NULL);
  ASSERT_EQ(start(&x, 0), 0);
  ASSERT_EQ(start(&x, 1), CTX_CANCELED); /* at the limit */
  finish(&x);
  ASSERT_EQ(start(&x, 1), 0);
  finish(&x);
  close_scene(&x);
}

TEST(who_waits_to_begin_is_told_when_the_context_ends) {
  scene_t x;
  REASON(why);
  open_scene(&x, 2);
  start_all(&x, 0, 1, 0);
  start_all(&x, 2, 3, CTX_PENDING);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  ctx_group_end(&x.g, true, &why.cause);
  ASSERT_STR_EQ(calls(&x), "CD");
  ASSERT_EQ(x.job[2].err, CTX_CANCELED);
  ASSERT_EQ(x.g.running, 1);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  close_scene(&x);
}

/* The wait is not over between the grant and the call. */
TEST(a_place_that_comes_in_the_turn_of_the_end_goes_back) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT_EQ(start(&x, 0), 0);
  start_all(&x, 1, 2, CTX_PENDING);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_LIVE(&x.c);
  ctx_cancel(&x.parent, NULL);
  const char* order = calls(&x);
  ASSERT_EQ(strlen(order), 3);
  ASSERT(strchr(order, 'B') && strchr(order, 'C') && strchr(order, '1'));
  close_scene(&x);
}

/* -- Taking back ------------------------------------------------------------------------------------ */

TEST(a_pending_begin_can_be_taken_back_wherever_it_stands) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT(!ctx_begin_stop(&x.job[0].b)); /* zeroed */
  ASSERT_EQ(start(&x, 0), 0);
  start_all(&x, 1, 3, CTX_PENDING);
  ASSERT(ctx_begin_stop(&x.job[2].b)); /* in the queue */
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT(ctx_begin_stop(&x.job[1].b)); /* granted: passed on */
  ASSERT_STR_EQ(calls(&x), "d");
  ASSERT(!ctx_begin_stop(&x.job[3].b));
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  close_scene(&x);
}

TEST(taking_back_the_last_grant_ends_the_wait) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT_EQ(start(&x, 0), 0);
  ASSERT_EQ(start(&x, 1), CTX_PENDING);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT(ctx_begin_stop(&x.job[1].b));
  ASSERT_STR_EQ(calls(&x), "1");
  close_scene(&x);
}

TEST(waits_end_in_order_and_can_be_taken_back_wherever_they_stand) {
  for (int stopped = 0; stopped < 3; stopped++) {
    for (int ready = 0; ready <= 1; ready++) {
      scene_t x;
      static const char* const want[] = {"23", "13", "12"};
      open_scene(&x, -1);
      ASSERT(!ctx_join_stop(&x.end[0].j)); /* zeroed */
      ASSERT_EQ(start(&x, 0), 0);
      for (int i = 0; i < 3; i++) ASSERT_EQ(join(&x, i), CTX_PENDING);
      if (ready) finish(&x);
      ASSERT(ctx_join_stop(&x.end[stopped].j));
      ASSERT(!ctx_join_stop(&x.end[stopped].j));
      if (!ready) finish(&x);
      ASSERT_STR_EQ(calls(&x), want[stopped]);
      ASSERT(!ctx_join_stop(&x.end[1].j));
      close_scene(&x);
    }
  }
}

TEST(without_a_wait_the_context_stays) {
  scene_t x;
  open_scene(&x, -1);
  ASSERT_EQ(start(&x, 0), 0);
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  ASSERT(ctx_join_stop(&x.end[0].j));
  finish(&x);
  ASSERT_LIVE(&x.c);
  close_scene(&x);
}
