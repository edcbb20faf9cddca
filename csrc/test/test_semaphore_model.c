/* SPDX-License-Identifier: MIT */
/* Random programs over one semaphore, against the simplest model: a list of requests that is searched
 * from its start each time. */
#include "fake.h"

enum { ASKS = 8, CONTEXTS = 4, STEPS = 200 };

enum { IDLE, WAITING, GRANTED, HELD, FAILED };

typedef struct one_s {
  ctx_acquire_t a; /* first */
  int context;
  uint64_t n;
  uint64_t asked;    /* the model: when */
  bool passed;       /* the model: it has ended, and units were offered to those behind it */
  int want, got;     /* the model's state and the core's; a granted one is held after the turn */
  struct play_s* in; /* the game */
} one_t;

typedef struct play_s {
  fake_t f;
  ctx_semaphore_t s;
  uint64_t size, held; /* the model's */
  uint64_t asked;
  ctx_t c[CONTEXTS];
  bool done[CONTEXTS];
  one_t one[ASKS];
  uint64_t random;
} play_t;

static uint64_t below(play_t* p, uint64_t n) {
  return test_random(&p->random) % n;
}

static void on_call(ctx_acquire_t* a, int err) {
  one_t* one = (one_t*)a;
  ASSERT_EQ(one->got, WAITING);
  one->got = err ? FAILED : HELD;
}

/* -- The model ---------------------------------------------------------------------------------- */

/* The one that has waited longest for no more than the size. */
static one_t* first(play_t* p) {
  one_t* found = NULL;
  for (int i = 0; i < ASKS; i++) {
    one_t* one = &p->one[i];
    bool waits = one->want == WAITING && one->n <= p->size && !one->passed;
    if (waits && (found == NULL || one->asked < found->asked)) found = one;
  }
  return found;
}

static bool has_room(play_t* p, uint64_t n) {
  return p->held <= p->size && n <= p->size - p->held;
}

static void model_hand_out(play_t* p) {
  for (one_t* one; (one = first(p)) != NULL;) {
    if (p->done[one->context]) {
      one->passed = true;
    } else if (has_room(p, one->n)) {
      one->want = GRANTED;
      p->held += one->n;
    } else {
      break;
    }
  }
}

static void model_turn(play_t* p) {
  for (int i = 0; i < ASKS; i++) {
    one_t* one = &p->one[i];
    if (!p->done[one->context]) continue;
    if (one->want == GRANTED) p->held -= one->n;
    if (one->want == GRANTED || one->want == WAITING) one->want = FAILED;
  }
  model_hand_out(p);
  for (int i = 0; i < ASKS; i++) {
    if (p->one[i].want == GRANTED) p->one[i].want = HELD;
  }
}

static void compare(play_t* p, bool after_turn) {
  ASSERT_EQ(p->s.held, p->held);
  ASSERT_EQ(p->s.size, p->size);
  for (int i = 0; after_turn && i < ASKS; i++) {
    test_note("seed %ju, acquire %d", (uintmax_t)test_seed, i);
    ASSERT_EQ(p->one[i].got, p->one[i].want);
  }
}

/* -- Steps ------------------------------------------------------------------------------------------ */

static void step_acquire(play_t* p, one_t* one) {
  if (one->want == WAITING || one->want == GRANTED || one->want == HELD) return;
  one->context = (int)below(p, CONTEXTS);
  one->n = below(p, 5);
  int got = ctx_semaphore_acquire(&p->s, &p->c[one->context], &one->a, one->n, on_call);
  if (p->done[one->context]) {
    ASSERT_EQ(got, CTX_CANCELED);
    one->want = one->got = FAILED;
  } else if (first(p) == NULL && has_room(p, one->n)) {
    ASSERT_EQ(got, 0);
    one->want = one->got = HELD;
    p->held += one->n;
  } else {
    ASSERT_EQ(got, CTX_PENDING);
    one->want = one->got = WAITING;
    one->asked = p->asked++;
    one->passed = false;
  }
}

static void step_try_acquire(play_t* p, one_t* one) {
  if (one->want != IDLE) return;
  one->n = below(p, 5);
  bool want = first(p) == NULL && has_room(p, one->n);
  ASSERT_EQ(ctx_semaphore_try_acquire(&p->s, one->n), want);
  if (!want) return;
  p->held += one->n;
  one->want = one->got = HELD;
}

static void step_release(play_t* p, one_t* one) {
  if (one->want != HELD || one->got != HELD) return;
  ASSERT_EQ(ctx_semaphore_release(&p->s, p->held + 1), CTX_EINVAL);
  ASSERT_EQ(ctx_semaphore_release(&p->s, one->n), 0);
  one->want = one->got = IDLE;
  p->held -= one->n;
  model_hand_out(p);
}

static void step_stop(play_t* p, one_t* one) {
  bool pending = one->want == WAITING || one->want == GRANTED;
  ASSERT_EQ(ctx_acquire_stop(&one->a), pending);
  if (!pending) return;
  if (one->want == GRANTED) p->held -= one->n;
  one->want = one->got = IDLE;
  model_hand_out(p);
}

static void step_resize(play_t* p) {
  p->size = below(p, 6);
  ctx_semaphore_resize(&p->s, p->size);
  model_hand_out(p);
}

/* Also replaces a done context by a live one, if it is not in use. */
static void step_cancel(play_t* p) {
  int i = (int)below(p, CONTEXTS);
  bool used = false;
  for (int k = 0; k < ASKS; k++) {
    int want = p->one[k].want;
    used = used || (p->one[k].context == i && (want == WAITING || want == GRANTED));
  }
  if (p->done[i] && !used) {
    ctx_release(&p->c[i]);
    ctx_with_cancel(&p->c[i], p->f.root);
    p->done[i] = false;
  } else {
    ctx_cancel(&p->c[i], NULL);
    p->done[i] = true;
  }
}

static void step(play_t* p) {
  one_t* one = &p->one[below(p, ASKS)];
  switch (below(p, 12)) {
  case 0:
  case 1:
  case 2:
  case 3: step_acquire(p, one); break;
  case 4: step_try_acquire(p, one); break;
  case 5:
  case 6:
  case 7: step_release(p, one); break;
  case 8: step_stop(p, one); break;
  case 9: step_resize(p); break;
  case 10: step_cancel(p); break;
  default:
    fake_settle(&p->f);
    model_turn(p);
    compare(p, true);
  }
  compare(p, false);
}

static void play(uint64_t seed) {
  static play_t p;
  memset(&p, 0, sizeof p);
  p.random = seed;
  p.size = below(&p, 6);
  fake_start(&p.f);
  ctx_semaphore_init(&p.s, &p.f.tree, p.size);
  for (int i = 0; i < CONTEXTS; i++) ctx_with_cancel(&p.c[i], p.f.root);
  for (int i = 0; i < STEPS; i++) step(&p);
  for (int i = 0; i < CONTEXTS; i++) {
    ctx_cancel(&p.c[i], NULL);
    p.done[i] = true;
  }
  fake_settle(&p.f);
  model_turn(&p);
  compare(&p, true);
  for (int i = 0; i < ASKS; i++) step_release(&p, &p.one[i]);
  ASSERT_EQ(p.s.held, 0);
  ASSERT_EQ(fake_counters(&p.f).watchers, 0);
  ASSERT_EQ(fake_counters(&p.f).linked, 0);
  fake_stop(&p.f);
}

TEST(random_programs_go_as_in_the_model) {
  unsigned rounds = test_rounds(5000);
  uint64_t seeds = test_seed;
  for (unsigned i = 0; i < rounds; i++) {
    uint64_t seed = i ? test_random(&seeds) : test_seed;
    test_note("seed %ju, round %u", (uintmax_t)test_seed, i);
    play(seed);
  }
}
