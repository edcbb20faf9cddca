/* SPDX-License-Identifier: MIT */
/* Real threads: they poll flags, cancel through them and release them, while the loop's thread works.
 * Each test ends in a state that does not depend on the order of threads; ASan and TSan check the way
 * there. */
#define _POSIX_C_SOURCE 200809L

#include "fake.h"

#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, CONTEXTS = 50 };

/* One round: threads that begin together, and what they share with the loop. */
typedef struct round_s {
  fake_t f;
  ctx_t c[CONTEXTS];
  ctx_flag_t* flags[CONTEXTS];
  reason_t reasons[THREADS];
  atomic_uint ready; /* threads at the start, */
  atomic_bool begin; /* the threads wait for this */
  atomic_uint over;  /* threads that are through */
  atomic_uint taken; /* requests that were */
  pthread_t threads[THREADS];
  int told[CONTEXTS]; /* by the loop, before it ends a context: the flag carries it over */
  int asked[THREADS][CONTEXTS]; /* by a thread, before it asks: so does the request */
} round_t;

typedef struct task_s {
  round_t* round;
  void (*run)(round_t* round, int thread);
  int thread;
} task_t;

static void* on_thread(void* arg) {
  task_t task = *(task_t*)arg;
  free(arg);
  atomic_fetch_add(&task.round->ready, 1);
  while (!atomic_load(&task.round->begin)) sched_yield();
  task.run(task.round, task.thread);
  atomic_fetch_add(&task.round->over, 1);
  return NULL;
}

/* Contexts side by side, a flag each, of which every thread has a reference; and the threads. */
static round_t* begin(void (*run)(round_t* round, int thread)) {
  round_t* r = calloc(1, sizeof *r);
  fake_start(&r->f);
  for (int i = 0; i < THREADS; i++) r->reasons[i] = (reason_t){{&reason_ops}, "asked", 0};
  for (int i = 0; i < CONTEXTS; i++) {
    /* Every second has a deadline, too; the clock moves only where a test moves it. */
    if (i % 2)
      ctx_with_cancel(&r->c[i], r->f.root);
    else
      ctx_with_deadline(&r->c[i], r->f.root, r->f.now_ns + 1 + (uint64_t)i, NULL);
    r->flags[i] = ctx_share(&r->c[i]);
    ASSERT(r->flags[i]);
    for (int k = 0; k < THREADS; k++) ctx_flag_retain(r->flags[i]);
  }
  for (int i = 0; i < THREADS; i++) {
    task_t* task = malloc(sizeof *task);
    *task = (task_t){r, run, i};
    ASSERT_EQ(pthread_create(&r->threads[i], NULL, on_thread, task), 0);
  }
  while (atomic_load(&r->ready) < THREADS) sched_yield();
  atomic_store(&r->begin, true);
  return r;
}

static void release_flags(round_t* r) {
  for (int i = 0; i < CONTEXTS; i++) ctx_flag_release(r->flags[i]);
}

static void release_contexts(round_t* r) {
  for (int i = 0; i < CONTEXTS; i++) ctx_release(&r->c[i]);
}

static void join(round_t* r) {
  for (int i = 0; i < THREADS; i++) ASSERT_EQ(pthread_join(r->threads[i], NULL), 0);
}

static void end(round_t* r) {
  join(r);
  fake_stop(&r->f);
  free(r);
  ASSERT_EQ(memory.bytes, 0);
  ASSERT_EQ(reasons_held, 0);
}

/* The loop: turns whenever it is woken, until the threads are through. */
static void loop(round_t* r) {
  while (atomic_load(&r->over) < THREADS) {
    if (!fake_turn(&r->f)) sched_yield();
  }
  fake_settle(&r->f);
}

static void ask(round_t* r, int thread, int i) {
  reason_t* reason = &r->reasons[thread];
  reason_retain(&reason->cause);
  r->asked[thread][i] = i;
  if (ctx_cancel_async(r->flags[i], &reason->cause)) {
    atomic_fetch_add(&r->taken, 1);
  } else {
    reason_release(&reason->cause);
  }
}

static void ask_all(round_t* r, int thread) {
  for (int i = 0; i < CONTEXTS; i++) {
    ask(r, thread, i);
    ctx_flag_release(r->flags[i]);
  }
}

/* -- Polling ----------------------------------------------------------------------------------- */

static void poll_all(round_t* r, int thread) {
  (void)thread;
  for (int i = 0; i < CONTEXTS; i++) {
    while (ctx_flag_err(r->flags[i]) == 0) sched_yield();
    ASSERT_EQ(ctx_flag_err(r->flags[i]), i % 2 ? CTX_CANCELED : CTX_DEADLINE_EXCEEDED);
    ASSERT_EQ(r->told[i], i);
    ctx_flag_release(r->flags[i]);
  }
}

TEST(threads_see_each_context_end_and_what_was_written_before) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(poll_all);
    for (int i = 0; i < CONTEXTS; i++) {
      r->told[i] = i;
      if (i % 2)
        ctx_cancel(&r->c[i], NULL);
      else
        fake_advance(&r->f, i ? 2 : 1);
    }
    release_flags(r);
    release_contexts(r);
    end(r);
  }
}

/* -- Asking ------------------------------------------------------------------------------------ */

TEST(of_the_requests_of_four_threads_one_is_taken) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(ask_all);
    loop(r);
    for (int i = 0; i < CONTEXTS; i++) {
      ASSERT_EQ(ctx_err(&r->c[i]), CTX_CANCELED);
      int thread = (int)((reason_t*)ctx_cause(&r->c[i]) - r->reasons);
      ASSERT(thread >= 0 && thread < THREADS);
      ASSERT_EQ(r->asked[thread][i], i);
    }
    ASSERT_EQ(r->taken, CONTEXTS);
    release_flags(r);
    release_contexts(r);
    end(r);
  }
}

TEST(requests_race_with_cancels_of_the_loop) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(ask_all);
    for (int i = CONTEXTS - 1; i >= 0; i--) {
      ctx_cancel(&r->c[i], NULL);
      ASSERT_EQ(ctx_flag_err(r->flags[i]), CTX_CANCELED);
      if (i % 8 == 0) fake_turn(&r->f);
    }
    release_flags(r);
    loop(r);
    ASSERT_EQ(fake_counters(&r->f).canceled, CONTEXTS);
    release_contexts(r);
    end(r);
  }
}

/* The flags go first, or the contexts, or the tree: threads that still ask must not mind. */
TEST(requests_race_with_the_end_of_contexts) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(ask_all);
    if (round % 2) release_flags(r);
    release_contexts(r);
    memset(r->c, 0xA5, sizeof r->c);
    if (round % 2 == 0) release_flags(r);
    fake_run(&r->f);
    end(r);
  }
}

TEST(requests_race_with_the_end_of_the_tree) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(ask_all);
    for (unsigned turns = 0; turns < round; turns++) fake_turn(&r->f);
    ctx_tree_close(&r->f.tree);
    join(r);
    for (int i = 0; i < CONTEXTS; i++) {
      ASSERT_EQ(ctx_flag_err(r->flags[i]), ctx_err(&r->c[i]));
      ASSERT(!ctx_cancel_async(r->flags[i], NULL));
    }
    release_flags(r);
    release_contexts(r);
    fake_open--;
    ASSERT_EQ(memory.bytes, 0);
    free(r);
  }
}

/* -- Letting go -------------------------------------------------------------------------------- */

static void juggle(round_t* r, int thread) {
  for (int i = 0; i < CONTEXTS; i++) {
    for (int k = 0; k < 10; k++) ctx_flag_retain(r->flags[i]);
    for (int k = 0; k < 11; k++) ctx_flag_release(r->flags[i]);
    if (thread == 0) sched_yield();
  }
}

/* The last reference goes on whichever thread comes last, its ear on the loop's. */
TEST(the_last_reference_may_go_anywhere) {
  for (unsigned round = 0; round < test_rounds(20); round++) {
    round_t* r = begin(juggle);
    release_flags(r);
    for (int i = 0; i < CONTEXTS; i += 3) {
      ctx_cancel(&r->c[i], NULL);
      fake_run(&r->f);
    }
    join(r);
    fake_run(&r->f);
    ASSERT_EQ(fake_counters(&r->f).linked, 0);
    ASSERT_LIVE(&r->c[1]);
    release_contexts(r);
    fake_stop(&r->f);
    ASSERT_EQ(memory.bytes, 0);
    free(r);
  }
}
