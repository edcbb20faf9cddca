/* SPDX-License-Identifier: MIT */
#pragma once

/* The meaning of contexts in the simplest form: each move of the clock and each cancel is carried out at
 * once, by recursion over an array, for watched and unwatched contexts alike. The random
 * machine holds the core against it. */

#include "fake.h"

enum { NODES = 24, SOURCES = 3 };

typedef struct node_s {
  ctx_t* c; /* the real one; NULL: this place is free, unless a listener still refers to it */
  ctx_t* arms;
  ctx_t* below; /* for which `c` stands (ctx_interpose) */
  ctx_flag_t* flag;
  bool leaving;                    /* let go of a flag, of which the loop hears at its next turn */
  struct node_s* parent;           /* NULL: none, or none that could end it */
  struct node_s* sources[SOURCES]; /* of an any */
  int n_sources;
  bool endless; /* the roots, and without_cancel */
  bool own;     /* deadline_ns is its own, and cause_then its cause */
  bool borrows;
  bool tainted;      /* watched, shared or given a cause: may not go silently */
  bool asked;        /* a cancel_async of `flag` was taken, */
  bool promised;     /* and the loop has not carried it out yet, */
  uint64_t asked_at; /* in the order of these numbers, */
  reason_t* asked_cause;
  uint64_t deadline_ns;
  uint64_t order; /* ctx_id: ties of deadlines */
  reason_t* cause_then;
  int err;
  reason_t* cause;
  uint64_t ended_at;  /* number of the event that ended it; see model_t.events */
  uint64_t due_ns;    /* when a deadline ended it: whose, and when it was due; */
  uint64_t due_order; /* 0: ended otherwise */
} node_t;

typedef struct model_s {
  node_t nodes[NODES]; /* the two roots first */
  uint64_t now_ns;
  uint64_t events; /* ends and registrations, numbered alike */
} model_t;

/* The event under way: how, and by which deadline, if any. */
typedef struct end_s {
  int err;
  reason_t* cause;
  uint64_t due_ns, due_order;
} end_t;

static inline bool model_hears(const node_t* n, const node_t* source) {
  for (int i = 0; i < n->n_sources; i++) {
    if (n->sources[i] == source) return true;
  }
  return n->parent == source;
}

static inline void model_end(model_t* m, node_t* n, const end_t* end) {
  if (n->err != 0 || n->endless) return;
  n->err = end->err;
  n->cause = end->cause;
  n->due_ns = end->due_ns;
  n->due_order = end->due_order;
  n->ended_at = m->events;
  if (n->cause) n->tainted = true;
  for (node_t* other = m->nodes; other < m->nodes + NODES; other++) {
    if (other->c && model_hears(other, n)) model_end(m, other, end);
  }
}

/* Time moves to `now_ns`: deadlines end what they end, by time, then as they were made. */
static inline void model_pass(model_t* m, uint64_t now_ns) {
  m->now_ns = now_ns;
  for (;;) {
    node_t* first = NULL;
    for (node_t* n = m->nodes; n < m->nodes + NODES; n++) {
      if (!n->c || n->err != 0 || !n->own || n->deadline_ns > now_ns) continue;
      if (first == NULL || n->deadline_ns < first->deadline_ns ||
          (n->deadline_ns == first->deadline_ns && n->order < first->order)) {
        first = n;
      }
    }
    if (first == NULL) return;
    m->events++;
    end_t end = {CTX_DEADLINE_EXCEEDED, first->cause_then, first->deadline_ns, first->order};
    model_end(m, first, &end);
  }
}

static inline void model_cancel(model_t* m, node_t* n, reason_t* cause) {
  m->events++;
  end_t end = {CTX_CANCELED, cause, 0, 0};
  model_end(m, n, &end);
}

/* `n` is new below `parent`, with a deadline or CTX_NEVER. */
static inline void model_derive(model_t* m, node_t* n, node_t* parent, uint64_t deadline_ns,
                                reason_t* cause) {
  n->parent = parent;
  n->own = deadline_ns < parent->deadline_ns;
  n->deadline_ns = n->own ? deadline_ns : parent->deadline_ns;
  n->cause_then = n->own ? cause : NULL;
  if (n->cause_then) n->tainted = true;
  if (parent->err != 0) {
    end_t end = {parent->err, parent->cause, parent->due_ns, parent->due_order};
    m->events++;
    model_end(m, n, &end);
  }
  model_pass(m, m->now_ns);
}

/* `n` is new over its sources. */
static inline void model_any(model_t* m, node_t* n) {
  n->tainted = true;
  n->deadline_ns = CTX_NEVER;
  for (int i = 0; i < n->n_sources; i++) {
    node_t* source = n->sources[i];
    if (source->deadline_ns < n->deadline_ns) n->deadline_ns = source->deadline_ns;
    if (source->err == 0) continue;
    end_t end = {source->err, source->cause, source->due_ns, source->due_order};
    m->events++;
    model_end(m, n, &end); /* the first in order; the others do nothing */
  }
}
