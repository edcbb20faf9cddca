/* SPDX-License-Identifier: MIT */
/* Semaphores: the order of grants, and units whose waiter has given up. */
#include "fake.h"

/* An acquire that writes its letter to the log: small if it was granted, a capital if not. */
typedef struct ask_s {
  ctx_acquire_t a; /* first */
  fake_t* fake;
  void (*then)(struct ask_s* ask); /* what it does in its call; may free it */
  void* arg;
  unsigned calls;
  int err;
  char letter;
} ask_t;

static void ask_called(ctx_acquire_t* a, int err) {
  ask_t* ask = (ask_t*)a;
  fake_note(ask->fake, (char)(err ? ask->letter - 'a' + 'A' : ask->letter));
  ask->calls++;
  ask->err = err;
  if (ask->then) ask->then(ask);
}

static int ask_try(fake_t* f, ask_t* ask, ctx_semaphore_t* s, ctx_t* c, uint64_t n, char letter) {
  ask->fake = f;
  ask->letter = letter;
  return ctx_semaphore_acquire(s, c, &ask->a, n, ask_called);
}

static void ask_wait(fake_t* f, ask_t* ask, ctx_semaphore_t* s, ctx_t* c, uint64_t n, char letter) {
  ASSERT_EQ(ask_try(f, ask, s, c, n, letter), CTX_PENDING);
}

/* A host, a semaphore, a few contexts and acquires. */
typedef struct scene_s {
  fake_t f;
  ctx_semaphore_t s;
  ctx_t c[4];
  ask_t ask[4];
} scene_t;

static void begin(scene_t* x, uint64_t size) {
  memset(x, 0, sizeof *x);
  fake_start(&x->f);
  ctx_semaphore_init(&x->s, &x->f.tree, size);
  for (int i = 0; i < 4; i++) ctx_with_cancel(&x->c[i], x->f.root);
}

/* No waiter is left, neither in the semaphore nor in the tree. */
static void end(scene_t* x, uint64_t held) {
  fake_settle(&x->f);
  ASSERT_EQ(x->s.held, held);
  ASSERT_PTR_EQ(x->s.queue.first, NULL);
  ASSERT_PTR_EQ(x->s.oversized.first, NULL);
  ASSERT_EQ(fake_counters(&x->f).watchers, 0);
  ASSERT_EQ(fake_counters(&x->f).linked, 0);
  fake_stop(&x->f);
}

/* Asks number i, 'a' and on, with context i. */
static void ask(scene_t* x, int i, uint64_t n) {
  ask_wait(&x->f, &x->ask[i], &x->s, &x->c[i], n, (char)('a' + i));
}

static const char* calls(scene_t* x) {
  fake_settle(&x->f);
  return fake_calls(&x->f);
}

TEST(what_is_free_is_taken_at_once) {
  scene_t x;
  begin(&x, 3);
  ASSERT_EQ(ask_try(&x.f, &x.ask[0], &x.s, x.f.root, 2, 'a'), 0);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  ASSERT(!ctx_semaphore_try_acquire(&x.s, 1));
  ASSERT(ctx_semaphore_try_acquire(&x.s, 0));
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), 0);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_EQ(x.f.wakes, 0);
  ASSERT(!ctx_acquire_stop(&x.ask[0].a)); /* it never waited */
  end(&x, 0);
}

TEST(a_done_context_gets_nothing_even_if_units_are_free) {
  scene_t x;
  begin(&x, 3);
  ctx_cancel(&x.c[0], NULL);
  ctx_with_deadline(&x.c[1], x.f.root, x.f.now_ns, NULL);
  ASSERT_EQ(ask_try(&x.f, &x.ask[0], &x.s, &x.c[0], 1, 'a'), CTX_CANCELED);
  ASSERT_EQ(ask_try(&x.f, &x.ask[1], &x.s, &x.c[1], 1, 'b'), CTX_DEADLINE_EXCEEDED);
  end(&x, 0);
}

TEST(more_than_the_size_waits_for_its_context_and_holds_up_nobody) {
  scene_t x;
  begin(&x, 2);
  ask(&x, 0, 3);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 2));
  ask(&x, 1, 1);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 2), 0);
  ASSERT_STR_EQ(calls(&x), "b");
  ctx_cancel(&x.c[0], NULL);
  ASSERT_STR_EQ(calls(&x), "A");
  ASSERT_EQ(x.ask[0].err, CTX_CANCELED);
  end(&x, 1);
}

TEST(they_are_served_in_the_order_of_asking_and_a_large_one_is_not_overtaken) {
  scene_t x;
  begin(&x, 4);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 3));
  ask(&x, 0, 2);
  ask(&x, 1, 1); /* one is free, but not for it */
  ask(&x, 2, 1);
  ask(&x, 3, 1);
  ASSERT(!ctx_semaphore_try_acquire(&x.s, 1));
  ASSERT(!ctx_semaphore_try_acquire(&x.s, 0));
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 2), 0);
  ASSERT_STR_EQ(calls(&x), "ab");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 2), 0);
  ASSERT_STR_EQ(calls(&x), "cd");
  end(&x, 4);
}

TEST(when_the_first_in_the_queue_gives_up_the_next_go_on) {
  scene_t x;
  begin(&x, 4);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  ask(&x, 0, 4);
  ask(&x, 1, 2);
  ask(&x, 2, 1);
  ctx_cancel(&x.c[0], NULL);
  ASSERT_STR_EQ(calls(&x), "Abc");
  ask(&x, 3, 1);
  ctx_cancel(&x.c[3], NULL);
  ASSERT_STR_EQ(calls(&x), "D");
  end(&x, 4);
}

/* Both ways: granted and then cancelled, and cancelled and then granted. */
TEST(units_that_come_in_the_turn_of_the_end_are_passed_on) {
  for (int granted_first = 0; granted_first <= 1; granted_first++) {
    scene_t x;
    begin(&x, 1);
    ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
    ask(&x, 0, 1);
    ask(&x, 1, 1);
    if (!granted_first) ctx_cancel(&x.c[0], NULL);
    ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
    if (granted_first) ctx_cancel(&x.c[0], NULL);
    const char* order = calls(&x);
    ASSERT_EQ(strlen(order), 2);
    ASSERT(strchr(order, 'A') && strchr(order, 'b'));
    ASSERT_EQ(x.ask[0].err, CTX_CANCELED);
    end(&x, 1);
  }
}

/* The deadline has passed unnoticed when the units come. */
TEST(units_do_not_go_to_one_whose_deadline_has_passed_unnoticed) {
  scene_t x;
  begin(&x, 1);
  ctx_with_deadline(&x.c[0], x.f.root, x.f.now_ns + MS, NULL);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  ask(&x, 0, 1);
  ask(&x, 1, 1);
  x.f.now_ns += MS;
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_STR_EQ(calls(&x), "Ab");
  ASSERT_EQ(x.ask[0].err, CTX_DEADLINE_EXCEEDED);
  end(&x, 1);
}

/* A shutdown ends a crowd, and then gives units back one by one. */
TEST(those_who_have_ended_are_passed_over_once) {
  enum { CROWD = 1000 };
  static ask_t crowd[CROWD];
  scene_t x;
  begin(&x, 2);
  ASSERT_EQ(ask_try(&x.f, &x.ask[0], &x.s, &x.c[0], 2, 'a'), 0);
  memset(crowd, 0, sizeof crowd);
  for (int i = 0; i < CROWD; i++) ask_wait(&x.f, &crowd[i], &x.s, &x.c[1], 1, 'c');
  ask_wait(&x.f, &x.ask[1], &x.s, &x.c[0], 2, 'b');
  ctx_cancel(&x.c[1], NULL);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_PTR_EQ(x.s.queue.first, &x.ask[1].a);
  ASSERT(ctx_acquire_stop(&crowd[0].a));
  ASSERT(!ctx_acquire_stop(&crowd[0].a));
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  fake_settle(&x.f);
  ASSERT_EQ(x.ask[1].calls, 1);
  ASSERT_EQ(x.ask[1].err, 0);
  for (int i = 1; i < CROWD; i++) ASSERT_EQ(crowd[i].err, CTX_CANCELED);
  end(&x, 2);
}

TEST(more_than_is_held_cannot_be_released) {
  scene_t x;
  begin(&x, 3);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), CTX_EINVAL);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 2));
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), CTX_EINVAL);
  ASSERT_EQ(ctx_semaphore_release(&x.s, UINT64_MAX), CTX_EINVAL);
  ASSERT_EQ(x.s.held, 2);
  end(&x, 2);
}

TEST(the_largest_numbers_do_not_overflow) {
  scene_t x;
  begin(&x, UINT64_MAX);
  ASSERT(ctx_semaphore_try_acquire(&x.s, UINT64_MAX - 1));
  ask(&x, 0, 2);
  ASSERT(!ctx_semaphore_try_acquire(&x.s, UINT64_MAX));
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_STR_EQ(calls(&x), "a");
  end(&x, UINT64_MAX);
}

/* -- Taking back ---------------------------------------------------------------------------- */

TEST(a_pending_acquire_can_be_taken_back_wherever_it_stands) {
  scene_t x;
  begin(&x, 2);
  ASSERT(!ctx_acquire_stop(&x.ask[0].a)); /* zeroed */
  ASSERT(ctx_semaphore_try_acquire(&x.s, 2));
  ask(&x, 0, 2);
  ask(&x, 1, 1);
  ask(&x, 2, 3);
  ASSERT(ctx_acquire_stop(&x.ask[2].a)); /* oversized */
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT(ctx_acquire_stop(&x.ask[0].a)); /* in the queue: the next fits */
  ASSERT_EQ(x.s.held, 2);
  ask(&x, 3, 1);
  ASSERT(ctx_acquire_stop(&x.ask[1].a)); /* granted: passed on */
  ASSERT_STR_EQ(calls(&x), "d");
  for (int i = 0; i < 4; i++) ASSERT(!ctx_acquire_stop(&x.ask[i].a));
  end(&x, 2);
}

TEST(one_whose_context_has_ended_can_be_taken_back_before_its_call) {
  scene_t x;
  begin(&x, 1);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  ask(&x, 0, 1);
  ask(&x, 1, 5);
  ctx_cancel(&x.c[0], NULL);
  ctx_cancel(&x.c[1], NULL);
  ASSERT(ctx_acquire_stop(&x.ask[0].a));
  ASSERT(ctx_acquire_stop(&x.ask[1].a));
  ASSERT_STR_EQ(calls(&x), "");
  end(&x, 1);
}

/* -- Sizes ------------------------------------------------------------------------------------ */

TEST(a_larger_size_lets_those_in_who_wait) {
  scene_t x;
  begin(&x, 1);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  ask(&x, 0, 1);
  ask(&x, 1, 3); /* oversized */
  ask(&x, 2, 1);
  ctx_semaphore_resize(&x.s, 2);
  ASSERT_STR_EQ(calls(&x), "a");
  ctx_semaphore_resize(&x.s, 5);
  ASSERT_STR_EQ(calls(&x), "b");
  ctx_semaphore_resize(&x.s, 6);
  ASSERT_STR_EQ(calls(&x), "c");
  end(&x, 6);
}

TEST(a_smaller_size_takes_effect_as_units_come_back) {
  scene_t x;
  begin(&x, 4);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 4));
  ctx_semaphore_resize(&x.s, 1);
  ask(&x, 0, 1);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), 0);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_STR_EQ(calls(&x), "a");
  end(&x, 1);
}

/* Cause: one that became oversized went behind those that asked later, and came back behind the
 * whole queue. Cure: both lists are kept, and merged, by the order of asking. */
TEST(a_size_that_comes_and_goes_changes_no_order) {
  scene_t x;
  begin(&x, 3);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 3));
  ask(&x, 0, 3);
  ask(&x, 1, 4); /* oversized */
  ask(&x, 2, 1);
  ask(&x, 3, 2);
  ctx_semaphore_resize(&x.s, 1);
  ctx_semaphore_resize(&x.s, 0);
  ctx_semaphore_resize(&x.s, 4);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), 0);
  ASSERT_STR_EQ(calls(&x), "a");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), 0);
  ASSERT_STR_EQ(calls(&x), "b");
  ASSERT_EQ(ctx_semaphore_release(&x.s, 4), 0);
  ASSERT_STR_EQ(calls(&x), "cd");
  end(&x, 3);
}

TEST(a_size_of_nothing_is_a_closed_gate) {
  scene_t x;
  begin(&x, 0);
  for (int i = 0; i < 3; i++) ask(&x, i, 1);
  ASSERT(!ctx_semaphore_try_acquire(&x.s, 1));
  ctx_cancel(&x.c[1], NULL);
  ASSERT_STR_EQ(calls(&x), "B");
  ctx_semaphore_resize(&x.s, 2);
  ASSERT_STR_EQ(calls(&x), "ac");
  end(&x, 2);
}

/* -- What a call may do ------------------------------------------------------------------------ */

static void give_back(ask_t* ask) {
  if (ask->err == 0) ASSERT_EQ(ctx_semaphore_release(ask->arg, 1), 0);
}

static void ask_again(ask_t* ask) {
  scene_t* x = ask->arg;
  if (ask->calls == 1) {
    ASSERT_EQ(ctx_semaphore_release(&x->s, 1), 0);
    ask_wait(&x->f, ask, &x->s, x->f.root, 1, 'a');
  }
}

TEST(a_call_may_give_back_and_ask_again_and_is_last_then) {
  scene_t x;
  begin(&x, 1);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  for (int i = 0; i < 3; i++) ask(&x, i, 1);
  x.ask[0].then = ask_again;
  x.ask[0].arg = &x;
  x.ask[1].then = x.ask[2].then = give_back;
  x.ask[1].arg = x.ask[2].arg = &x.s;
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_STR_EQ(calls(&x), "abca");
  end(&x, 1);
}

static void upset_all(ask_t* ask) {
  scene_t* x = ask->arg;
  ASSERT(ctx_acquire_stop(&x->ask[1].a)); /* granted in this turn */
  ctx_cancel(&x->c[2], NULL);             /* the same */
  ctx_semaphore_resize(&x->s, 9);
}

TEST(a_call_may_stop_cancel_and_resize_what_was_granted_with_it) {
  scene_t x;
  begin(&x, 3);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 3));
  for (int i = 0; i < 3; i++) ask(&x, i, 1);
  ask(&x, 3, 8);
  x.ask[0].then = upset_all;
  x.ask[0].arg = &x;
  ASSERT_EQ(ctx_semaphore_release(&x.s, 3), 0);
  ASSERT_STR_EQ(calls(&x), "aCd");
  end(&x, 9);
}

static void free_itself(ask_t* ask) {
  free(ask);
}

TEST(a_call_may_free_what_it_asked_with) {
  scene_t x;
  begin(&x, 1);
  ASSERT(ctx_semaphore_try_acquire(&x.s, 1));
  for (int i = 0; i < 3; i++) {
    ask_t* one = calloc(1, sizeof *one);
    one->then = free_itself;
    ask_wait(&x.f, one, &x.s, &x.c[i], 1, (char)('a' + i));
  }
  ctx_cancel(&x.c[1], NULL);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_EQ(strlen(calls(&x)), 2);
  ASSERT_EQ(ctx_semaphore_release(&x.s, 1), 0);
  ASSERT_STR_EQ(calls(&x), "c");
  end(&x, 1);
}

TEST(on_a_closed_tree_nobody_can_wait) {
  scene_t x;
  begin(&x, 1);
  ask(&x, 0, 2);
  ctx_tree_close(&x.f.tree);
  ASSERT_EQ(ask_try(&x.f, &x.ask[1], &x.s, x.f.root, 1, 'b'), 0);
  ASSERT_EQ(ask_try(&x.f, &x.ask[2], &x.s, x.f.root, 1, 'c'), CTX_ECLOSED);
  ASSERT(ctx_acquire_stop(&x.ask[0].a));
  end(&x, 1);
}
