/* SPDX-License-Identifier: MIT */
/* Failing memory: each allocation in turn, alone and with all that follow. The operation returns the error
 * or succeeds, nothing stays half-linked or leaks, and everything works afterwards. */
#include "random.h"

enum { MANY = 100 };

/* What a scene needs; its parts start zeroed, and go at its end, however it ended. */
typedef struct stage_s {
  fake_t f;
  ctx_t c[MANY];
  probe_t p[MANY];
  alarm_t a[MANY];
  ctx_t any[4], arms[4][4];
  ctx_flag_t* flags[MANY];
  ctx_semaphore_t sem;
  ctx_acquire_t asks[MANY];
  ctx_group_t group;
  ctx_begin_t begins[MANY];
  ctx_join_t join;
  int granted;
} stage_t;

/* Plays one kind of operation; returns its first error. */
typedef int (*scene_t)(stage_t* s);

static bool count(const ctx_t* c, unsigned depth, void* arg) {
  (void)c;
  (void)depth;
  ++*(size_t*)arg;
  return true;
}

/* Counters and walk agree. */
static void check(stage_t* s) {
  size_t met = 0;
  ctx_walk(&s->f.tree, count, &met);
  ASSERT_EQ(met, fake_counters(&s->f).linked + 2);
}

static void clear(stage_t* s) {
  check(s);
  for (int i = 0; i < MANY; i++) {
    ctx_unwatch(&s->p[i].w);
    ctx_timer_stop(&s->a[i].t);
    if (s->flags[i]) ctx_flag_release(s->flags[i]);
    ctx_acquire_stop(&s->asks[i]);
    ctx_begin_stop(&s->begins[i]);
  }
  ctx_join_stop(&s->join);
  check(s);
  for (int i = 3; i >= 0; i--) {
    if (s->any[i].tree) ctx_release(&s->any[i]);
  }
  for (int i = MANY - 1; i >= 0; i--) {
    if (s->c[i].tree) ctx_release(&s->c[i]);
  }
  fake_run(&s->f);
  ctx_counters_t counters = fake_counters(&s->f);
  ASSERT_EQ(counters.linked, 0);
  ASSERT_EQ(counters.watchers, 0);
  ASSERT_EQ(counters.deadlines, 0);
  memset(s->c, 0, sizeof *s - offsetof(stage_t, c));
}

static void play(stage_t* s, scene_t scene, unsigned long fail_at, bool fail_on) {
  memset(s, 0, sizeof *s);
  fake_start(&s->f);
  memory.fail_at = fail_at;
  memory.fail_on = fail_on;
  int error = scene(s);
  ASSERT_EQ(error, memory.failed ? CTX_ENOMEM : 0);
  clear(s);
  memory.fail_at = 0;
  ASSERT_EQ(scene(s), 0);
  clear(s);
  fake_stop(&s->f);
  ASSERT_EQ(memory.bytes, 0);
}

static void fail_each(scene_t scene) {
  static stage_t s;
  for (int fail_on = 0; fail_on <= 1; fail_on++) {
    unsigned long nth = 0;
    do {
      nth++;
      test_note("memory failing at %lu%s", nth, fail_on ? " and on" : "");
      play(&s, scene, nth, fail_on);
    } while (memory.failed);
    ASSERT_INT(nth, >, 1); /* a scene that allocates nothing shows nothing */
  }
}

/* -- Scenes ----------------------------------------------------------------------------------- */

/* A hundred deadlines side by side: the heap grows several times. */
static int watch_many(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    ctx_with_deadline(&s->c[i], s->f.root, s->f.now_ns + MS + (uint64_t)(i * 37 % MANY), NULL);
    int error = probe_try(&s->f, &s->p[i], &s->c[i], 'p');
    if (error) {
      ASSERT(!ctx_unwatch(&s->p[i].w));
      ASSERT_EQ(fake_counters(&s->f).linked, i);
      ASSERT_EQ(fake_counters(&s->f).deadlines, i);
      return error;
    }
  }
  return 0;
}
TEST(watching_survives_want_of_memory) {
  fail_each(watch_many);
}

/* One watcher below a hundred ever sooner deadlines: all are to be linked, or none. */
static int watch_deep(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    ctx_with_deadline(&s->c[i], i ? &s->c[i - 1] : s->f.root, s->f.now_ns + (uint64_t)(MANY - i),
                      NULL);
  }
  int error = probe_try(&s->f, &s->p[0], &s->c[MANY - 1], 'p');
  ASSERT_EQ(fake_counters(&s->f).linked, error ? 0 : MANY);
  ASSERT_EQ(fake_counters(&s->f).deadlines, error ? 0 : MANY);
  if (error) return error;
  s->f.now_ns += MANY / 2;
  fake_settle(&s->f);
  ASSERT_EQ(s->p[0].calls, 1);
  return 0;
}
TEST(linking_a_chain_is_all_or_nothing) {
  fail_each(watch_deep);
}

static int start_many(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    int error = alarm_try(&s->f, &s->a[i], s->f.now_ns + (uint64_t)(i * 37 % MANY), 'a');
    if (error) {
      ASSERT(!ctx_timer_stop(&s->a[i].t));
      ASSERT_EQ(fake_counters(&s->f).watchers, i);
      return error;
    }
  }
  fake_advance(&s->f, MANY / 2);
  return 0;
}
TEST(starting_timers_survives_want_of_memory) {
  fail_each(start_many);
}

/* Each over two fresh deadlines, the last of them before, and one twice. */
static int merge_some(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    uint64_t at_ns = s->f.now_ns + MS + (uint64_t)i;
    ctx_with_deadline(&s->c[i], i % 25 ? &s->c[i - 1] : s->f.root, at_ns - 2 * (uint64_t)i, NULL);
  }
  for (int i = 0; i < 4; i++) {
    ctx_t* sources[] = {&s->c[i * 25 + 24], &s->c[i * 25 + 7], &s->c[i * 25 + 24],
                        i ? &s->any[i - 1] : s->f.root};
    size_t before = fake_counters(&s->f).linked, derived = fake_counters(&s->f).derived;
    int error = ctx_any(&s->any[i], s->arms[i], sources, 4);
    if (error) {
      memset(&s->any[i], 0, sizeof s->any[i]);
      memset(s->arms[i], 0xA5, sizeof s->arms[i]); /* none of it is in use */
      ASSERT_EQ(fake_counters(&s->f).linked, before);
      ASSERT_EQ(fake_counters(&s->f).derived, derived);
      return error;
    }
  }
  ctx_cancel(&s->c[0], NULL);
  for (int i = 0; i < 4; i++) ASSERT_EQ(ctx_err(&s->any[i]), CTX_CANCELED);
  return 0;
}
TEST(any_is_made_whole_or_not_at_all) {
  fail_each(merge_some);
}

static int share_many(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    ctx_t* parent = i % 10 ? &s->c[i - 1] : s->f.root;
    ctx_with_deadline(&s->c[i], parent, s->f.now_ns + MS - (uint64_t)i, NULL);
  }
  for (int i = MANY - 1; i >= 0; i--) {
    s->flags[i] = ctx_share(&s->c[i]);
    if (!s->flags[i]) {
      ASSERT_LIVE(&s->c[i]);
      return CTX_ENOMEM;
    }
  }
  ASSERT(ctx_cancel_async(s->flags[0], NULL));
  fake_settle(&s->f);
  ASSERT_EQ(ctx_flag_err(s->flags[9]), CTX_CANCELED);
  return 0;
}
TEST(sharing_survives_want_of_memory) {
  fail_each(share_many);
}

static void on_granted(ctx_acquire_t* a, int err) {
  stage_t* s = (stage_t*)((char*)a->c->tree - offsetof(stage_t, f.tree));
  s->granted += err == 0;
}

/* A hundred wait for two units, each with a deadline of its own, and get them in turn. What found no
 * memory to wait stands in no queue. */
static int acquire_many(stage_t* s) {
  ctx_semaphore_init(&s->sem, &s->f.tree, 2);
  ASSERT(ctx_semaphore_try_acquire(&s->sem, 2));
  int waiting = 0, error = 0;
  for (int i = 0; i < MANY; i++) {
    ctx_with_deadline(&s->c[i], s->f.root, s->f.now_ns + MS + (uint64_t)(i * 37 % MANY), NULL);
    uint64_t n = i % 10 ? 1 : 3;
    int got = ctx_semaphore_acquire(&s->sem, &s->c[i], &s->asks[i], n, on_granted);
    if (got == CTX_ENOMEM) {
      error = got;
      ASSERT(!ctx_acquire_stop(&s->asks[i]));
    } else {
      ASSERT_EQ(got, CTX_PENDING);
      waiting += n == 1;
    }
  }
  for (int i = 0; i < waiting; i++) {
    ASSERT_EQ(ctx_semaphore_release(&s->sem, 1), 0);
    fake_settle(&s->f);
    ASSERT_EQ(s->granted, i + 1);
  }
  ASSERT_EQ(s->sem.held, 2);
  return error;
}
TEST(waiting_for_units_survives_want_of_memory) {
  fail_each(acquire_many);
}

static void on_begun(ctx_begin_t* b, int err) {
  stage_t* s = (stage_t*)((char*)b->g - offsetof(stage_t, group));
  s->granted += err == 0;
}

static void on_over(ctx_join_t* join) {
  (void)join;
}

/* All wait for the same context: the first finds no memory for its deadline, or none fails. */
static int begin_many(stage_t* s) {
  for (int i = 0; i < MANY; i++) {
    ctx_with_deadline(&s->c[i], i ? &s->c[i - 1] : s->f.root, s->f.now_ns + MS - (uint64_t)i, NULL);
  }
  ctx_group_init(&s->group, &s->f.tree, &s->c[MANY - 1]);
  ASSERT_EQ(ctx_group_set_limit(&s->group, 1), 0);
  ASSERT(ctx_group_try_begin(&s->group));
  ASSERT_EQ(ctx_group_wait(&s->group, &s->join, on_over), CTX_PENDING);
  int waiting = 0, error = 0;
  for (int i = 0; i < MANY; i++) {
    int got = ctx_group_begin(&s->group, &s->begins[i], on_begun);
    if (got == CTX_PENDING) {
      waiting++;
    } else {
      ASSERT_EQ(got, CTX_ENOMEM);
      ASSERT(!ctx_begin_stop(&s->begins[i]));
      error = got;
    }
  }
  for (int i = 0; i < waiting; i++) {
    ctx_group_end(&s->group, false, NULL);
    fake_settle(&s->f);
    ASSERT_EQ(s->granted, i + 1);
  }
  ctx_group_end(&s->group, false, NULL);
  fake_settle(&s->f);
  ASSERT_EQ(ctx_err(&s->c[MANY - 1]), CTX_CANCELED);
  return error;
}
TEST(waiting_to_begin_survives_want_of_memory) {
  fail_each(begin_many);
}

/* Within a call: what cannot be registered again is simply over. */
static void watch_later(probe_t* p) {
  stage_t* s = (stage_t*)((char*)p->fake - offsetof(stage_t, f));
  int i = (int)(p - s->p);
  if (p->calls > 1) return;
  ctx_t* c = &s->c[MANY / 2 + i];
  ctx_with_deadline(c, s->f.root, s->f.now_ns + 1, NULL);
  int error = probe_try(&s->f, p, c, 'p');
  if (error) p->arg = c;
}

static int watch_in_calls(stage_t* s) {
  for (int i = 0; i < MANY / 2; i++) {
    s->p[i].then = watch_later;
    ctx_with_cancel(&s->c[i], s->f.root);
    if (i) ctx_cancel(&s->c[i], NULL);
    ASSERT_EQ(probe_try(&s->f, &s->p[i], &s->c[i], 'p'), 0); /* no deadline, no memory */
  }
  ctx_cancel(&s->c[0], NULL);
  fake_advance(&s->f, 1);
  bool failed = false;
  for (int i = 0; i < MANY / 2; i++) {
    ASSERT_EQ(s->p[i].calls, s->p[i].arg ? 1 : 2);
    failed = failed || s->p[i].arg;
  }
  return failed ? CTX_ENOMEM : 0;
}
TEST(a_call_survives_want_of_memory) {
  fail_each(watch_in_calls);
}

/* House law 3: what ends contexts asks for no memory. */
TEST(cancelling_expiring_and_taking_back_need_no_memory) {
  static stage_t s;
  memset(&s, 0, sizeof s);
  fake_start(&s.f);
  ASSERT_EQ(watch_many(&s), 0);
  ASSERT_EQ(start_many(&s), 0);
  memory.fail_at = 1;
  memory.fail_on = true;
  for (int i = 0; i < MANY / 2; i++) ctx_cancel(&s.c[i], NULL);
  fake_advance(&s.f, MS);
  ASSERT(!memory.failed);
  clear(&s);
  ASSERT(!memory.failed);
  fake_stop(&s.f);
}

/* And all of it at random, against the model. */
TEST(random_runs_survive_want_of_memory) {
  unsigned rounds = test_rounds(200);
  uint64_t seeds = test_seed;
  for (unsigned i = 0; i < rounds; i++) {
    uint64_t seed = i ? test_random(&seeds) : test_seed;
    for (unsigned long nth = 1; nth <= 12; nth++) {
      machine_play(seed, 120, nth, false);
      machine_play(seed, 120, nth, true);
      ASSERT_EQ(memory.bytes, 0);
      ASSERT_EQ(reasons_held, 0);
    }
  }
}
