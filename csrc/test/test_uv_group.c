/* SPDX-License-Identifier: MIT */
/* A group of libuv's work requests: jobs on the thread pool, limited in number, that stop together when
 * one fails or the time is over. An example of ctx_group_begin for C programs. */
#include "uv_bed.h"

#include <ctx/uv.h> /* also: this program needs libuv, says this line to the build */

#include <sched.h>
#include <stdatomic.h>

enum { JOBS = 12, LIMIT = 3 };

typedef struct job_s {
  ctx_begin_t begin; /* first */
  uv_work_t work;
  struct crew_s* crew;
  uint64_t needs_ns; /* of computing; looks at the flag meanwhile */
  int err;           /* why it did not begin, or was cut short; or its own failure */
  bool failing;
  bool began;
} job_t;

typedef struct crew_s {
  bed_t bed;
  ctx_t c;
  ctx_flag_t* flag;
  ctx_group_t group;
  ctx_join_t join;
  job_t job[JOBS];
  atomic_int at_once, most;
  unsigned refused, over;
} crew_t;

/* On a thread of the pool. */
static void do_work(uv_work_t* work) {
  job_t* job = work->data;
  crew_t* crew = job->crew;
  int now = atomic_fetch_add(&crew->at_once, 1) + 1;
  for (int most = atomic_load(&crew->most); now > most;) {
    if (atomic_compare_exchange_weak(&crew->most, &most, now)) break;
  }
  uint64_t end_ns = uv_hrtime() + job->needs_ns;
  while (uv_hrtime() < end_ns && job->err == 0) {
    job->err = ctx_flag_err(crew->flag);
    sched_yield(); /* to the loop's thread: valgrind runs one at a time */
  }
  atomic_fetch_sub(&crew->at_once, 1);
}

static void after_work(uv_work_t* work, int status) {
  job_t* job = work->data;
  ASSERT_EQ(status, 0);
  ctx_group_end(&job->crew->group, job->failing || job->err != 0, NULL);
}

static void begin(job_t* job) {
  job->began = true;
  job->work.data = job;
  ASSERT_EQ(uv_queue_work(&job->crew->bed.loop, &job->work, do_work, after_work), 0);
}

static void on_begin(ctx_begin_t* b, int err) {
  job_t* job = (job_t*)b;
  if (err == 0) {
    begin(job);
  } else {
    job->err = err;
    job->crew->refused++;
  }
}

static void on_over(ctx_join_t* join) {
  crew_t* crew = (crew_t*)((char*)join - offsetof(crew_t, join));
  ASSERT_EQ(crew->group.running, 0);
  ASSERT_EQ(atomic_load(&crew->at_once), 0);
  crew->over++;
  ctx_uv_unref(&crew->bed.host);
}

static void make(crew_t* crew, uint64_t timeout_ms, uint64_t job_ms) {
  memset(crew, 0, sizeof *crew);
  bed_make(&crew->bed);
  ctx_with_deadline(&crew->c, crew->bed.root, in_ms(&crew->bed, timeout_ms), NULL);
  crew->flag = ctx_share(&crew->c);
  ASSERT(crew->flag);
  ctx_group_init(&crew->group, crew->bed.tree, &crew->c);
  ASSERT_EQ(ctx_group_set_limit(&crew->group, LIMIT), 0);
  for (int i = 0; i < JOBS; i++) {
    crew->job[i] = (job_t){.crew = crew, .needs_ns = job_ms * MS};
  }
}

/* Starts all jobs and runs the loop until the last has ended. */
static void run(crew_t* crew) {
  for (int i = 0; i < JOBS; i++) {
    int got = ctx_group_begin(&crew->group, &crew->job[i].begin, on_begin);
    ASSERT_EQ(got, i < LIMIT ? 0 : CTX_PENDING);
  }
  /* Only now: threads that compute could keep this one from beginning the rest in time. */
  for (int i = 0; i < LIMIT; i++) begin(&crew->job[i]);
  ASSERT_EQ(ctx_group_wait(&crew->group, &crew->join, on_over), CTX_PENDING);
  ctx_uv_ref(&crew->bed.host);
  uv_run(&crew->bed.loop, UV_RUN_DEFAULT);
  ASSERT_EQ(crew->over, 1);
  ASSERT_INT(atomic_load(&crew->most), <=, LIMIT);
  ASSERT_EQ(crew->group.slots.held, 0);
  ASSERT(ctx_err(&crew->c) != 0);
}

static void end(crew_t* crew) {
  ctx_flag_release(crew->flag);
  ctx_release(&crew->c);
  ctx_counters_t counters;
  ctx_counters(crew->bed.tree, &counters);
  ASSERT_EQ(counters.watchers, 0);
  ASSERT_EQ(counters.linked, 0);
  bed_end(&crew->bed);
}

TEST(so_many_jobs_at_a_time_and_all_of_them) {
  static crew_t crew;
  make(&crew, 3600 * 1000, 1);
  run(&crew);
  ASSERT(!crew.group.failed);
  ASSERT_EQ(ctx_err(&crew.c), CTX_CANCELED); /* the wait is over */
  for (int i = 0; i < JOBS; i++) ASSERT(crew.job[i].began && crew.job[i].err == 0);
  end(&crew);
}

/* Each job would take an hour. */
TEST(a_deadline_stops_those_that_run_and_those_that_wait) {
  static crew_t crew;
  make(&crew, 1000, 3600 * 1000); /* enough to begin them all in, on a slow machine too */
  run(&crew);
  ASSERT_EQ(ctx_err(&crew.c), CTX_DEADLINE_EXCEEDED);
  ASSERT_EQ(crew.refused, JOBS - LIMIT);
  for (int i = 0; i < JOBS; i++) {
    ASSERT_EQ(crew.job[i].began, i < LIMIT);
    ASSERT_EQ(crew.job[i].err, CTX_DEADLINE_EXCEEDED);
  }
  end(&crew);
}

TEST(the_first_failure_stops_the_others) {
  static crew_t crew;
  make(&crew, 3600 * 1000, 3600 * 1000);
  crew.job[1].needs_ns = MS;
  crew.job[1].failing = true;
  run(&crew);
  ASSERT(crew.group.failed);
  ASSERT_EQ(ctx_err(&crew.c), CTX_CANCELED);
  ASSERT_EQ(crew.job[1].err, 0);
  ASSERT_EQ(crew.job[0].err, CTX_CANCELED);
  ASSERT_EQ(crew.refused, JOBS - LIMIT);
  end(&crew);
}
