/* SPDX-License-Identifier: MIT */
/* Causes: which one counts (by Go's own table), and their references. */
#include "fake.h"

static REASON(parent_cause);
static REASON(child_cause);
static REASON(too_slow);
static REASON(finished_early);

/* One step of a line of the table: `on` is the context, 0 the first made. */
typedef struct step_s {
  enum { END, CANCEL, DERIVE, OVER, LATER, DETACH } what;
  int on; /* of CANCEL; the others derive from the newest context */
  reason_t* cause;
} step_t;

typedef struct line_s {
  const char* name;
  step_t steps[5];
  int err;
  reason_t* cause;
} line_t;

/* Go's table, in Go's order and with Go's names. Where Go's cause is the error itself, ours is
 * NULL: that is the binding's to say. */
static const line_t table[] = {
    {"Background", {{0}}, 0, NULL},
    {"TODO", {{0}}, 0, NULL},
    {"WithCancel", {{DERIVE, 0, NULL}, {CANCEL, 0, NULL}}, CTX_CANCELED, NULL},
    {"WithCancelCause",
     {{DERIVE, 0, NULL}, {CANCEL, 0, &parent_cause}},
     CTX_CANCELED,
     &parent_cause},
    {"WithCancelCause nil", {{DERIVE, 0, NULL}, {CANCEL, 0, NULL}}, CTX_CANCELED, NULL},
    {"WithCancelCause: parent cause before child",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 0, &parent_cause}, {CANCEL, 1, &child_cause}},
     CTX_CANCELED,
     &parent_cause},
    {"WithCancelCause: parent cause after child",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 1, &child_cause}, {CANCEL, 0, &parent_cause}},
     CTX_CANCELED,
     &child_cause},
    {"WithCancelCause: parent cause before nil",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 0, &parent_cause}, {CANCEL, 1, NULL}},
     CTX_CANCELED,
     &parent_cause},
    {"WithCancelCause: parent cause after nil",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 1, NULL}, {CANCEL, 0, &parent_cause}},
     CTX_CANCELED,
     NULL},
    {"WithCancelCause: child cause after nil",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 0, NULL}, {CANCEL, 1, &child_cause}},
     CTX_CANCELED,
     NULL},
    {"WithCancelCause: child cause before nil",
     {{DERIVE, 0, NULL}, {DERIVE, 0, NULL}, {CANCEL, 1, &child_cause}, {CANCEL, 0, NULL}},
     CTX_CANCELED,
     &child_cause},
    {"WithTimeout", {{OVER, 0, NULL}, {CANCEL, 0, NULL}}, CTX_DEADLINE_EXCEEDED, NULL},
    {"WithTimeout canceled", {{LATER, 0, NULL}, {CANCEL, 0, NULL}}, CTX_CANCELED, NULL},
    {"WithTimeoutCause",
     {{OVER, 0, &too_slow}, {CANCEL, 0, NULL}},
     CTX_DEADLINE_EXCEEDED,
     &too_slow},
    {"WithTimeoutCause canceled", {{LATER, 0, &too_slow}, {CANCEL, 0, NULL}}, CTX_CANCELED, NULL},
    {"WithTimeoutCause stacked",
     {{DERIVE, 0, NULL}, {OVER, 0, &too_slow}, {CANCEL, 0, &finished_early}},
     CTX_DEADLINE_EXCEEDED,
     &too_slow},
    {"WithTimeoutCause stacked canceled",
     {{DERIVE, 0, NULL}, {LATER, 0, &too_slow}, {CANCEL, 0, &finished_early}},
     CTX_CANCELED,
     &finished_early},
    {"WithoutCancel", {{DETACH, 0, NULL}}, 0, NULL},
    {"WithoutCancel canceled",
     {{DERIVE, 0, NULL}, {DETACH, 0, NULL}, {CANCEL, 0, &finished_early}},
     0,
     NULL},
    {"WithoutCancel timeout",
     {{OVER, 0, &too_slow}, {DETACH, 0, NULL}, {CANCEL, 0, NULL}},
     0,
     NULL},
};

static void step(fake_t* f, const step_t* s, ctx_t* contexts, int* n) {
  ctx_t* parent = *n ? &contexts[*n - 1] : f->root;
  ctx_t* fresh = &contexts[*n];
  ctx_cause_t* cause = s->cause ? &s->cause->cause : NULL;
  if (s->what == CANCEL) {
    ctx_cancel(&contexts[s->on], cause);
    return;
  }
  ++*n;
  if (s->what == DERIVE) ctx_with_cancel(fresh, parent);
  if (s->what == OVER) ctx_with_deadline(fresh, parent, f->now_ns, cause);
  if (s->what == LATER) ctx_with_deadline(fresh, parent, f->now_ns + 1000000 * MS, cause);
  if (s->what == DETACH) ctx_without_cancel(fresh, parent);
}

/* Once with each context watched as soon as it is made, and once with none. */
static void try_line(const line_t* line, bool watched) {
  fake_t f;
  ctx_t contexts[5];
  probe_t probes[5] = {0};
  int n = 0;
  test_note("%s%s", line->name, watched ? ", watched" : "");
  fake_start(&f);
  if (strcmp(line->name, "TODO") == 0) f.root = ctx_todo(&f.tree);
  for (const step_t* s = line->steps; s->what != END; s++) {
    int before = n;
    step(&f, s, contexts, &n);
    if (watched && n > before) probe_watch(&f, &probes[before], &contexts[before], 'p');
  }
  ctx_t* c = n ? &contexts[n - 1] : f.root;
  for (int again = 0; again < 2; again++) {
    ASSERT_EQ(ctx_err(c), line->err);
    ASSERT_PTR_EQ(ctx_cause(c), line->cause);
    fake_settle(&f);
  }
  while (n-- > 0) {
    ctx_unwatch(&probes[n].w);
    ctx_release(&contexts[n]);
  }
  fake_stop(&f);
}

TEST(gos_twenty_cases_hold) {
  enum { N = sizeof table / sizeof table[0] };
  ASSERT_EQ(N, 20);
  for (int i = 0; i < N; i++) {
    try_line(&table[i], false);
    try_line(&table[i], true);
    ASSERT_EQ(reasons_held, 0);
  }
}

/* Go keeps a reference per context, too: a cause must live as long as anything that can ask for it. */
TEST(every_context_that_has_a_cause_holds_it_once) {
  fake_t f;
  fake_start(&f);
  ctx_t c[3];
  for (int i = 0; i < 3; i++) ctx_with_cancel(&c[i], i ? &c[i - 1] : f.root);
  ctx_cancel(&c[0], &parent_cause.cause);
  ASSERT_EQ(parent_cause.held, 1);
  ASSERT_DONE(&c[2], CTX_CANCELED, &parent_cause);
  ASSERT_DONE(&c[1], CTX_CANCELED, &parent_cause);
  ASSERT_EQ(parent_cause.held, 3);
  ASSERT_DONE(&c[1], CTX_CANCELED, &parent_cause);
  ASSERT_EQ(parent_cause.held, 3);
  for (int i = 2; i >= 0; i--) {
    ctx_release(&c[i]);
    ASSERT_EQ(parent_cause.held, i);
  }
  fake_stop(&f);
}

TEST(a_deadlines_cause_is_held_from_the_start_and_kept_when_it_counts) {
  fake_t f;
  fake_start(&f);
  ctx_t c, child;
  ctx_with_deadline(&c, f.root, f.now_ns + MS, &too_slow.cause);
  ctx_with_cancel(&child, &c);
  ASSERT_EQ(too_slow.held, 1);
  ASSERT_LIVE(&c);
  f.now_ns += MS;
  ASSERT_DONE(&child, CTX_DEADLINE_EXCEEDED, &too_slow);
  ASSERT_EQ(too_slow.held, 2);
  ctx_release(&child);
  ctx_release(&c);
  ASSERT_EQ(too_slow.held, 0);
  fake_stop(&f);
}

TEST(the_cause_of_the_deadline_may_be_that_of_the_cancel) {
  fake_t f;
  fake_start(&f);
  ctx_t c;
  ctx_with_deadline(&c, f.root, f.now_ns + MS, &too_slow.cause);
  ctx_cancel(&c, &too_slow.cause);
  ASSERT_EQ(too_slow.held, 1);
  ASSERT_DONE(&c, CTX_CANCELED, &too_slow);
  ctx_release(&c);
  fake_stop(&f);
}

/* For memory that a garbage collector frees silently. */
TEST(a_borrower_holds_only_what_it_was_given_itself) {
  fake_t f;
  fake_start(&f);
  ctx_t parent, child, timed;
  ctx_with_cancel(&parent, f.root);
  ctx_with_cancel(&child, &parent);
  ctx_with_deadline(&timed, &parent, f.now_ns + MS, &too_slow.cause);
  ctx_borrow_cause(&child);
  ctx_borrow_cause(&timed);
  ctx_cancel(&parent, &parent_cause.cause);
  ASSERT_DONE(&child, CTX_CANCELED, &parent_cause);
  ASSERT_DONE(&timed, CTX_CANCELED, &parent_cause);
  ASSERT_EQ(parent_cause.held, 1);
  ASSERT_EQ(too_slow.held, 0);
  memset(&child, 0xA5, sizeof child);
  memset(&timed, 0xA5, sizeof timed);
  ctx_release(&parent);
  fake_stop(&f);
}

/* Either callback may be missing, and so may both, and the table. */
TEST(a_cause_need_not_count_its_holders) {
  static const ctx_cause_ops_t nothing = {NULL, NULL, NULL};
  ctx_cause_t plain[] = {{NULL}, {&nothing}};
  for (int i = 0; i < 2; i++) {
    fake_t f;
    fake_start(&f);
    ctx_t c, child;
    ctx_with_deadline(&c, f.root, f.now_ns + MS, &plain[i]);
    ctx_with_cancel(&child, &c);
    ctx_cancel(&c, &plain[1 - i]);
    ASSERT_DONE(&child, CTX_CANCELED, &plain[1 - i]);
    ctx_release(&child);
    ctx_release(&c);
    fake_stop(&f);
  }
}
