/* SPDX-License-Identifier: MIT */
/* The `data` of watchers, timers and others: the library does not change it, and each callback has it. */
#include "fake.h"

static const char* seen;

static void watched(ctx_watcher_t* w) {
  seen = w->data;
}
static void rang(ctx_timer_t* t) {
  seen = t->data;
}
static void acquired(ctx_acquire_t* a, int err) {
  ASSERT_EQ(err, 0);
  seen = a->data;
}
static void began(ctx_begin_t* begin, int err) {
  ASSERT_EQ(err, 0);
  seen = begin->data;
}
static void joined(ctx_join_t* join) {
  seen = join->data;
}

TEST(a_watcher_has_its_data_in_its_call) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_watcher_t w = {.data = "watcher"};
  ctx_with_cancel(&c, f.root);
  ASSERT_EQ(ctx_watch(&c, &w, watched), 0);
  ctx_cancel(&c, NULL);
  fake_settle(&f);
  ASSERT_STR_EQ(seen, "watcher");
  ctx_release(&c);
  fake_stop(&f);
}

TEST(a_timer_has_its_data_in_its_call) {
  fake_t f;
  fake_start(&f);
  ctx_timer_t t = {.data = "timer"};
  ASSERT_EQ(ctx_timer_start(&f.tree, &t, f.now_ns + MS, rang), 0);
  fake_advance(&f, MS);
  ASSERT_STR_EQ(seen, "timer");
  fake_stop(&f);
}

TEST(an_acquire_has_its_data_in_its_call) {
  fake_t f;
  fake_start(&f);
  ctx_semaphore_t s;
  ctx_acquire_t a = {.data = "acquire"};
  ctx_semaphore_init(&s, &f.tree, 1);
  ASSERT(ctx_semaphore_try_acquire(&s, 1));
  ASSERT_EQ(ctx_semaphore_acquire(&s, f.root, &a, 1, acquired), CTX_PENDING);
  ASSERT_EQ(ctx_semaphore_release(&s, 1), 0);
  fake_settle(&f);
  ASSERT_STR_EQ(seen, "acquire");
  fake_stop(&f);
}

TEST(a_begin_and_a_join_have_their_data_in_their_calls) {
  fake_t f;
  fake_start(&f);
  ctx_group_t g;
  ctx_begin_t first = {0}, second = {.data = "begin"};
  ctx_join_t join = {.data = "join"};
  ctx_group_init(&g, &f.tree, NULL);
  ASSERT_EQ(ctx_group_set_limit(&g, 1), 0);
  ASSERT_EQ(ctx_group_begin(&g, &first, began), 0);
  ASSERT_EQ(ctx_group_begin(&g, &second, began), CTX_PENDING);
  ASSERT_EQ(ctx_group_wait(&g, &join, joined), CTX_PENDING);
  ctx_group_end(&g, false, NULL);
  fake_settle(&f);
  ASSERT_STR_EQ(seen, "begin");
  ctx_group_end(&g, false, NULL);
  fake_settle(&f);
  ASSERT_STR_EQ(seen, "join");
  fake_stop(&f);
}
