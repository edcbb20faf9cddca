/* SPDX-License-Identifier: MIT */
/* Groups, used within their own callbacks, where tasks begin and end and waits come and go. And at random. */
#include "groups.h"

static void wait_for_two_in_one_turn(scene_t* x) {
  ASSERT_EQ(start(x, 0), 0);
  ASSERT_EQ(join(x, 0), CTX_PENDING);
  ASSERT_EQ(join(x, 1), CTX_PENDING);
}

static void finish_in_call(job_t* job) {
  if (job->err == 0) finish(job->arg);
}

TEST(a_task_may_end_in_the_call_that_lets_it_begin) {
  scene_t x;
  open_scene(&x, 1);
  ASSERT_EQ(start(&x, 0), 0);
  start_all(&x, 1, 3, CTX_PENDING);
  for (int i = 1; i < 4; i++) {
    x.job[i].then = finish_in_call;
    x.job[i].arg = &x;
  }
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "bcd1");
  close_scene(&x);
}

static void fail_in_call(job_t* job) {
  if (job->err == 0) ctx_group_end(&((scene_t*)job->arg)->g, true, NULL);
}

TEST(a_task_that_fails_in_its_call_stops_those_who_wait_behind_it) {
  scene_t x;
  open_scene(&x, 2);
  start_all(&x, 0, 1, 0);
  start_all(&x, 2, 3, CTX_PENDING);
  x.job[2].then = fail_in_call;
  x.job[2].arg = &x;
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "cD");
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  close_scene(&x);
}

static void stop_others(job_t* job) {
  scene_t* x = job->arg;
  ASSERT(ctx_begin_stop(&x->job[3].b)); /* granted in the same turn */
  ASSERT(ctx_join_stop(&x->end[0].j));
}

TEST(a_call_may_take_back_others_of_its_turn) {
  scene_t x;
  open_scene(&x, 2);
  start_all(&x, 0, 1, 0);
  start_all(&x, 2, 3, CTX_PENDING);
  x.job[2].then = stop_others;
  x.job[2].arg = &x;
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  finish(&x);
  ASSERT_EQ(x.g.slots.held, 2);
  ASSERT_STR_EQ(calls(&x), "c");
  ASSERT_EQ(x.g.slots.held, 1);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT_LIVE(&x.c);
  close_scene(&x);
}

/* Cause: between the end of the last task and the call that tells of it another one may begin; the
 * wait was over all the same. Cure: the call looks again. */
TEST(a_task_that_begins_before_the_call_is_waited_for) {
  scene_t x;
  open_scene(&x, -1);
  wait_for_two_in_one_turn(&x);
  finish(&x);
  ASSERT_EQ(start(&x, 1), 0);
  ASSERT_EQ(join(&x, 2), CTX_PENDING);
  ASSERT_STR_EQ(calls(&x), "");
  ASSERT(ctx_join_stop(&x.end[1].j));
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "31");
  close_scene(&x);
}

static void begin_another(end_t* end) {
  ASSERT(ctx_group_try_begin(&((scene_t*)end->arg)->g));
}

TEST(a_wait_that_is_over_may_begin_a_task_that_the_next_one_waits_for) {
  scene_t x;
  open_scene(&x, -1);
  wait_for_two_in_one_turn(&x);
  x.end[0].then = begin_another;
  x.end[0].arg = &x;
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "2");
  close_scene(&x);
}

static void wait_again(end_t* end) {
  scene_t* x = end->arg;
  if (end->calls > 1) return;
  ASSERT_EQ(join(x, 0), 0);
  ASSERT(ctx_group_try_begin(&x->g));
  ASSERT_EQ(join(x, 0), CTX_PENDING);
}

TEST(a_wait_may_wait_again_in_its_call) {
  scene_t x;
  open_scene(&x, 3);
  ASSERT_EQ(start(&x, 0), 0);
  x.end[0].then = wait_again;
  x.end[0].arg = &x;
  ASSERT_EQ(join(&x, 0), CTX_PENDING);
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  finish(&x);
  ASSERT_STR_EQ(calls(&x), "1");
  close_scene(&x);
}

typedef struct own_s {
  end_t end; /* first */
  ctx_group_t g;
  ctx_t c;
  job_t job;
} own_t;

static void free_all(end_t* end) {
  own_t* own = (own_t*)end;
  ctx_release(&own->c);
  free(own);
}

TEST(the_call_of_the_last_wait_may_free_the_group) {
  fake_t f;
  fake_start(&f);
  own_t* own = calloc(1, sizeof *own);
  ctx_with_deadline(&own->c, f.root, f.now_ns + MS, NULL);
  ctx_group_init(&own->g, &f.tree, &own->c);
  ASSERT_EQ(ctx_group_set_limit(&own->g, 1), 0);
  ASSERT_EQ(ctx_group_begin(&own->g, &own->job.b, on_begin), 0);
  own->job = (job_t){.fake = &f, .letter = 'a'};
  ASSERT_EQ(ctx_group_begin(&own->g, &own->job.b, on_begin), CTX_PENDING);
  own->end = (end_t){.fake = &f, .letter = '1', .then = free_all};
  ASSERT_EQ(ctx_group_wait(&own->g, &own->end.j, on_end), CTX_PENDING);
  fake_advance(&f, MS);
  ASSERT_STR_EQ(fake_calls(&f), "A");
  ctx_group_end(&own->g, false, NULL);
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "1");
  ASSERT_EQ(fake_counters(&f).watchers, 0);
  fake_stop(&f);
}

/* -- At random: a group is a number of running tasks and a queue --------------------------------- */

enum { JOBS = 6, STEPS = 150 };

typedef struct party_s {
  scene_t x;
  job_t job[JOBS];
  enum { OUT, WAITS, RUNS } is[JOBS];
  int limit;
  unsigned called;
} party_t;

static party_t party;

static int running(void) {
  int n = 0;
  for (int i = 0; i < JOBS; i++) n += party.is[i] == RUNS;
  return n;
}

static void on_job(ctx_begin_t* b, int err) {
  int i = (int)((job_t*)b - party.job);
  ASSERT_EQ(party.is[i], WAITS);
  party.is[i] = err ? OUT : RUNS;
  ASSERT_EQ(err, ctx_err(&party.x.c));
}

static void on_all_over(ctx_join_t* join) {
  (void)join;
  ASSERT_EQ(running(), 0);
  party.called++;
}

static void random_step(uint64_t* random) {
  int i = (int)(test_random(random) % JOBS);
  ctx_group_t* g = &party.x.g;
  switch (test_random(random) % 8) {
  case 0:
  case 1:
  case 2:
    if (party.is[i] != OUT) break;
    int got = ctx_group_begin(g, &party.job[i].b, on_job);
    if (got == CTX_PENDING) party.is[i] = WAITS;
    if (got == 0) party.is[i] = RUNS;
    if (got < 0) ASSERT_EQ(got, ctx_err(&party.x.c));
    break;
  case 3:
  case 4:
    if (party.is[i] != RUNS) break;
    party.is[i] = OUT;
    ctx_group_end(g, test_random(random) % 50 == 0, NULL);
    break;
  case 5:
    ASSERT_EQ(ctx_begin_stop(&party.job[i].b), party.is[i] == WAITS);
    if (party.is[i] == WAITS) party.is[i] = OUT;
    break;
  default: fake_settle(&party.x.f);
  }
  ASSERT_EQ(g->running, running());
  if (party.limit >= 0) ASSERT_INT(running(), <=, party.limit);
}

static void play(uint64_t seed) {
  uint64_t random = seed;
  memset(&party, 0, sizeof party);
  party.limit = (int)(test_random(&random) % 5) - 1;
  open_scene(&party.x, party.limit);
  for (int i = 0; i < STEPS; i++) random_step(&random);
  int got = ctx_group_wait(&party.x.g, &party.x.end[0].j, on_all_over);
  while (got == CTX_PENDING && party.called == 0) {
    for (int i = 0; i < JOBS; i++) {
      if (party.is[i] != RUNS) continue;
      party.is[i] = OUT;
      finish(&party.x);
    }
    fake_settle(&party.x.f);
  }
  fake_settle(&party.x.f);
  ASSERT_EQ(party.called, got == CTX_PENDING);
  ASSERT_EQ(ctx_err(&party.x.c), CTX_CANCELED);
  for (int i = 0; i < JOBS; i++) ASSERT_EQ(party.is[i], OUT);
  close_scene(&party.x);
}

TEST(random_parties_keep_the_limit_and_leave_nothing) {
  unsigned rounds = test_rounds(5000);
  uint64_t seeds = test_seed;
  for (unsigned i = 0; i < rounds; i++) {
    uint64_t seed = i ? test_random(&seeds) : test_seed;
    test_note("seed %ju, round %u", (uintmax_t)test_seed, i);
    play(seed);
  }
}
