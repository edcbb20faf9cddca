/* SPDX-License-Identifier: MIT */
/* The tree of contexts: deriving, cancelling, reading. */
#include "fake.h"

/* Which calls of the rest of this file look at what is linked, and which at what is not: a law
 * must hold for both, so tests that care run twice, the second time with everything watched. */
static void on_both(void (*law)(fake_t* f, bool watched)) {
  for (int watched = 0; watched <= 1; watched++) {
    fake_t f;
    test_note(watched ? "watched" : "not watched");
    fake_start(&f);
    law(&f, watched);
    fake_stop(&f);
  }
}

/* Derives by ctx_with_cancel, and has `p` watch it in the second round. */
static void derive(fake_t* f, ctx_t* c, ctx_t* parent, probe_t* p, bool watched) {
  *p = (probe_t){0};
  ctx_with_cancel(c, parent);
  if (watched) probe_watch(f, p, c, 'w');
}

static void release_all(ctx_t* contexts, size_t n) {
  while (n-- > 0) ctx_release(&contexts[n]);
}

TEST(background_and_todo_are_two_roots_that_never_end) {
  fake_t f;
  fake_start(&f);
  ASSERT_PTR_EQ(ctx_background(&f.tree), ctx_background(&f.tree));
  ASSERT(ctx_background(&f.tree) != ctx_todo(&f.tree));
  ASSERT(ctx_id(ctx_background(&f.tree)) != ctx_id(ctx_todo(&f.tree)));
  REASON(no);
  ctx_t* roots[] = {ctx_background(&f.tree), ctx_todo(&f.tree)};
  for (int i = 0; i < 2; i++) {
    ctx_cancel(roots[i], &no.cause);
    ctx_release(roots[i]);
    fake_advance(&f, 1000 * MS);
    ASSERT_LIVE(roots[i]);
    ASSERT_EQ(ctx_deadline(roots[i]), CTX_NEVER);
    ASSERT_PTR_EQ(ctx_parent(roots[i]), NULL);
    ctx_t child;
    ctx_with_cancel(&child, roots[i]);
    ASSERT_LIVE(&child);
  }
  fake_stop(&f);
}

static void first_cancel_wins(fake_t* f, bool watched) {
  REASON(first);
  REASON(second);
  ctx_t c;
  probe_t p;
  derive(f, &c, f->root, &p, watched);
  ASSERT_LIVE(&c);
  ctx_cancel(&c, &first.cause);
  ASSERT_DONE(&c, CTX_CANCELED, &first);
  ctx_cancel(&c, &second.cause);
  ctx_cancel(&c, NULL);
  fake_advance(f, 1000 * MS);
  ASSERT_DONE(&c, CTX_CANCELED, &first);
  ASSERT_EQ(second.held, 0);
  ASSERT_EQ(p.calls, watched);
  ctx_release(&c);
}
TEST(the_first_cancel_wins_and_nothing_changes_it) {
  on_both(first_cancel_wins);
}

/* a ── b ── c ── d, and e beside b */
static void cancel_is_synchronous(fake_t* f, bool watched) {
  REASON(gone);
  ctx_t c[5];
  probe_t p[5];
  for (int i = 0; i < 4; i++) derive(f, &c[i], i ? &c[i - 1] : f->root, &p[i], watched);
  derive(f, &c[4], &c[0], &p[4], watched);
  ctx_cancel(&c[0], &gone.cause);
  for (int i = 4; i >= 0; i--) ASSERT_DONE(&c[i], CTX_CANCELED, &gone);
  ASSERT_EQ(fake_counters(f).canceled, 5);
  fake_settle(f);
  release_all(c, 5);
  ASSERT_EQ(gone.held, 0);
}
TEST(when_cancel_returns_every_descendant_is_done) {
  on_both(cancel_is_synchronous);
}

/* Only the leaf, or only the middle, is linked, and the rest has to ask. */
TEST(a_cancel_reaches_watched_and_unwatched_contexts_alike) {
  for (int watched = 0; watched < 6; watched++) {
    fake_t f;
    REASON(gone);
    fake_start(&f);
    ctx_t c[6];
    probe_t p = {0};
    for (int i = 0; i < 6; i++) ctx_with_cancel(&c[i], i ? &c[i - 1] : f.root);
    probe_watch(&f, &p, &c[watched], 'w');
    ctx_cancel(&c[1], &gone.cause);
    ASSERT_LIVE(&c[0]);
    for (int i = 1; i < 6; i++) ASSERT_DONE(&c[i], CTX_CANCELED, &gone);
    fake_settle(&f);
    ASSERT_EQ(p.calls, watched > 0);
    release_all(c, 6);
    fake_stop(&f);
  }
}

static void cancel_spares_the_rest(fake_t* f, bool watched) {
  ctx_t parent, a, b, below_b;
  probe_t p[4];
  derive(f, &parent, f->root, &p[0], watched);
  derive(f, &a, &parent, &p[1], watched);
  derive(f, &b, &parent, &p[2], watched);
  derive(f, &below_b, &b, &p[3], watched);
  ctx_cancel(&a, NULL);
  fake_settle(f);
  ASSERT_DONE(&a, CTX_CANCELED, NULL);
  ASSERT_LIVE(&parent);
  ASSERT_LIVE(&b);
  ASSERT_LIVE(&below_b);
  ASSERT_EQ(fake_counters(f).linked, watched ? 3 : 0);
  ctx_release(&below_b);
  ctx_release(&b);
  ASSERT_LIVE(&parent);
  ctx_release(&parent);
  fake_settle(f);
}
TEST(a_cancel_spares_parent_and_siblings) {
  on_both(cancel_spares_the_rest);
}

static void born_done(fake_t* f, bool watched) {
  REASON(gone);
  ctx_t parent, child, grandchild;
  probe_t p[3];
  derive(f, &parent, f->root, &p[0], watched);
  ctx_cancel(&parent, &gone.cause);
  fake_settle(f);
  derive(f, &child, &parent, &p[1], watched);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  derive(f, &grandchild, &child, &p[2], watched);
  ASSERT_EQ(fake_counters(f).linked, 0);
  ASSERT_DONE(&grandchild, CTX_CANCELED, &gone);
  fake_settle(f);
  ASSERT_EQ(p[2].calls, watched);
  ctx_release(&grandchild);
  ctx_release(&child);
  ctx_release(&parent);
}
TEST(a_child_of_a_done_parent_is_born_done_and_unlinked) {
  on_both(born_done);
}

/* The parent itself has not heard of its end yet. */
TEST(a_child_is_born_done_also_if_only_an_ancestor_knows) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t top, middle, parent, child;
  ctx_with_cancel(&top, f.root);
  ctx_with_cancel(&middle, &top);
  ctx_with_cancel(&parent, &middle);
  ctx_cancel(&top, &gone.cause);
  ctx_with_cancel(&child, &parent);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ctx_release(&child);
  ctx_release(&parent);
  ctx_release(&middle);
  ctx_release(&top);
  fake_stop(&f);
}

/* The contexts below are a tree of their own. */
static void without_cancel(fake_t* f, bool watched) {
  REASON(gone);
  REASON(own);
  ctx_t parent, before, after, child, passed, late;
  probe_t p[2], q = {0};
  derive(f, &parent, f->root, &p[0], watched);
  ctx_without_cancel(&before, &parent);
  derive(f, &child, &before, &p[1], watched);
  if (watched) probe_watch(f, &q, &before, 'q');
  ctx_cancel(&parent, &gone.cause);
  ctx_without_cancel(&after, &parent);
  ctx_with_deadline(&passed, f->root, f->now_ns + MS, NULL);
  fake_advance(f, MS);
  ctx_without_cancel(&late, &passed);
  ctx_t* detached[] = {&before, &after, &late, &child};
  for (int i = 0; i < 4; i++) {
    ASSERT_LIVE(detached[i]);
    ASSERT_EQ(ctx_deadline(detached[i]), CTX_NEVER);
  }
  ASSERT_PTR_EQ(ctx_parent(&before), NULL);
  ctx_cancel(&before, &own.cause);
  ASSERT_LIVE(&before);
  ASSERT_LIVE(&child);
  ctx_cancel(&child, &own.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &own);
  ASSERT_LIVE(&before);
  if (watched) ASSERT(ctx_unwatch(&q.w));
  ctx_release(&child);
  ctx_release(&before);
  ctx_release(&parent);
  fake_settle(f);
}
TEST(without_cancel_keeps_nothing_of_its_parents_end) {
  on_both(without_cancel);
}

TEST(without_cancel_outlives_its_parents_memory) {
  fake_t f;
  fake_start(&f);
  ctx_t* parent = malloc(sizeof *parent);
  ctx_t detached, child;
  ctx_with_cancel(parent, f.root);
  ctx_without_cancel(&detached, parent);
  ctx_cancel(parent, NULL);
  free(parent);
  ctx_with_cancel(&child, &detached);
  ASSERT_LIVE(&child);
  fake_stop(&f);
}

/* MEMORY in ctx.h: a context that was never watched, shared or given a cause needs no release. */
TEST(idle_contexts_may_be_freed_without_a_release) {
  fake_t f;
  fake_start(&f);
  ctx_t *top = malloc(sizeof *top), *child = malloc(sizeof *child), other;
  ctx_with_cancel(top, f.root);
  ctx_with_deadline(child, top, f.now_ns + MS, NULL);
  ASSERT_LIVE(child);
  free(child);
  ctx_with_cancel(&other, top);
  ctx_cancel(top, NULL);
  ASSERT_DONE(&other, CTX_CANCELED, NULL);
  free(top);
  fake_advance(&f, 10 * MS);
  fake_stop(&f);
}

TEST(releasing_ends_and_is_done_once) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t c, child;
  probe_t p = {0};
  ctx_with_cancel(&c, f.root);
  ctx_with_deadline(&child, &c, f.now_ns + MS, &gone.cause);
  probe_watch(&f, &p, &child, 'p');
  ASSERT_EQ(gone.held, 1);
  ctx_release(&child);
  ASSERT_EQ(gone.held, 0);
  ASSERT_EQ(ctx_err(&child), CTX_CANCELED);
  ctx_release(&child);
  memset(&child, 0xA5, sizeof child);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_settle(&f);
  ASSERT_EQ(p.calls, 1);
  ASSERT_LIVE(&c);
  ctx_release(&c);
  ASSERT_EQ(fake_counters(&f).canceled, 2);
  fake_stop(&f);
}

TEST(ids_rise_names_stay_and_parents_are_known) {
  fake_t f;
  fake_start(&f);
  ctx_t a, b, c;
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, &a, f.now_ns + MS, NULL);
  ctx_without_cancel(&c, &b);
  ASSERT_INT(ctx_id(&a), <, ctx_id(&b));
  ASSERT_INT(ctx_id(&b), <, ctx_id(&c));
  ASSERT_PTR_EQ(ctx_parent(&a), f.root);
  ASSERT_PTR_EQ(ctx_parent(&b), &a);
  ASSERT_PTR_EQ(ctx_name(&a), NULL);
  ctx_set_name(&a, "request");
  ctx_cancel(&a, NULL);
  ASSERT_STR_EQ(ctx_name(&a), "request");
  ASSERT_PTR_EQ(ctx_parent(&b), &a);
  fake_stop(&f);
}

/* Deadline, error and cause stay readable when a context is done. */
TEST(a_done_context_still_answers) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_deadline(&c, f.root, f.now_ns + MS, NULL);
  ctx_cancel(&c, NULL);
  ASSERT_EQ(ctx_deadline(&c), f.now_ns + MS);
  ASSERT_PTR_EQ(ctx_parent(&c), f.root);
  fake_advance(&f, 10 * MS);
  ASSERT_EQ(ctx_deadline(&c), f.now_ns - 9 * MS);
  fake_stop(&f);
}

/* The pull of news up the tree must neither miss an end nor make one up, however many others
 * have ended since. */
TEST(a_live_context_stays_live_while_others_end) {
  fake_t f;
  fake_start(&f);
  ctx_t top, middle, leaf;
  ctx_with_cancel(&top, f.root);
  ctx_with_cancel(&middle, &top);
  ctx_with_cancel(&leaf, &middle);
  for (int i = 0; i < 100; i++) {
    ctx_t other, child;
    ctx_with_cancel(&other, i % 2 ? f.root : &middle);
    ctx_with_cancel(&child, &other);
    ctx_cancel(&other, NULL);
    if (i % 3 == 0) ASSERT_LIVE(&leaf);
    if (i % 5 == 0) ASSERT_LIVE(&top);
    ASSERT_EQ(ctx_err(&child), CTX_CANCELED);
  }
  ctx_cancel(&top, NULL);
  ASSERT_DONE(&leaf, CTX_CANCELED, NULL);
  fake_stop(&f);
}

TEST(the_texts_are_gos) {
  ASSERT_STR_EQ(ctx_strerror(CTX_CANCELED), "context canceled");
  ASSERT_STR_EQ(ctx_strerror(CTX_DEADLINE_EXCEEDED), "context deadline exceeded");
  ASSERT_STR_EQ(ctx_strerror(CTX_ENOMEM), "out of memory");
  ASSERT_STR_EQ(ctx_strerror(CTX_ECLOSED), "the tree is closed");
  ASSERT_STR_EQ(ctx_strerror(0), "unknown error");
  ASSERT_STR_EQ(ctx_strerror(-1000), "unknown error");
}

TEST(deriving_reading_and_cancelling_allocate_nothing_and_ask_for_no_wake_up) {
  fake_t f;
  fake_start(&f);
  unsigned long before = memory.allocations;
  ctx_t a, b, c, d;
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, &a, f.now_ns + MS, NULL);
  ctx_without_cancel(&c, &b);
  ctx_with_deadline(&d, &c, 0, NULL);
  ASSERT_LIVE(&b);
  ctx_cancel(&a, NULL);
  ASSERT_EQ(ctx_err(&b), CTX_CANCELED);
  ASSERT_EQ(memory.allocations, before);
  ASSERT_EQ(f.wakes, 0);
  ASSERT_INT(sizeof(ctx_t), <=, 96);
  ASSERT_INT(sizeof(ctx_watcher_t), <=, 48);
  fake_stop(&f);
}

TEST(a_closed_tree_can_be_read_and_cancelled_but_not_watched) {
  fake_t f;
  REASON(gone);
  fake_start(&f);
  ctx_t parent, child, timed, late;
  probe_t p = {0}, q = {0};
  alarm_t a = {0};
  ctx_with_cancel(&parent, f.root);
  ctx_with_cancel(&child, &parent);
  ctx_with_deadline(&timed, &parent, f.now_ns + MS, &gone.cause);
  probe_watch(&f, &p, &child, 'p');
  probe_watch(&f, &q, &timed, 'q');
  ctx_tree_close(&f.tree);
  ASSERT_EQ(memory.bytes, 0);
  ASSERT_LIVE(&child);
  ASSERT_EQ(probe_try(&f, &p, &parent, 'p'), CTX_ECLOSED);
  ASSERT_EQ(alarm_try(&f, &a, f.now_ns, 'a'), CTX_ECLOSED);
  ASSERT_PTR_EQ(ctx_share(&child), NULL);
  f.now_ns += MS;
  ASSERT_DONE(&timed, CTX_DEADLINE_EXCEEDED, &gone);
  ctx_with_cancel(&late, &child);
  ctx_cancel(&parent, &gone.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &gone);
  ASSERT_DONE(&late, CTX_CANCELED, &gone);
  fake_run(&f);
  ASSERT_STR_EQ(fake_calls(&f), "");
  ctx_release(&late);
  ctx_release(&timed);
  ctx_release(&child);
  ctx_release(&parent);
  fake_stop(&f);
}
