/* SPDX-License-Identifier: MIT */
/* Work on libuv's thread pool under one deadline, in C without Lua: a job that is done in time, two
 * that poll a flag and stop, and one that never got a thread and is taken back.
 *
 * Usage: plain     (built with the project; exits 0 only if each job went as it must) */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread types in uv.h */
#endif
#include <ctx/uv.h>
#include <stdio.h>

#define BUDGET_NS (100 * UINT64_C(1000000))

enum outcome { FINISHED, STOPPED, TAKEN_BACK };
static const char* const outcome_names[] = {"finished", "stopped", "taken back"};

/* All that belongs to one job, context included. The caller of the library owns this memory. */
typedef struct job_s {
  const char* name;
  unsigned limit; /* counts the primes below it; 0: goes on until it is stopped */
  enum outcome expected;
  ctx_t c;
  ctx_flag_t* flag;
  ctx_watcher_t watcher;
  uv_work_t work;
  unsigned primes;
  int stopped; /* by the deadline; written on the job's thread, read when it has ended */
  bool as_expected;
} job_t;

static bool is_prime(unsigned n) {
  for (unsigned d = 2; d <= n / d; d++) {
    if (n % d == 0) return false;
  }
  return n > 1;
}

/* On a thread of the pool: may touch the job and its flag, but neither context nor loop. */
static void do_work(uv_work_t* work) {
  job_t* job = work->data;
  for (unsigned n = 0; job->limit == 0 || n < job->limit; n++) {
    job->stopped = ctx_flag_err(job->flag);
    if (job->stopped) return;
    job->primes += is_prime(n);
  }
}

/* On the loop's thread, when the context is done: a job that still waits for a thread need not get
 * one. From one that runs, uv_cancel returns UV_EBUSY, and the flag has told it already. */
static void on_done(ctx_watcher_t* watcher) {
  job_t* job = watcher->data;
  uv_cancel((uv_req_t*)&job->work);
}

/* On the loop's thread, exactly once for each job, whatever became of it. */
static void after_work(uv_work_t* work, int status) {
  job_t* job = work->data;
  enum outcome outcome = status == UV_ECANCELED ? TAKEN_BACK : job->stopped ? STOPPED : FINISHED;
  const char* reason = outcome == FINISHED ? "in time" : ctx_strerror(ctx_err(&job->c));
  printf("%-6s %-10s %6u primes  (%s)\n", job->name, outcome_names[outcome], job->primes, reason);
  /* A job that waits may just get the thread of one that has stopped; its flag then stops it, too. */
  bool stopped_at_once = outcome == STOPPED && job->primes == 0;
  job->as_expected = outcome == job->expected || (job->expected == TAKEN_BACK && stopped_at_once);
  ctx_unwatch(&job->watcher);
  ctx_flag_release(job->flag);
  ctx_release(&job->c);
}

/* Returns 0, or a code of libuv with nothing under way. */
static int start(job_t* job, uv_loop_t* loop, ctx_t* parent) {
  int err = UV_ENOMEM;
  ctx_with_cancel(&job->c, parent);
  job->work.data = job;
  job->watcher.data = job;
  job->flag = ctx_share(&job->c);
  if (job->flag && ctx_watch(&job->c, &job->watcher, on_done) == 0) {
    err = uv_queue_work(loop, &job->work, do_work, after_work);
  }
  if (err == 0) return 0;
  ctx_unwatch(&job->watcher);
  if (job->flag) ctx_flag_release(job->flag);
  ctx_release(&job->c);
  return err;
}

int main(void) {
  static job_t jobs[] = {
      {.name = "small", .limit = 1000, .expected = FINISHED},
      {.name = "east", .expected = STOPPED},
      {.name = "west", .expected = STOPPED},
      {.name = "last", .expected = TAKEN_BACK},
  };
  enum { COUNT = sizeof jobs / sizeof jobs[0] };
  uv_loop_t loop;
  ctx_uv_t host;
  ctx_t batch;
  uv_os_setenv("UV_THREADPOOL_SIZE", "2"); /* so that the last job waits for a thread in vain */
  if (uv_loop_init(&loop) || ctx_uv_init(&host, &loop)) return 1;

  ctx_tree_t* tree = ctx_uv_tree(&host);
  ctx_with_timeout(&batch, ctx_background(tree), BUDGET_NS, NULL);
  for (unsigned i = 0; i < COUNT; i++) {
    int err = start(&jobs[i], &loop, &batch);
    if (err) fprintf(stderr, "%s: %s\n", jobs[i].name, uv_strerror(err));
  }
  uv_run(&loop, UV_RUN_DEFAULT); /* until every job has ended */
  bool late = ctx_err(&batch) == CTX_DEADLINE_EXCEEDED;

  ctx_release(&batch);
  ctx_uv_close(&host, NULL);
  uv_run(&loop, UV_RUN_DEFAULT); /* until the handles are closed */
  bool ok = uv_loop_close(&loop) == 0 && late;
  for (unsigned i = 0; i < COUNT; i++) ok = ok && jobs[i].as_expected;
  printf("%s\n", ok ? "all as it must" : "not as it must");
  return ok ? 0 : 1;
}
