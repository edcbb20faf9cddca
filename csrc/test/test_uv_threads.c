/* SPDX-License-Identifier: MIT */
/* The libuv host beside other threads, and its end. No test sleeps for the loop's sake. */

#include "uv_bed.h"

#include <ctx/uv.h> /* also: this program needs libuv, says this line to the build */

/* -- Other threads ------------------------------------------------------------------------ */

static void cancel_from_thread(void* arg) {
  ASSERT(ctx_cancel_async(arg, NULL));
}

TEST(another_thread_wakes_the_loop_and_cancels) {
  bed_t bed;
  probe_t p;
  uv_thread_t thread;
  bed_make(&bed);
  probe_start(&p, &bed, ctx_now(bed.tree) + HOUR, probe_note_last);
  p.flag = ctx_share(&p.c);
  ASSERT(p.flag != NULL);
  ctx_uv_ref(&bed.host);
  ASSERT_EQ(uv_thread_create(&thread, cancel_from_thread, p.flag), 0);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  uv_thread_join(&thread);
  ASSERT_EQ(p.calls, 1);
  ASSERT_EQ(ctx_err(&p.c), CTX_CANCELED);
  ASSERT_EQ(ctx_flag_err(p.flag), CTX_CANCELED);
  ctx_flag_release(p.flag);
  ctx_release(&p.c);
  bed_end(&bed);
}

/* One job on the thread pool that lasts until its context ends. */
typedef struct job_s {
  uv_work_t work;
  ctx_t c;
  ctx_watcher_t watcher;
  ctx_flag_t* flag;
  int heard; /* by the job, on its thread */
  int status;
} job_t;

static void job_work(uv_work_t* work) {
  job_t* job = work->data;
  while ((job->heard = ctx_flag_err(job->flag)) == 0) uv_sleep(1);
}

static void job_done(ctx_watcher_t* w) {
  job_t* job = (job_t*)((char*)w - offsetof(job_t, watcher));
  uv_cancel((uv_req_t*)&job->work); /* UV_EBUSY from one that runs */
}

static void job_after(uv_work_t* work, int status) {
  job_t* job = work->data;
  job->status = status;
  ctx_unwatch(&job->watcher);
  ctx_flag_release(job->flag);
  ctx_release(&job->c);
}

TEST(queued_and_running_work_stops_at_its_deadline) {
  enum { N = 12 }; /* more than the pool has threads */
  static job_t jobs[N];
  bed_t bed;
  bed_make(&bed);
  uint64_t at_ns = in_ms(&bed, 20);
  for (unsigned i = 0; i < N; i++) {
    job_t* job = &jobs[i];
    *job = (job_t){.work.data = job};
    ctx_with_deadline(&job->c, bed.root, at_ns, NULL);
    job->flag = ctx_share(&job->c);
    ASSERT_EQ(ctx_watch(&job->c, &job->watcher, job_done), 0);
    ASSERT_EQ(uv_queue_work(&bed.loop, &job->work, job_work, job_after), 0);
  }
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  unsigned ran = 0, canceled = 0;
  for (unsigned i = 0; i < N; i++) {
    if (jobs[i].status == UV_ECANCELED) canceled++;
    if (jobs[i].heard == CTX_DEADLINE_EXCEEDED) ran++;
  }
  ASSERT_EQ(ran + canceled, N);
  bed_end(&bed);
}

/* -- Closing ------------------------------------------------------------------------------ */

static void free_host(ctx_uv_t* host) {
  ((bed_t*)host->data)->closed++;
  memset(host, 0xee, sizeof *host); /* it is not used any more */
  free(host);
}

/* root ─┬─ 0: its deadline has passed
 *       ├─ 1: cancelled
 *       ├─ 2: has a flag
 *       └─ 3: another thread has asked to cancel it */
TEST(closing_with_everything_pending_calls_nobody) {
  bed_t bed;
  probe_t p[4];
  uv_thread_t thread;
  bed_make(&bed);
  ctx_uv_t* host = malloc(sizeof *host);
  ASSERT_EQ(ctx_uv_init(host, &bed.loop), 0);
  host->data = &bed;
  bed.root = ctx_background(ctx_uv_tree(host));
  uint64_t now_ns = ctx_now(ctx_uv_tree(host));
  probe_start(&p[0], &bed, now_ns + 1, probe_note);
  for (unsigned i = 1; i < 4; i++) probe_start(&p[i], &bed, now_ns + i * HOUR, probe_note);
  ctx_cancel(&p[1].c, NULL);
  p[2].flag = ctx_share(&p[2].c);
  p[3].flag = ctx_share(&p[3].c);
  ASSERT_EQ(uv_thread_create(&thread, cancel_from_thread, p[3].flag), 0);
  uv_thread_join(&thread);
  ctx_uv_close(host, free_host);
  ctx_uv_close(host, on_closed); /* does nothing the second time */
  ASSERT_EQ(ctx_cancel_async(p[2].flag, NULL), false);
  for (unsigned i = 0; i < 4; i++) ctx_release(&p[i].c);
  uv_run(&bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(bed.closed, 1);
  bed.closed = 0;
  for (unsigned i = 0; i < 4; i++) ASSERT_EQ(p[i].calls, 0);
  ASSERT_EQ(ctx_cancel_async(p[2].flag, NULL), false);
  ctx_flag_release(p[2].flag); /* also after the host's memory is gone */
  ctx_flag_release(p[3].flag);
  bed_end(&bed);
}

static void close_host(ctx_watcher_t* w) {
  probe_t* p = (probe_t*)((char*)w - offsetof(probe_t, watcher));
  probe_note(w);
  ctx_uv_close(&p->bed->host, on_closed);
}

TEST(a_watcher_may_close_the_host) {
  bed_t bed;
  probe_t p;
  bed_make(&bed);
  probe_start(&p, &bed, in_ms(&bed, 1), close_host);
  ctx_uv_ref(&bed.host);
  ASSERT_EQ(uv_run(&bed.loop, UV_RUN_DEFAULT), 0);
  ASSERT_EQ(p.calls, 1);
  ctx_release(&p.c);
  bed_end(&bed);
}

/* Cause of trouble to be: a request that has been taken wakes a host which is closing. */
static void cancel_and_release(void* arg) {
  ctx_cancel_async(arg, NULL);
  ctx_flag_release(arg);
}

TEST(closing_races_with_cancels_from_other_threads) {
  enum { N = 4 };
  for (unsigned round = test_rounds(200); round > 0; round--) {
    bed_t bed;
    probe_t p[N];
    uv_thread_t threads[N];
    bed_make(&bed);
    for (unsigned i = 0; i < N; i++) {
      probe_start(&p[i], &bed, CTX_NEVER, probe_note);
      p[i].flag = ctx_share(&p[i].c);
      ASSERT_EQ(uv_thread_create(&threads[i], cancel_and_release, p[i].flag), 0);
    }
    uv_run(&bed.loop, UV_RUN_NOWAIT);
    bed_end(&bed);
    for (unsigned i = 0; i < N; i++) {
      ASSERT_INT(p[i].calls, <=, 1);
      uv_thread_join(&threads[i]);
      ctx_release(&p[i].c);
    }
  }
}
