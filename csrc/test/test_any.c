/* SPDX-License-Identifier: MIT */
/* Contexts that are done with the first of several. */
#include "fake.h"

enum { MAX_SOURCES = 4 };

/* An `any` with its arms, over the contexts that are given, up to a NULL. */
typedef struct either_s {
  ctx_t c;
  ctx_t arms[MAX_SOURCES];
} either_t;

static void either(either_t* e, ctx_t* const sources[]) {
  size_t n = 0;
  while (sources[n]) n++;
  ASSERT_EQ(ctx_any(&e->c, e->arms, sources, n), 0);
}
#define EITHER(e, ...) either(e, (ctx_t* const[]){__VA_ARGS__, NULL})

/* Which source ended it, as the arms tell; -1: none. */
static int ended_by(const either_t* e, int n) {
  for (int i = 0; i < n; i++) {
    if (e->arms[i].due.status != 0) return i;
  }
  return -1;
}

TEST(it_ends_with_whichever_source_ends_first) {
  for (int first = 0; first < 3; first++) {
    fake_t f;
    REASON(won);
    REASON(lost);
    fake_start(&f);
    ctx_t s[3];
    either_t e;
    probe_t p = {0};
    for (int i = 0; i < 3; i++) ctx_with_cancel(&s[i], f.root);
    EITHER(&e, &s[0], &s[1], &s[2]);
    ASSERT_LIVE(&e.c);
    ASSERT_PTR_EQ(ctx_parent(&e.c), NULL);
    ASSERT_EQ(fake_counters(&f).linked, 4);
    probe_watch(&f, &p, &e.c, 'p');
    ctx_cancel(&s[first], &won.cause);
    ASSERT_DONE(&e.c, CTX_CANCELED, &won);
    ASSERT_EQ(fake_counters(&f).linked, 0);
    ctx_cancel(&s[(first + 1) % 3], &lost.cause);
    ASSERT_DONE(&e.c, CTX_CANCELED, &won);
    ASSERT_EQ(ended_by(&e, 3), first);
    ASSERT_EQ(p.calls, 0);
    fake_settle(&f);
    ASSERT_EQ(p.calls, 1);
    ctx_release(&e.c);
    for (int i = 0; i < 3; i++) ctx_release(&s[i]);
    fake_stop(&f);
  }
}

TEST(of_sources_that_are_done_already_the_first_in_order_counts) {
  fake_t f;
  REASON(a_cause);
  REASON(b_cause);
  fake_start(&f);
  ctx_t live, a, b;
  either_t e;
  ctx_with_cancel(&live, f.root);
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, f.root, f.now_ns + MS, &b_cause.cause);
  f.now_ns += MS;
  ctx_cancel(&a, &a_cause.cause);
  EITHER(&e, &live, &b, &a);
  ASSERT_DONE(&e.c, CTX_DEADLINE_EXCEEDED, &b_cause);
  ASSERT_EQ(ended_by(&e, 3), 1);
  ASSERT_EQ(ctx_deadline(&e.c), ctx_deadline(&b));
  ASSERT_PTR_EQ(ctx_parent(&e.c), NULL);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT_EQ(fake_counters(&f).derived, 4);
  ctx_release(&e.c);
  ctx_release(&b);
  ctx_release(&a);
  fake_stop(&f);
}

TEST(it_may_be_cancelled_itself_which_spares_the_sources) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t a, b, child;
  either_t e;
  ctx_with_deadline(&a, f.root, f.now_ns + MS, NULL);
  ctx_with_cancel(&b, f.root);
  EITHER(&e, &a, &b);
  ctx_with_cancel(&child, &e.c);
  ASSERT_EQ(fake_counters(&f).deadlines, 1);
  ctx_cancel(&e.c, &gone.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ASSERT_EQ(ended_by(&e, 2), -1);
  ASSERT_LIVE(&a);
  ASSERT_LIVE(&b);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ASSERT_EQ(fake_counters(&f).deadlines, 0);
  ctx_release(&child);
  ctx_release(&e.c);
  fake_stop(&f);
}

/* Other implementations leak here. The sources live on, and the arms' memory is gone. */
TEST(releasing_it_leaves_nothing_in_the_sources) {
  fake_t f;
  fake_start(&f);
  ctx_t a, b;
  probe_t p = {0};
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, &a, f.now_ns + 100 * MS, NULL);
  probe_watch(&f, &p, &b, 'b');
  for (int i = 0; i < 100; i++) {
    either_t* e = malloc(sizeof *e);
    EITHER(e, &a, &b, &a);
    ASSERT_EQ(fake_counters(&f).linked, 3);
    ctx_release(&e->c);
    ASSERT_EQ(fake_counters(&f).linked, 2);
    free(e);
  }
  ASSERT_EQ(fake_counters(&f).deadlines, 1);
  ctx_cancel(&a, NULL);
  fake_settle(&f);
  ASSERT_EQ(p.calls, 1);
  ctx_release(&b);
  ctx_release(&a);
  fake_stop(&f);
}

TEST(the_same_source_may_come_twice) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t a;
  either_t e;
  probe_t p = {0};
  ctx_with_cancel(&a, f.root);
  EITHER(&e, &a, &a, &a);
  probe_watch(&f, &p, &e.c, 'p');
  ctx_cancel(&a, &gone.cause);
  ASSERT_DONE(&e.c, CTX_CANCELED, &gone);
  fake_settle(&f);
  ASSERT_EQ(p.calls, 1);
  ctx_release(&e.c);
  ctx_release(&a);
  fake_stop(&f);
}

/* a, b ── inner; inner, c ── outer; below outer a child */
TEST(an_any_of_any_ends_in_one_go) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t a, b, c, child;
  either_t inner, outer;
  ctx_with_cancel(&a, f.root);
  ctx_with_cancel(&b, f.root);
  ctx_with_cancel(&c, f.root);
  EITHER(&inner, &a, &b);
  EITHER(&outer, &inner.c, &c);
  ctx_with_cancel(&child, &outer.c);
  ctx_cancel(&b, &gone.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ASSERT_DONE(&outer.c, CTX_CANCELED, &gone);
  ASSERT_DONE(&inner.c, CTX_CANCELED, &gone);
  ASSERT_LIVE(&a);
  ASSERT_LIVE(&c);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  ctx_release(&child);
  ctx_release(&outer.c);
  ctx_release(&inner.c);
  ctx_release(&b);
  fake_stop(&f);
}

/* Sources anywhere below what is cancelled, several of them at once, also below the any itself's
 * other source: top ── a ── a1; top ── b. any(a1, b, other), and an any below that one. */
TEST(sources_below_a_cancelled_subtree_end_it_once) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t top, a, a1, b, other, child;
  either_t e, below;
  probe_t p = {0}, q = {0};
  ctx_with_cancel(&top, f.root);
  ctx_with_cancel(&a, &top);
  ctx_with_cancel(&a1, &a);
  ctx_with_cancel(&b, &top);
  ctx_with_cancel(&other, f.root);
  EITHER(&e, &a1, &b, &other);
  ctx_with_cancel(&child, &e.c);
  EITHER(&below, &b, &child, &other);
  probe_watch(&f, &p, &child, 'p');
  probe_watch(&f, &q, &below.c, 'q');
  ctx_cancel(&top, &gone.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ASSERT_DONE(&below.c, CTX_CANCELED, &gone);
  ASSERT_LIVE(&other);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_settle(&f);
  ASSERT_EQ(p.calls, 1);
  ASSERT_EQ(q.calls, 1);
  ctx_t* all[] = {&below.c, &child, &e.c, &b, &a1, &a, &top};
  for (int i = 0; i < 7; i++) ctx_release(all[i]);
  fake_stop(&f);
}

/* Its deadline is the soonest of theirs, whichever notices it. */
TEST(a_sources_deadline_ends_it) {
  for (int how = 0; how < 4; how++) {
    fake_t f;
    REASON(slow);
    REASON(slower);
    test_note("noticed by %d", how);
    fake_start(&f);
    ctx_t a, b, child;
    either_t e;
    ctx_with_deadline(&b, f.root, f.now_ns + 2 * MS, &slower.cause);
    ctx_with_deadline(&a, f.root, f.now_ns + MS, &slow.cause);
    EITHER(&e, &b, &a);
    ctx_with_cancel(&child, &e.c);
    ASSERT_EQ(ctx_deadline(&child), f.now_ns + MS);
    ASSERT_EQ(fake_counters(&f).deadlines, 2);
    f.now_ns += 2 * MS;
    if (how == 0) fake_settle(&f);
    if (how == 1) ASSERT_EQ(ctx_err(&b), CTX_DEADLINE_EXCEEDED); /* the later one, first */
    if (how == 2) ctx_cancel(&b, NULL);
    ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &slow);
    ASSERT_DONE(&e.c, CTX_DEADLINE_EXCEEDED, &slow);
    ASSERT_DONE(&b, CTX_DEADLINE_EXCEEDED, &slower);
    fake_settle(&f);
    ASSERT_EQ(fake_counters(&f).deadlines, 0);
    ctx_release(&child);
    ctx_release(&e.c);
    ctx_release(&a);
    ctx_release(&b);
    fake_stop(&f);
  }
}

/* A source that is done may go before the any does. */
TEST(sources_may_be_freed_once_it_is_done) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t *a = malloc(sizeof *a), *b = malloc(sizeof *b), child;
  either_t e;
  ctx_with_cancel(a, f.root);
  ctx_with_cancel(b, f.root);
  EITHER(&e, a, b);
  ctx_with_cancel(&child, &e.c);
  ctx_cancel(a, &gone.cause);
  ctx_release(a);
  ctx_release(b);
  free(a);
  free(b);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ctx_release(&child);
  ctx_release(&e.c);
  ASSERT_EQ(gone.held, 0);
  fake_stop(&f);
}

TEST(of_roots_it_is_never_done_by_itself) {
  fake_t f;
  fake_start(&f);
  ctx_t detached;
  either_t e;
  ctx_without_cancel(&detached, f.root);
  EITHER(&e, f.root, &detached, ctx_todo(&f.tree));
  fake_advance(&f, 1000 * MS);
  ASSERT_LIVE(&e.c);
  ASSERT_EQ(ctx_deadline(&e.c), CTX_NEVER);
  ctx_release(&e.c);
  ASSERT_EQ(ctx_err(&e.c), CTX_CANCELED);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_stop(&f);
}

TEST(a_closed_tree_makes_none_but_keeps_those_there_are) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t a, b;
  either_t e, late;
  ctx_t* sources[] = {&a, &b};
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, f.root, f.now_ns + MS, NULL);
  either(&e, (ctx_t*[]){&a, &b, NULL});
  ctx_tree_close(&f.tree);
  ASSERT_EQ(ctx_any(&late.c, late.arms, sources, 2), CTX_ECLOSED);
  ctx_cancel(&a, &gone.cause);
  ASSERT_DONE(&e.c, CTX_CANCELED, &gone);
  ASSERT_LIVE(&b);
  ctx_release(&e.c);
  ctx_release(&a);
  fake_stop(&f);
}
