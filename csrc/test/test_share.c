/* SPDX-License-Identifier: MIT */
/* Flags, and cancels through them, on one thread. test_async.c uses real threads. */
#include <signal.h>
#include <sys/time.h>

#include "fake.h"

static ctx_flag_t* share(ctx_t* c) {
  ctx_flag_t* flag = ctx_share(c);
  ASSERT(flag);
  return flag;
}

/* As any thread would: it gives its own reference to the cause, if the request is taken. */
static bool ask(ctx_flag_t* flag, reason_t* cause) {
  reason_retain(&cause->cause);
  bool taken = ctx_cancel_async(flag, &cause->cause);
  if (!taken) reason_release(&cause->cause);
  return taken;
}

/* -- What a flag says -------------------------------------------------------------------------- */

TEST(a_flag_is_set_within_the_cancel) {
  fake_t f;
  fake_start(&f);
  ctx_t parent, c;
  ctx_with_cancel(&parent, f.root);
  ctx_with_cancel(&c, &parent);
  ctx_flag_t *flag = share(&c), *second = share(&c);
  ASSERT_EQ(ctx_flag_err(flag), 0);
  ASSERT_EQ(fake_counters(&f).linked, 2);
  ctx_cancel(&parent, NULL);
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  ASSERT_EQ(ctx_flag_err(second), CTX_CANCELED);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ctx_flag_release(flag);
  ctx_flag_release(second);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(a_flag_hears_of_a_deadline_when_the_loop_does) {
  for (int poll = 0; poll <= 1; poll++) {
    fake_t f;
    fake_start(&f);
    ctx_t c, child;
    ctx_with_deadline(&c, f.root, f.now_ns + MS, NULL);
    ctx_with_cancel(&child, &c);
    ctx_flag_t* flag = share(&child);
    ASSERT_EQ(f.wake_ns, f.now_ns + MS); /* so that the flag is set although nothing watches */
    f.now_ns += MS;
    ASSERT_EQ(ctx_flag_err(flag), 0);
    if (poll)
      ASSERT_EQ(ctx_err(&c), CTX_DEADLINE_EXCEEDED);
    else
      fake_settle(&f);
    ASSERT_EQ(ctx_flag_err(flag), CTX_DEADLINE_EXCEEDED);
    ctx_flag_release(flag);
    ctx_release(&child);
    fake_stop(&f);
  }
}

TEST(a_flag_of_a_done_context_is_born_set) {
  fake_t f;
  fake_start(&f);
  ctx_t c, passed;
  ctx_with_cancel(&c, f.root);
  ctx_cancel(&c, NULL);
  ctx_with_deadline(&passed, f.root, f.now_ns, NULL);
  ctx_flag_t *flag = share(&c), *late = share(&passed);
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  ASSERT_EQ(ctx_flag_err(late), CTX_DEADLINE_EXCEEDED);
  ASSERT(!ctx_cancel_async(flag, NULL));
  ASSERT_EQ(f.soon, 0);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ctx_flag_release(flag);
  ctx_flag_release(late);
  fake_stop(&f);
}

/* -- In a signal handler: it interrupts the program anywhere, also in the functions that lock --- */

static ctx_flag_t* watched;
static volatile sig_atomic_t heard, said;

static void on_signal(int number) {
  (void)number;
  heard++;
  said = ctx_flag_err(watched);
}

TEST(a_signal_handler_may_ask_a_flag) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  watched = share(&c);
  struct sigaction action = {.sa_handler = on_signal}, before;
  ASSERT_EQ(sigaction(SIGPROF, &action, &before), 0);
  struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  ASSERT_EQ(setitimer(ITIMER_PROF, &often, NULL), 0);
  while (heard < 20) { /* of the processor's time, so it interrupts what is done here */
    ctx_t other;
    ctx_with_cancel(&other, f.root);
    ctx_flag_t* flag = share(&other);
    ASSERT(ctx_cancel_async(flag, NULL));
    fake_run(&f);
    ctx_flag_release(flag);
    ctx_release(&other);
    ASSERT_EQ(said, 0);
  }
  ASSERT_EQ(setitimer(ITIMER_PROF, &never, NULL), 0);
  ctx_cancel(&c, NULL);
  raise(SIGPROF);
  ASSERT_EQ(said, CTX_CANCELED);
  ASSERT_EQ(sigaction(SIGPROF, &before, NULL), 0);
  ctx_flag_release(watched);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(a_flag_outlives_its_context_and_the_tree) {
  REASON(too_late);
  ctx_flag_t *ended, *live;
  fake_t* f = malloc(sizeof *f);
  fake_start(f);
  ctx_t *a = malloc(sizeof *a), *b = malloc(sizeof *b);
  ctx_with_cancel(a, f->root);
  ctx_with_cancel(b, f->root);
  ended = share(a);
  live = share(b);
  ctx_release(a);
  free(a);
  ctx_flag_retain(ended);
  fake_stop(f);
  ctx_release(b);
  free(b);
  free(f);
  ASSERT_EQ(ctx_flag_err(ended), CTX_CANCELED);
  ASSERT_EQ(ctx_flag_err(live), 0);
  ASSERT(!ask(live, &too_late));
  ctx_flag_release(live);
  ctx_flag_release(ended);
  ASSERT_EQ(ctx_flag_err(ended), CTX_CANCELED);
  ctx_flag_release(ended);
  ASSERT_EQ(memory.bytes, 0);
}

TEST(a_context_is_linked_while_it_has_a_flag) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_deadline(&c, f.root, f.now_ns + MS, NULL);
  ctx_flag_t* flag = share(&c);
  ctx_flag_retain(flag);
  ctx_flag_release(flag);
  fake_run(&f);
  ASSERT_EQ(fake_counters(&f).linked, 1);
  ASSERT_EQ(fake_counters(&f).deadlines, 1);
  ctx_flag_release(flag);
  fake_run(&f); /* only here may the loop's own lists be touched */
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ASSERT_LIVE(&c);
  ctx_release(&c);
  fake_stop(&f);
}

/* Its ear is still in there until the next turn. */
TEST(a_context_may_go_right_after_its_last_flag) {
  fake_t f;
  fake_start(&f);
  for (int i = 0; i < 3; i++) {
    ctx_t *c = malloc(sizeof *c), arm, *any = malloc(sizeof *any);
    if (i == 0)
      ctx_with_cancel(c, f.root);
    else
      ctx_without_cancel(c, f.root);
    ASSERT_EQ(ctx_any(any, &arm, &c, 1), 0);
    ctx_flag_t* flag = share(i == 2 ? any : c);
    ctx_flag_release(flag);
    ctx_release(any);
    free(any);
    ctx_release(c);
    free(c);
  }
  fake_run(&f);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_stop(&f);
}

TEST(a_host_without_wake_soon_cannot_share) {
  fake_t f;
  fake_start_on(&f, &fake_host_alone);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  ASSERT_PTR_EQ(ctx_share(&c), NULL);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT_EQ(memory.bytes, 0);
  fake_stop(&f);
}

/* -- The cancel from elsewhere ----------------------------------------------------------------- */

TEST(a_request_takes_effect_at_the_next_turn_which_it_asks_for) {
  fake_t f;
  REASON(stop);
  fake_start(&f);
  ctx_t c, child;
  probe_t p = {0};
  ctx_with_cancel(&c, f.root);
  ctx_with_cancel(&child, &c);
  ctx_flag_t* flag = share(&c);
  probe_watch(&f, &p, &child, 'p');
  ASSERT(ask(flag, &stop));
  ASSERT_EQ(f.soon, 1);
  ASSERT_LIVE(&c);
  ASSERT_EQ(ctx_flag_err(flag), 0);
  ASSERT(fake_turn(&f));
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  ASSERT_DONE(&child, CTX_CANCELED, &stop);
  ASSERT_EQ(p.calls, 1); /* in the same turn */
  ctx_flag_release(flag);
  ctx_release(&child);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(the_first_request_counts_and_the_others_keep_their_cause) {
  fake_t f;
  REASON(first);
  REASON(second);
  fake_start(&f);
  ctx_t c;
  ctx_with_cancel(&c, f.root);
  ctx_flag_t *flag = share(&c), *other = share(&c);
  ASSERT(ask(flag, &first));
  ASSERT(!ask(flag, &second));
  ASSERT(ask(other, &second)); /* taken, but too late */
  ASSERT_EQ(second.held, 1);
  fake_settle(&f);
  ASSERT_DONE(&c, CTX_CANCELED, &first);
  ASSERT_EQ(second.held, 0);
  ASSERT(!ask(flag, &second));
  ctx_flag_release(flag);
  ctx_flag_release(other);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(requests_are_carried_out_in_order) {
  fake_t f;
  REASON(child_first);
  REASON(then_parent);
  fake_start(&f);
  ctx_t parent, child;
  ctx_with_cancel(&parent, f.root);
  ctx_with_cancel(&child, &parent);
  ctx_flag_t *above = share(&parent), *below = share(&child);
  ASSERT(ask(below, &child_first));
  ASSERT(ask(above, &then_parent));
  fake_settle(&f);
  ASSERT_DONE(&child, CTX_CANCELED, &child_first);
  ASSERT_DONE(&parent, CTX_CANCELED, &then_parent);
  ctx_flag_release(above);
  ctx_flag_release(below);
  ctx_release(&child);
  ctx_release(&parent);
  fake_stop(&f);
}

/* What else may have happened by the time the loop gets to it. */
TEST(a_request_may_come_too_late) {
  for (int how = 0; how < 5; how++) {
    fake_t f;
    REASON(stop);
    test_note("case %d", how);
    fake_start(&f);
    ctx_t c;
    ctx_with_deadline(&c, f.root, f.now_ns + MS, NULL);
    ctx_flag_t* flag = share(&c);
    ASSERT(ask(flag, &stop));
    if (how == 0) ctx_cancel(&c, NULL);
    if (how == 1) f.now_ns += MS;
    if (how == 2) ctx_release(&c);
    if (how == 3) ctx_tree_close(&f.tree);
    if (how == 4) ctx_flag_release(flag); /* which changes nothing: it was asked for */
    fake_settle(&f);
    ASSERT_EQ(ctx_err(&c), how == 3 ? 0 : how == 1 ? CTX_DEADLINE_EXCEEDED : CTX_CANCELED);
    ASSERT_EQ(stop.held, how == 4 ? 1 : 0);
    if (how != 4) ctx_flag_release(flag);
    ctx_release(&c);
    fake_stop(&f);
  }
}

TEST(a_request_to_cancel_a_root_changes_nothing) {
  fake_t f;
  REASON(stop);
  fake_start(&f);
  ctx_t detached, child;
  ctx_without_cancel(&detached, f.root);
  ctx_with_cancel(&child, &detached);
  ctx_flag_t* flags[] = {share(f.root), share(&detached)};
  for (int i = 0; i < 2; i++) ask(flags[i], &stop);
  fake_run(&f);
  ASSERT_EQ(stop.held, 0);
  ASSERT_LIVE(f.root);
  ASSERT_LIVE(&child);
  for (int i = 0; i < 2; i++) {
    ASSERT_EQ(ctx_flag_err(flags[i]), 0);
    ctx_flag_release(flags[i]);
  }
  fake_run(&f);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ctx_release(&detached);
  fake_stop(&f);
}
