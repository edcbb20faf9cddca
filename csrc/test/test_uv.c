/* SPDX-License-Identifier: MIT */
/* The libuv host on real loops with the real clock: deadlines, the life of the loop, its turns. No
 * test sleeps: each waits for the event itself, and where time must pass it computes. */

#include "uv_bed.h"

#include <ctx/uv.h> /* also: this program needs libuv, says this line to the build */

static void compute_for(uint64_t ns) {
  uint64_t end_ns = uv_hrtime() + ns;
  while (uv_hrtime() < end_ns) {
  }
}

static unsigned turns_until_called(const probe_t* p) {
  unsigned turns = 0;
  for (; p->calls == 0; turns++) uv_run(&p->bed->loop, UV_RUN_ONCE);
  return turns;
}

/* -- Deadlines ---------------------------------------------------------------------------- */

TEST(a_deadline_calls_its_watcher_and_not_before_its_time) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  for (unsigned i = 0; i < 20; i++) {
    probe_start(&p, &bed, in_ms(&bed, 1) + i * MS / 20, probe_note_last);
    ctx_uv_ref(&bed.host);
    ASSERT_INT(turns_until_called(&p), <=,
               3); /* the time is rounded up: no spinning until it comes */
    ASSERT_EQ(ctx_err(&p.c), CTX_DEADLINE_EXCEEDED);
    ASSERT_INT(p.called_ns, >=, ctx_deadline(&p.c));
    ctx_release(&p.c);
  }
  bed_end(&bed);
}

TEST(an_earlier_deadline_moves_the_timer_and_a_later_one_does_not) {
  bed_t bed;
  probe_t hour, late, soon;
  bed_make(&bed);
  probe_start(&hour, &bed, ctx_now(bed.tree) + HOUR, probe_note);
  ASSERT_EQ(bed.host.armed_ns, ctx_deadline(&hour.c));
  uint64_t starts = bed.host.timer.start_id;
  probe_start(&late, &bed, ctx_now(bed.tree) + 2 * HOUR, probe_note);
  ctx_cancel(&late.c, NULL);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(late.calls, 1);
  ASSERT_EQ(bed.host.timer.start_id, starts); /* a turn does not start it again either */
  ASSERT_EQ(bed.host.armed_ns, ctx_deadline(&hour.c));
  probe_start(&soon, &bed, in_ms(&bed, 200), probe_note_last); /* not over yet, on a busy machine */
  ASSERT_EQ(bed.host.armed_ns, ctx_deadline(&soon.c));
  ctx_uv_ref(&bed.host);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(soon.calls, 1);
  ASSERT_EQ(hour.calls, 0);
  ASSERT_EQ(bed.host.armed_ns, ctx_deadline(&hour.c)); /* the next one */
  ctx_release(&hour.c);
  ctx_release(&late.c);
  ctx_release(&soon.c);
  bed_end(&bed);
}

static void count_handle(uv_handle_t* handle, void* counts) {
  unsigned* count = counts;
  count[0]++;
  if (uv_handle_get_type(handle) == UV_TIMER) count[1]++;
}

TEST(a_thousand_timeouts_cost_one_timer) {
  enum { N = 1000 };
  static probe_t p[N];
  bed_t bed;
  bed_make(&bed);
  uint64_t base_ns = in_ms(&bed, 1);
  for (unsigned i = 0; i < N; i++) {
    probe_start(&p[i], &bed, base_ns + (i * 37 % N) * MS / 100, probe_note);
  }
  unsigned count[2] = {0, 0};
  uv_walk(&bed.loop, count_handle, count);
  ASSERT_EQ(count[0], 3);
  ASSERT_EQ(count[1], 1);
  probe_t last;
  probe_start(&last, &bed, base_ns + N * MS / 100, probe_note_last);
  ctx_uv_ref(&bed.host);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  for (unsigned i = 0; i < N; i++) {
    ASSERT_EQ(p[i].calls, 1);
    ASSERT_INT(p[i].called_ns, >=, ctx_deadline(&p[i].c));
    ctx_release(&p[i].c);
  }
  ctx_release(&last.c);
  bed_end(&bed);
}

/* Cause: uv_timer_start adds to the loop's time, which stands still while the program computes, so
 * that a timer of 20 ms after 30 ms of work fires at once. The host counts from the clock. */
TEST(a_deadline_set_after_long_work_is_not_early) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  compute_for(30 * MS);
  probe_start(&p, &bed, in_ms(&bed, 20), probe_note_last);
  ctx_uv_ref(&bed.host);
  ASSERT_INT(turns_until_called(&p), <=, 3);
  ASSERT_INT(p.called_ns, >=, ctx_deadline(&p.c));
  ctx_release(&p.c);
  bed_end(&bed);
}

static void compute_then_note(ctx_watcher_t* w) {
  compute_for(30 * MS);
  probe_note(w);
}

static void compute_then_start(uv_idle_t* idle) {
  probe_t* p = idle->data;
  compute_for(30 * MS);
  probe_start(p, p->bed, in_ms(p->bed, 20), probe_note);
  p->called_ns = uv_hrtime();
  uv_close((uv_handle_t*)idle, NULL);
}

static void note_loop_time(uv_prepare_t* prepare) {
  *(uint64_t*)prepare->data = uv_now(prepare->loop);
  uv_close((uv_handle_t*)prepare, NULL);
}

/* Cause: the loop polls until the next timer as seen from its own time; unless that is brought up
 * to date, it sleeps past the next deadline for as long as the calls before have taken. */
static void poll_after_long_work(bool in_a_watcher) {
  bed_t bed;
  probe_t p;
  uv_idle_t idle;
  uv_prepare_t prepare;
  uint64_t polled_ms;
  bed_make(&bed);
  uv_prepare_init(&bed.loop, &prepare);
  prepare.data = &polled_ms;
  uv_prepare_start(&prepare, note_loop_time);
  p.bed = &bed;
  if (in_a_watcher) {
    probe_start(&p, &bed, CTX_NEVER, compute_then_note);
    ctx_cancel(&p.c, NULL);
  } else {
    uv_idle_init(&bed.loop, &idle);
    idle.data = &p;
    uv_idle_start(&idle, compute_then_start);
  }
  uv_run(&bed.loop, UV_RUN_NOWAIT);
  ASSERT_INT(polled_ms + 2, >=, p.called_ns / MS); /* libuv's clock may be coarse */
  ctx_release(&p.c);
  bed_end(&bed);
}

TEST(the_loop_polls_with_a_fresh_time_after_long_calls) {
  poll_after_long_work(true);
}

TEST(the_loop_polls_with_a_fresh_time_after_a_late_start) {
  poll_after_long_work(false);
}

/* A clock that is behind libuv's own stands for a timer that fires before its time. */
static uint64_t slow_clock(void* data) {
  (void)data;
  return uv_hrtime() - 4 * MS;
}

TEST(a_timer_that_fired_early_is_started_again) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  ctx_host_t slow = *bed.tree->host;
  slow.now = slow.now_coarse = slow_clock;
  bed.tree->host = &slow;
  probe_start(&p, &bed, in_ms(&bed, 3), probe_note_last);
  ctx_uv_ref(&bed.host);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(p.calls, 1);
  ASSERT_INT(p.called_ns, >=, ctx_deadline(&p.c) + 4 * MS);
  ctx_release(&p.c);
  bed_end(&bed);
}

TEST(a_loop_that_only_computes_sees_its_deadline) {
  bed_t bed;
  ctx_t c, sibling;
  bed_make(&bed);
  uint64_t at_ns = in_ms(&bed, 10);
  ctx_with_deadline(&c, bed.root, at_ns, NULL);
  ctx_with_deadline(&sibling, bed.root, at_ns, NULL);
  while (ctx_err(&c) == 0) ASSERT_INT(uv_hrtime(), <, at_ns + 5000 * MS);
  ASSERT_INT(uv_hrtime(), >=, at_ns);
  ASSERT_EQ(ctx_err(&c), CTX_DEADLINE_EXCEEDED);
  ASSERT_EQ(ctx_err(&sibling), CTX_DEADLINE_EXCEEDED);
  bed_end(&bed);
}

/* -- The life of the loop ----------------------------------------------------------------- */

TEST(deadlines_alone_do_not_hold_the_loop) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  probe_start(&p, &bed, ctx_now(bed.tree) + HOUR, probe_note);
  ASSERT_EQ(uv_loop_alive(&bed.loop), 0);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(p.calls, 0);
  ctx_uv_ref(&bed.host);
  ctx_uv_ref(&bed.host);
  ASSERT(uv_loop_alive(&bed.loop));
  ctx_uv_unref(&bed.host);
  ASSERT_EQ(uv_loop_alive(&bed.loop), 0);
  ctx_release(&p.c);
  bed_end(&bed);
}

TEST(what_was_cancelled_is_told_before_the_loop_ends) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  probe_start(&p, &bed, CTX_NEVER, probe_note);
  ctx_cancel(&p.c, NULL);
  ASSERT_EQ(p.calls, 0);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(p.calls, 1);
  ctx_release(&p.c);
  bed_end(&bed);
}

TEST(two_hosts_share_one_loop) {
  bed_t bed;
  ctx_uv_t other;
  probe_t p, q;
  bed_make(&bed);
  ASSERT_EQ(ctx_uv_init(&other, &bed.loop), 0);
  ASSERT_PTR_EQ(ctx_uv_loop(&other), &bed.loop);
  probe_start(&p, &bed, CTX_NEVER, probe_note);
  ctx_with_cancel(&q.c, ctx_background(ctx_uv_tree(&other)));
  q.calls = 0;
  ASSERT_EQ(ctx_watch(&q.c, &q.watcher, probe_note), 0);
  ctx_cancel(&p.c, NULL);
  ctx_cancel(&q.c, NULL);
  ctx_uv_close(&other, NULL);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(p.calls, 1);
  ASSERT_EQ(q.calls, 0);
  ctx_release(&p.c);
  ctx_release(&q.c);
  bed_end(&bed);
}

/* -- I/O beside endless calls ------------------------------------------------------------- */

typedef struct chain_s {
  ctx_t c;
  ctx_watcher_t watcher;
  ctx_timer_t timer;
  ctx_tree_t* tree;
  uv_async_t io;
  unsigned calls;
  bool io_came;
} chain_t;

static void chain_io(uv_async_t* io) {
  ((chain_t*)io->data)->io_came = true;
  uv_close((uv_handle_t*)io, NULL);
}

/* True until the I/O that the first call set going has come. */
static bool chain_goes_on(chain_t* chain) {
  if (chain->calls++ == 0) uv_async_send(&chain->io);
  ASSERT_INT(chain->calls, <, 1000);
  return !chain->io_came;
}

static void chain_watch(ctx_watcher_t* w) {
  chain_t* chain = (chain_t*)((char*)w - offsetof(chain_t, watcher));
  if (chain_goes_on(chain)) ASSERT_EQ(ctx_watch(&chain->c, w, chain_watch), 0);
}

static void chain_timer(ctx_timer_t* t) {
  chain_t* chain = (chain_t*)((char*)t - offsetof(chain_t, timer));
  uint64_t now_ns = ctx_now(chain->tree);
  if (chain_goes_on(chain)) ASSERT_EQ(ctx_timer_start(chain->tree, t, now_ns, chain_timer), 0);
}

/* Cause: libuv before 1.48 calls a timer of 0 ms that starts itself again for ever in one turn. */
static void endless_calls(bool with_timers) {
  bed_t bed;
  chain_t chain = {.calls = 0};
  bed_make(&bed);
  chain.tree = bed.tree;
  ASSERT_EQ(uv_async_init(&bed.loop, &chain.io, chain_io), 0);
  chain.io.data = &chain;
  uint64_t at_ns = in_ms(&bed, 1);
  ctx_with_deadline(&chain.c, bed.root, at_ns, NULL);
  if (with_timers)
    ASSERT_EQ(ctx_timer_start(bed.tree, &chain.timer, at_ns, chain_timer), 0);
  else
    ASSERT_EQ(ctx_watch(&chain.c, &chain.watcher, chain_watch), 0);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT(chain.io_came);
  ctx_release(&chain.c);
  bed_end(&bed);
}

TEST(watchers_that_watch_again_do_not_starve_io) {
  endless_calls(false);
}

TEST(timers_that_start_again_do_not_starve_io) {
  endless_calls(true);
}
