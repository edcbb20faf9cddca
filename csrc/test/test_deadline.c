/* SPDX-License-Identifier: MIT */
/* Deadlines: which one counts, when it is noticed, and in which order watchers are called. */
#include "fake.h"

/* The parent's deadline is earlier or the same, so it ends the child, with its cause. */
TEST(a_deadline_not_sooner_than_the_parents_never_fires) {
  for (uint64_t later = 0; later <= 5 * MS; later += 5 * MS) {
    fake_t f;
    REASON(outer);
    REASON(inner);
    fake_start(&f);
    ctx_t parent, child;
    probe_t p = {0};
    uint64_t at_ns = f.now_ns + MS;
    ctx_with_deadline(&parent, f.root, at_ns, &outer.cause);
    ctx_with_deadline(&child, &parent, at_ns + later, &inner.cause);
    probe_watch(&f, &p, &child, 'p');
    ASSERT_EQ(ctx_deadline(&child), at_ns);
    ASSERT_EQ(fake_counters(&f).deadlines, 1);
    fake_advance(&f, MS);
    ASSERT_EQ(p.calls, 1);
    ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &outer);
    ctx_release(&child);
    ctx_release(&parent);
    ASSERT_EQ(inner.held, 0);
    fake_stop(&f);
  }
}

TEST(a_timeout_is_a_deadline_counted_from_now) {
  fake_t f;
  REASON(slow);
  fake_start(&f);
  ctx_t c, endless, over;
  f.now_ns += 7; /* unseen by the tree so far */
  ctx_with_timeout(&c, f.root, MS, &slow.cause);
  ctx_with_timeout(&endless, f.root, CTX_NEVER - 1, NULL);
  ctx_with_timeout(&over, f.root, 0, &slow.cause);
  ASSERT_EQ(ctx_deadline(&c), f.now_ns + MS);
  ASSERT_EQ(ctx_deadline(&endless), CTX_NEVER);
  ASSERT_DONE(&over, CTX_DEADLINE_EXCEEDED, &slow);
  fake_advance(&f, MS - 1);
  ASSERT_LIVE(&c);
  fake_advance(&f, 1);
  ASSERT_DONE(&c, CTX_DEADLINE_EXCEEDED, &slow);
  ctx_release(&over);
  ctx_release(&endless);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(a_sooner_deadline_ends_the_child_alone) {
  fake_t f;
  REASON(outer);
  REASON(inner);
  fake_start(&f);
  ctx_t parent, child, grandchild;
  probe_t p = {0};
  ctx_with_deadline(&parent, f.root, f.now_ns + 5 * MS, &outer.cause);
  ctx_with_deadline(&child, &parent, f.now_ns + MS, &inner.cause);
  ctx_with_cancel(&grandchild, &child);
  probe_watch(&f, &p, &grandchild, 'p');
  ASSERT_EQ(fake_counters(&f).deadlines, 2);
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "p");
  ASSERT_LIVE(&parent);
  ASSERT_DONE(&grandchild, CTX_DEADLINE_EXCEEDED, &inner);
  ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &inner);
  fake_advance(&f, 4 * MS);
  ASSERT_DONE(&parent, CTX_DEADLINE_EXCEEDED, &outer);
  ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &inner);
  ctx_release(&grandchild);
  ctx_release(&child);
  ctx_release(&parent);
  fake_stop(&f);
}

/* A timeout of zero is legal, and so is any time before now. */
TEST(a_deadline_that_has_passed_is_born_done) {
  fake_t f;
  REASON(slow);
  REASON(late);
  fake_start(&f);
  uint64_t at_ns[] = {0, 1, ctx_now(&f.tree) - 1, ctx_now(&f.tree)};
  for (int i = 0; i < 4; i++) {
    ctx_t c, child;
    probe_t p = {0};
    ctx_with_deadline(&c, f.root, at_ns[i], &slow.cause);
    ASSERT_EQ(fake_counters(&f).linked, 0);
    ctx_cancel(&c, &late.cause);
    ASSERT_DONE(&c, CTX_DEADLINE_EXCEEDED, &slow);
    ASSERT_EQ(ctx_deadline(&c), at_ns[i]);
    ctx_with_cancel(&child, &c);
    ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &slow);
    probe_watch(&f, &p, &child, 'p');
    ASSERT_EQ(p.calls, 0);
    fake_settle(&f);
    ASSERT_EQ(p.calls, 1);
    ctx_release(&child);
    ctx_release(&c);
  }
  fake_stop(&f);
}

TEST(a_cancel_before_the_deadline_drops_deadline_and_cause) {
  fake_t f;
  REASON(slow);
  REASON(early);
  fake_start(&f);
  ctx_t c;
  probe_t p = {0};
  ctx_with_deadline(&c, f.root, f.now_ns + MS, &slow.cause);
  probe_watch(&f, &p, &c, 'p');
  ASSERT_EQ(fake_counters(&f).deadlines, 1);
  ctx_cancel(&c, &early.cause);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ASSERT_EQ(slow.held, 0);
  fake_advance(&f, 10 * MS);
  ASSERT_STR_EQ(fake_calls(&f), "p");
  ASSERT_DONE(&c, CTX_CANCELED, &early);
  ctx_release(&c);
  fake_stop(&f);
}

TEST(a_child_answers_its_ancestors_deadline_for_ever) {
  fake_t f;
  fake_start(&f);
  ctx_t a, b, c;
  uint64_t at_ns = f.now_ns + MS;
  ctx_with_deadline(&a, f.root, at_ns, NULL);
  ctx_with_cancel(&b, &a);
  ctx_with_deadline(&c, &b, at_ns + MS, NULL);
  for (int i = 0; i < 3; i++) {
    ASSERT_EQ(ctx_deadline(&b), at_ns);
    ASSERT_EQ(ctx_deadline(&c), at_ns);
    f.now_ns += MS;
    ASSERT_EQ(ctx_err(&c), CTX_DEADLINE_EXCEEDED);
  }
  fake_stop(&f);
}

/* Go's answer, too: what is born done of its parent still has the deadline it was given. */
TEST(a_child_of_a_done_parent_answers_its_own_sooner_deadline) {
  fake_t f;
  REASON(slow);
  fake_start(&f);
  ctx_t parent, sooner, later;
  uint64_t at_ns = f.now_ns + 5 * MS;
  ctx_with_deadline(&parent, f.root, at_ns, NULL);
  ctx_cancel(&parent, NULL);
  ctx_with_deadline(&sooner, &parent, at_ns - MS, &slow.cause);
  ctx_with_deadline(&later, &parent, at_ns + MS, &slow.cause);
  ASSERT_DONE(&sooner, CTX_CANCELED, NULL);
  ASSERT_EQ(ctx_deadline(&sooner), at_ns - MS);
  ASSERT_EQ(ctx_deadline(&later), at_ns);
  ASSERT_EQ(slow.held, 0);
  fake_stop(&f);
}

/* root ── owner (1 ms) ── a ── a1, watched and shared
 *                          └─ b ── b1, idle
 * The tree does not run: a loop that only polls must see the deadline, and end the whole subtree. */
TEST(a_poll_ends_the_whole_subtree_of_the_deadline_on_the_spot) {
  fake_t f;
  REASON(slow);
  fake_start(&f);
  ctx_t owner, a, a1, b, b1;
  probe_t p = {0}, q = {0};
  ctx_with_deadline(&owner, f.root, f.now_ns + MS, &slow.cause);
  ctx_with_cancel(&a, &owner);
  ctx_with_cancel(&a1, &a);
  ctx_with_cancel(&b, &owner);
  ctx_with_cancel(&b1, &b);
  probe_watch(&f, &p, &a1, 'p');
  ctx_flag_t* flag = ctx_share(&a1);
  f.now_ns += MS - 1;
  ASSERT_LIVE(&b1);
  f.now_ns += 1;
  ASSERT_EQ(ctx_flag_err(flag), 0);
  ASSERT_DONE(&b1, CTX_DEADLINE_EXCEEDED, &slow);
  ASSERT_EQ(ctx_flag_err(flag), CTX_DEADLINE_EXCEEDED);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ASSERT_DONE(&b, CTX_DEADLINE_EXCEEDED, &slow);
  ASSERT_DONE(&owner, CTX_DEADLINE_EXCEEDED, &slow);
  ASSERT_DONE(&a1, CTX_DEADLINE_EXCEEDED, &slow);
  probe_watch(&f, &q, &a, 'q');
  ASSERT_EQ(p.calls, 0);
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "pq");
  ASSERT_EQ(fake_counters(&f).expired, 5);
  ctx_flag_release(flag);
  ctx_t* all[] = {&b1, &b, &a1, &a, &owner};
  for (int i = 0; i < 5; i++) ctx_release(all[i]);
  fake_stop(&f);
}

/* A deadline that passed before the cancel came first, whether anybody had looked or not; at the
 * same time, too, since a poll just before the cancel would have seen it. */
TEST(a_deadline_before_the_parents_cancel_wins) {
  for (int watched = 0; watched <= 1; watched++) {
    for (uint64_t wait_ns = 0; wait_ns <= 2; wait_ns++) {
      fake_t f;
      REASON(slow);
      REASON(gone);
      test_note("watched %d, cancelled %d ns after the deadline", watched, (int)wait_ns - 1);
      fake_start(&f);
      ctx_t parent, child, below;
      probe_t p = {0};
      ctx_with_cancel(&parent, f.root);
      ctx_with_deadline(&child, &parent, f.now_ns + MS, &slow.cause);
      ctx_with_cancel(&below, &child);
      if (watched) probe_watch(&f, &p, &below, 'p');
      f.now_ns += MS - 1 + wait_ns;
      ctx_cancel(&parent, &gone.cause);
      ASSERT_DONE(&parent, CTX_CANCELED, &gone);
      ASSERT_DONE(&below, wait_ns ? CTX_DEADLINE_EXCEEDED : CTX_CANCELED, wait_ns ? &slow : &gone);
      ASSERT_DONE(&child, wait_ns ? CTX_DEADLINE_EXCEEDED : CTX_CANCELED, wait_ns ? &slow : &gone);
      fake_settle(&f);
      ctx_release(&below);
      ctx_release(&child);
      ctx_release(&parent);
      fake_stop(&f);
    }
  }
}

/* The same for the context itself: a cancel that comes after its deadline comes too late. */
TEST(a_cancel_after_the_contexts_own_deadline_is_too_late) {
  for (int watched = 0; watched <= 1; watched++) {
    fake_t f;
    REASON(slow);
    REASON(gone);
    fake_start(&f);
    ctx_t top, c;
    probe_t p = {0};
    ctx_with_deadline(&top, f.root, f.now_ns + MS, &slow.cause);
    ctx_with_cancel(&c, &top);
    if (watched) probe_watch(&f, &p, &c, 'p');
    f.now_ns += MS;
    ctx_cancel(&c, &gone.cause);
    ASSERT_DONE(&c, CTX_DEADLINE_EXCEEDED, &slow);
    ASSERT_DONE(&top, CTX_DEADLINE_EXCEEDED, &slow);
    fake_settle(&f);
    ctx_release(&c);
    ctx_release(&top);
    fake_stop(&f);
  }
}

/* A chain of ever sooner deadlines, cancelled at the top when half of them have passed, and read
 * from the bottom: each says what ended it first. */
TEST(unlinked_descendants_tell_the_deadlines_apart) {
  enum { N = 20 };
  fake_t f;
  REASON(gone);
  reason_t slow[N];
  ctx_t c[2 * N];
  fake_start(&f);
  uint64_t start_ns = f.now_ns;
  for (int i = 0; i < N; i++) {
    slow[i] = (reason_t){{&reason_ops}, "slow", 0};
    ctx_t* parent = i ? &c[2 * i - 1] : f.root;
    ctx_with_deadline(&c[2 * i], parent, start_ns + (uint64_t)(N - i) * MS, &slow[i].cause);
    ctx_with_cancel(&c[2 * i + 1], &c[2 * i]);
  }
  f.now_ns += N / 2 * MS;
  ctx_cancel(&c[0], &gone.cause);
  for (int i = 2 * N - 1; i >= 0; i--) {
    /* Those from N / 2 on were due; each belongs to the sooner deadline below which it hangs. */
    bool due = i / 2 >= N / 2;
    ASSERT_EQ(ctx_err(&c[i]), due ? CTX_DEADLINE_EXCEEDED : CTX_CANCELED);
    ASSERT_PTR_EQ(ctx_cause(&c[i]), due ? &slow[i / 2].cause : &gone.cause);
  }
  for (int i = 2 * N - 1; i >= 0; i--) ctx_release(&c[i]);
  fake_stop(&f);
}

/* ORDER in ctx.h. The order in which they are watched, or noticed, counts for nothing. */
TEST(deadlines_are_called_by_time_and_equal_ones_as_they_were_made) {
  fake_t f;
  fake_start(&f);
  ctx_t c[4];
  probe_t p[4] = {0};
  alarm_t a[2] = {0};
  uint64_t at_ns = f.now_ns + MS;
  ctx_with_deadline(&c[0], f.root, at_ns + MS, NULL);
  ctx_with_deadline(&c[1], f.root, at_ns, NULL);
  alarm_start(&f, &a[0], at_ns, '4');
  ctx_with_deadline(&c[2], f.root, at_ns, NULL);
  alarm_start(&f, &a[1], at_ns + MS, '5');
  ctx_with_deadline(&c[3], f.root, at_ns, NULL);
  for (int i = 3; i >= 0; i--) probe_watch(&f, &p[i], &c[i], (char)('0' + i));
  f.now_ns += 2 * MS;
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "142305");
  fake_stop(&f);
}

TEST(a_poll_does_not_let_a_later_deadline_overtake) {
  fake_t f;
  fake_start(&f);
  ctx_t early, late;
  probe_t p = {0}, q = {0};
  alarm_t a = {0};
  ctx_with_deadline(&late, f.root, f.now_ns + 3 * MS, NULL);
  ctx_with_deadline(&early, f.root, f.now_ns + MS, NULL);
  probe_watch(&f, &q, &late, 'l');
  probe_watch(&f, &p, &early, 'e');
  alarm_start(&f, &a, f.now_ns + 2 * MS, 'a');
  f.now_ns += 3 * MS;
  ASSERT_EQ(ctx_err(&late), CTX_DEADLINE_EXCEEDED);
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "eal");
  fake_stop(&f);
}

TEST(times_saturate_and_never_is_never) {
  ASSERT_EQ(ctx_time_add(2, 3), 5);
  ASSERT_EQ(ctx_time_add(CTX_NEVER, 0), CTX_NEVER);
  ASSERT_EQ(ctx_time_add(CTX_NEVER, 1), CTX_NEVER);
  ASSERT_EQ(ctx_time_add(1, CTX_NEVER), CTX_NEVER);
  ASSERT_EQ(ctx_time_add(CTX_NEVER, CTX_NEVER), CTX_NEVER);
  ASSERT_EQ(ctx_time_add(CTX_NEVER - 1, 1), CTX_NEVER);
  ASSERT_EQ(ctx_time_add(CTX_NEVER - 2, 1), CTX_NEVER - 1);
  fake_t f;
  fake_start(&f);
  ctx_t never, last;
  probe_t p = {0}, q = {0};
  ctx_with_deadline(&never, f.root, CTX_NEVER, NULL);
  ctx_with_deadline(&last, f.root, CTX_NEVER - 1, NULL);
  probe_watch(&f, &p, &never, 'n');
  ASSERT_EQ(f.wakes, 0);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  probe_watch(&f, &q, &last, 'l');
  ASSERT_EQ(f.wake_ns, CTX_NEVER - 1);
  f.now_ns = CTX_NEVER - 2;
  fake_run(&f);
  ASSERT_LIVE(&last);
  fake_advance(&f, 1);
  ASSERT_STR_EQ(fake_calls(&f), "l");
  ASSERT_LIVE(&never);
  ctx_cancel(&never, NULL);
  fake_settle(&f);
  fake_stop(&f);
}

/* The coarse clock lags by up to 4 ms: polls may be that late, but never early. Waits are exact, and polls
 * see every end that a wait has seen. */
TEST(a_coarse_clock_makes_polls_late_and_waits_not) {
  fake_t f;
  fake_start_on(&f, &fake_host_coarse);
  f.lag_ns = 4 * MS;
  ctx_t polled, waited;
  probe_t p = {0};
  uint64_t at_ns = f.now_ns + 10 * MS;
  ctx_with_deadline(&polled, f.root, at_ns, NULL);
  ctx_with_deadline(&waited, f.root, at_ns + 10 * MS, NULL);
  f.now_ns = at_ns + 4 * MS - 1;
  ASSERT_LIVE(&polled);
  f.now_ns++;
  ASSERT_DONE(&polled, CTX_DEADLINE_EXCEEDED, NULL);
  probe_watch(&f, &p, &waited, 'w');
  fake_advance(&f, 6 * MS - 1);
  ASSERT_LIVE(&waited);
  fake_advance(&f, 1);
  ASSERT_STR_EQ(fake_calls(&f), "w");
  ASSERT_DONE(&waited, CTX_DEADLINE_EXCEEDED, NULL);
  fake_stop(&f);
}

/* A host's clock should not step back; if it does, time stands still. */
TEST(time_never_runs_backwards) {
  fake_t f;
  fake_start(&f);
  uint64_t now_ns = ctx_now(&f.tree);
  f.now_ns -= MS;
  ASSERT_EQ(ctx_now(&f.tree), now_ns);
  ctx_t c;
  ctx_with_deadline(&c, f.root, now_ns, NULL);
  ASSERT_EQ(ctx_err(&c), CTX_DEADLINE_EXCEEDED);
  f.now_ns += 2 * MS;
  ASSERT_EQ(ctx_now(&f.tree), now_ns + MS);
  fake_stop(&f);
}
