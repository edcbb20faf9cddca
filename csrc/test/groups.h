/* SPDX-License-Identifier: MIT */
#pragma once

/* A group on a fake host, with a few tasks and waits that leave letters in the log. */

#include "fake.h"

/* A task that wants to begin. Its letter in the log: small when it began later, capital when its
 * group had ended. */
typedef struct job_s {
  ctx_begin_t b; /* first */
  fake_t* fake;
  void (*then)(struct job_s* job);
  void* arg;
  unsigned calls;
  int err;
  char letter;
} job_t;

/* One that waits for the end of all. */
typedef struct end_s {
  ctx_join_t j; /* first */
  fake_t* fake;
  void (*then)(struct end_s* end); /* may free it */
  void* arg;
  unsigned calls;
  char letter;
} end_t;

/* A host, a group below a context of its own, a few tasks and waits. */
typedef struct scene_s {
  fake_t f;
  ctx_t parent, c;
  ctx_group_t g;
  job_t job[4];
  end_t end[3];
} scene_t;

static inline void on_begin(ctx_begin_t* b, int err) {
  job_t* job = (job_t*)b;
  fake_note(job->fake, (char)(err ? job->letter - 'a' + 'A' : job->letter));
  job->calls++;
  job->err = err;
  if (job->then) job->then(job);
}

static inline void on_end(ctx_join_t* j) {
  end_t* end = (end_t*)j;
  fake_note(end->fake, end->letter);
  end->calls++;
  if (end->then) end->then(end);
}

static inline void open_scene(scene_t* x, int64_t limit) {
  memset(x, 0, sizeof *x);
  fake_start(&x->f);
  ctx_with_cancel(&x->parent, x->f.root);
  ctx_with_cancel(&x->c, &x->parent);
  ctx_group_init(&x->g, &x->f.tree, &x->c);
  ASSERT_EQ(ctx_group_set_limit(&x->g, limit), 0);
  for (int i = 0; i < 4; i++) x->job[i] = (job_t){.fake = &x->f, .letter = (char)('a' + i)};
  for (int i = 0; i < 3; i++) x->end[i] = (end_t){.fake = &x->f, .letter = (char)('1' + i)};
}

static inline void close_scene(scene_t* x) {
  fake_settle(&x->f);
  ASSERT_EQ(x->g.running, 0);
  ASSERT_EQ(x->g.slots.held, 0);
  ASSERT_PTR_EQ(x->g.first, NULL);
  ctx_release(&x->c);
  ctx_release(&x->parent);
  fake_settle(&x->f);
  ASSERT_EQ(fake_counters(&x->f).watchers, 0);
  ASSERT_EQ(fake_counters(&x->f).linked, 0);
  fake_stop(&x->f);
}

static inline int start(scene_t* x, int i) {
  return ctx_group_begin(&x->g, &x->job[i].b, on_begin);
}

static inline void start_all(scene_t* x, int from, int to, int want) {
  for (int i = from; i <= to; i++) ASSERT_EQ(start(x, i), want);
}

static inline void finish(scene_t* x) {
  ctx_group_end(&x->g, false, NULL);
}

static inline int join(scene_t* x, int i) {
  return ctx_group_wait(&x->g, &x->end[i].j, on_end);
}

static inline const char* calls(scene_t* x) {
  fake_settle(&x->f);
  return fake_calls(&x->f);
}
