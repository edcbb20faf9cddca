/* SPDX-License-Identifier: MIT */
/* Relays above contexts that a garbage collector frees: causes that they do not pass on, and relays that
 * are put above a context later. The random runs (random.h) do that, too. */
#include "fake.h"

static const ctx_cause_ops_t own_ops = {NULL, NULL, NULL};
static ctx_cause_t own = {&own_ops}, sister = {&own_ops};

/* A source, a relay of it, and a context below that. */
typedef struct scene_s {
  fake_t f;
  ctx_t source, arm, child;
  ctx_relay_t r;
} scene_t;

static void open_scene(scene_t* x) {
  fake_start(&x->f);
  ctx_with_cancel(&x->source, x->f.root);
  ASSERT_EQ(ctx_relay(&x->r, &x->arm, &x->source, &own), 0);
  ctx_with_cancel(&x->child, &x->r.c);
  ctx_borrow_cause(&x->child);
}

static void close_scene(scene_t* x) {
  ctx_release(&x->r.c);
  ctx_release(&x->source);
  ASSERT_EQ(fake_counters(&x->f).linked, 0);
  fake_stop(&x->f);
}

/* -- Relays ------------------------------------------------------------------------------------- */

TEST(a_relay_passes_its_own_cause_on_and_keeps_the_one_that_it_was_given) {
  scene_t x;
  REASON(reason);
  open_scene(&x);
  ASSERT_LIVE(&x.child);
  ctx_cancel(&x.source, &reason.cause);
  ASSERT_EQ(ctx_err(&x.child), CTX_CANCELED);
  ASSERT_PTR_EQ(x.child.cause, &own);
  ASSERT_PTR_EQ(x.r.given, &reason);
  ctx_release(&x.source);
  ASSERT_EQ(reason.held, 1);
  /* C sees what C gave. */
  ASSERT_PTR_EQ(ctx_cause(&x.child), &reason);
  ASSERT_PTR_EQ(ctx_cause(&x.r.c), &reason);
  ctx_release(&x.r.c);
  ASSERT_EQ(reason.held, 0);
  ASSERT_PTR_EQ(ctx_cause(&x.child), &own);
  close_scene(&x);
}

TEST(a_relay_that_is_cancelled_keeps_that_cause) {
  scene_t x;
  REASON(reason);
  REASON(late);
  open_scene(&x);
  ctx_cancel(&x.r.c, &reason.cause);
  ctx_cancel(&x.source, &late.cause);
  ASSERT_DONE(&x.child, CTX_CANCELED, &reason);
  ASSERT_EQ(late.held, 1); /* by the source */
  close_scene(&x);
}

TEST(causes_of_its_kind_pass_a_relay) {
  scene_t x;
  open_scene(&x);
  ctx_cancel(&x.source, &sister);
  ASSERT_DONE(&x.child, CTX_CANCELED, &sister);
  ASSERT_PTR_EQ(x.r.given, NULL);
  close_scene(&x);
}

TEST(without_a_cause_a_relay_has_none) {
  scene_t x;
  open_scene(&x);
  ctx_cancel(&x.source, NULL);
  ASSERT_DONE(&x.child, CTX_CANCELED, NULL);
  close_scene(&x);
}

TEST(a_relay_of_a_source_that_is_done_is_born_done) {
  fake_t f;
  REASON(reason);
  ctx_t source, arm;
  ctx_relay_t r;
  fake_start(&f);
  ctx_with_cancel(&source, f.root);
  ctx_cancel(&source, &reason.cause);
  ASSERT_EQ(ctx_relay(&r, &arm, &source, &own), 0);
  ASSERT_PTR_EQ(r.c.cause, &own);
  ctx_release(&source);
  ASSERT_DONE(&r.c, CTX_CANCELED, &reason);
  ASSERT_EQ(reason.held, 1);
  ctx_release(&r.c);
  fake_stop(&f);
}

/* -- Stand-ins ---------------------------------------------------------------------------------- */

TEST(a_stand_in_ends_what_it_stands_for) {
  for (int watched = 0; watched < 2; watched++) {
    fake_t f;
    REASON(reason);
    ctx_t parent, c, child;
    ctx_relay_t r;
    probe_t p = {0}, q = {0};
    fake_start(&f);
    ctx_with_cancel(&parent, f.root);
    ctx_with_cancel(&c, &parent);
    ctx_with_cancel(&child, &c);
    ctx_borrow_cause(&c);
    ctx_borrow_cause(&child);
    if (watched) probe_watch(&f, &p, &child, 'p');
    uint64_t id = ctx_id(&c);
    ctx_interpose(&r, &c, &own);
    ASSERT_EQ(ctx_id(&r.c), id);
    ASSERT_EQ(fake_counters(&f).linked, watched ? 4 : 0);
    probe_watch(&f, &q, &r.c, 'q');
    ASSERT_LIVE(&child);
    ctx_cancel(&r.c, &reason.cause);
    ASSERT_DONE(&c, CTX_CANCELED, &reason);
    ASSERT_DONE(&child, CTX_CANCELED, &reason);
    ASSERT_LIVE(&parent);
    fake_settle(&f);
    ASSERT_STR_EQ(fake_calls(&f), watched ? "qp" : "q");
    ASSERT_EQ(fake_counters(&f).linked, 0);
    ctx_release(&r.c);
    ctx_release(&parent);
    fake_stop(&f);
  }
}

TEST(a_stand_in_has_the_place_among_equal_deadlines) {
  fake_t f;
  ctx_t c[3];
  ctx_relay_t r;
  probe_t p[3];
  memset(p, 0, sizeof p);
  fake_start(&f);
  for (int i = 0; i < 3; i++) {
    ctx_with_deadline(&c[i], f.root, f.now_ns + 10, NULL);
    probe_watch(&f, &p[i], &c[i], (char)('a' + i));
  }
  ctx_interpose(&r, &c[0], &own);
  ASSERT_EQ(ctx_deadline(&r.c), ctx_deadline(&c[0]));
  ASSERT_EQ(fake_counters(&f).deadlines, 3);
  f.now_ns += 10;
  fake_settle(&f);
  ASSERT_STR_EQ(fake_calls(&f), "abc");
  ASSERT_DONE(&c[0], CTX_DEADLINE_EXCEEDED, NULL);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ctx_release(&r.c);
  for (int i = 0; i < 3; i++) ctx_release(&c[i]);
  fake_stop(&f);
}

/* What the binding needs it for: the memory of `c` is freed silently. */
TEST(what_listens_to_a_stand_in_does_not_need_the_other) {
  fake_t f;
  ctx_t parent;
  ctx_relay_t r;
  probe_t p = {0};
  fake_start(&f);
  ctx_with_cancel(&parent, f.root);
  ctx_t* c = malloc(sizeof *c);
  ctx_with_deadline(c, &parent, f.now_ns + 10, NULL);
  ctx_interpose(&r, c, &own);
  ctx_flag_t* flag = ctx_share(&r.c);
  probe_watch(&f, &p, &r.c, 'p');
  free(c);
  ctx_cancel(&parent, NULL);
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  fake_settle(&f);
  ASSERT_EQ(p.calls, 1);
  ctx_flag_release(flag);
  ctx_release(&r.c);
  ctx_release(&parent);
  fake_stop(&f);
}

TEST(a_stand_in_for_what_is_done_is_done_and_for_what_never_is_is_another) {
  fake_t f;
  REASON(reason);
  ctx_t done, endless;
  ctx_relay_t r, e;
  fake_start(&f);
  ctx_with_cancel(&done, f.root);
  ctx_cancel(&done, &reason.cause);
  ctx_interpose(&r, &done, &own);
  ASSERT_DONE(&r.c, CTX_CANCELED, &reason);
  ctx_without_cancel(&endless, f.root);
  ctx_interpose(&e, &endless, &own);
  ASSERT(!ctx_can_end(&e.c));
  ctx_release(&e.c);
  ASSERT_LIVE(&endless);
  ctx_release(&endless);
  ctx_release(&r.c);
  ctx_release(&done);
  fake_stop(&f);
}
