/* SPDX-License-Identifier: MIT */
#pragma once

/* The state of a random run, the model and the real tree, and the laws between them. The operations of
 * the run are in random.h. */

#include "model.h"

enum { LISTENERS = 24 };

/* A watcher or timer, in memory of its own that goes when it has been called or taken back. */
typedef struct listener_s {
  probe_t* probe; /* one of the two, or neither: this place is free */
  alarm_t* alarm;
  node_t* node;     /* a probe's */
  uint64_t at;      /* number of its registration among the model's events */
  uint64_t time_ns; /* an alarm's, */
  uint64_t order;   /* and what decides among equal ones */
  bool late;        /* an alarm's time had come when it was started */
  bool due;         /* is to be called in the turn under way, no matter what */
} listener_t;

typedef struct machine_s {
  fake_t f;
  model_t model;
  listener_t listeners[LISTENERS];
  reason_t reasons[4];
  uint64_t random;
  uint64_t derived, canceled, expired; /* what the counters should say, */
  uint64_t unheard;                    /* except those that went silently */
  uint64_t asked;                      /* numbers the requests of other threads */
  bool dawdled;                        /* time went on within the turn under way */
  unsigned depth;                      /* of calls within calls */
} machine_t;

static inline uint64_t pick(machine_t* m, uint64_t n) {
  return test_random(&m->random) % n;
}

static inline bool listener_used(const listener_t* l) {
  return l->probe || l->alarm;
}

static inline bool node_busy(const machine_t* m, const node_t* n) {
  for (int i = 0; i < LISTENERS; i++) {
    if (m->listeners[i].probe && m->listeners[i].node == n) return true;
  }
  return false;
}

/* -- Looking ---------------------------------------------------------------------------------- */

static inline void check_node(machine_t* m, node_t* n) {
  (void)m;
  ASSERT_EQ(ctx_err(n->c), n->err);
  ASSERT_PTR_EQ(ctx_cause(n->c), n->cause);
  ASSERT_EQ(ctx_deadline(n->c), n->deadline_ns);
  ASSERT_EQ(ctx_id(n->c), n->order);
  if (n->flag) ASSERT_EQ(ctx_flag_err(n->flag), n->err);
  if (n->err != 0 && n->arms) { /* which it uses only until it is done */
    free(n->arms);
    n->arms = NULL;
  }
}

static inline void check_nodes(machine_t* m) {
  uint64_t offset = pick(m, NODES);
  for (uint64_t i = 0; i < NODES; i++) {
    node_t* n = &m->model.nodes[(i + offset) % NODES];
    if (n->c) check_node(m, n);
  }
}

/* -- What is linked ---------------------------------------------------------------------------- */

/* As ctx.h says: it or a descendant is watched, by a watcher, an `any` or a flag. */
static inline bool is_linked(machine_t* m, node_t* n) {
  if (!n->c || n->err != 0) return false;
  if (node_busy(m, n) || n->flag || n->leaving || n->n_sources > 0) return true;
  for (node_t* other = m->model.nodes; other < m->model.nodes + NODES; other++) {
    if (other->c && model_hears(other, n) && is_linked(m, other)) return true;
  }
  return false;
}

typedef struct visit_s {
  machine_t* m;
  const ctx_t* path[2 * NODES]; /* from the root to the one met last */
  unsigned met, below;          /* contexts, and those for which another stands */
  bool seen[NODES];
} visit_t;

static inline bool visit(const ctx_t* c, unsigned depth, void* arg) {
  visit_t* v = arg;
  node_t* nodes = v->m->model.nodes;
  int i = 0;
  while (i < NODES && nodes[i].c != c && nodes[i].below != c) i++;
  ASSERT_INT(i, <, NODES);
  ASSERT_PTR_EQ(depth ? v->path[depth - 1] : NULL, ctx_parent(c));
  v->path[depth] = c;
  if (nodes[i].below == c) {
    v->below++;
    return true;
  }
  ASSERT(!v->seen[i]);
  v->seen[i] = true;
  v->met++;
  ASSERT(i < 2 || is_linked(v->m, &nodes[i]));
  return true;
}

/* Right after a turn, when every deadline that has passed has been noticed. */
static inline void check_links(machine_t* m) {
  size_t linked = 0, watchers = 0, deadlines = 0, ready = 0;
  for (node_t* n = m->model.nodes; n < m->model.nodes + NODES; n++) {
    if (n < m->model.nodes + 2 || !is_linked(m, n)) continue;
    linked++;
    deadlines += n->own;
  }
  for (listener_t* l = m->listeners; l < m->listeners + LISTENERS; l++) {
    watchers += listener_used(l);
    deadlines += l->alarm && l->time_ns != CTX_NEVER;
    ready += l->alarm && l->time_ns <= m->f.now_ns; /* started in a call: in the heap, or not */
  }
  ctx_counters_t counters = fake_counters(&m->f);
  ASSERT_EQ(counters.watchers, watchers);
  ASSERT_INT(counters.deadlines, <=, deadlines);
  ASSERT_INT(counters.deadlines + ready, >=, deadlines);
  visit_t v = {.m = m};
  ctx_walk(&m->f.tree, visit, &v);
  ASSERT_EQ(v.met, linked + 2);
  ASSERT_EQ(counters.linked, linked + v.below);
}

/* -- When the host is woken -------------------------------------------------------------------- */

static inline bool is_ready(const listener_t* l, uint64_t now_ns) {
  return l->alarm ? l->time_ns <= now_ns && l->time_ns != CTX_NEVER : l->probe && l->node->err != 0;
}

/* Whatever there is to call, the host has been asked for a turn in time. */
static inline void check_wake(machine_t* m) {
  for (listener_t* l = m->listeners; l < m->listeners + LISTENERS; l++) {
    if (!listener_used(l)) continue;
    uint64_t by_ns = is_ready(l, m->f.now_ns) ? m->f.now_ns
                     : l->alarm               ? l->time_ns
                                              : l->node->deadline_ns;
    ASSERT(m->f.wake_ns <= by_ns);
  }
}

/* -- In which order listeners are called ------------------------------------------------------- */

/* Whether `l` became ready because a time came while it was waiting; and which time. */
static inline bool time_of(const listener_t* l, uint64_t* time_ns, uint64_t* order) {
  if (l->alarm) {
    *time_ns = l->time_ns;
    *order = l->order;
    return !l->late;
  }
  *time_ns = l->node->due_ns;
  *order = l->node->due_order;
  return l->node->due_ns != 0 && l->at < l->node->ended_at;
}

static inline bool is_above(const node_t* n, const node_t* below) {
  while (below && below != n) below = below->parent;
  return below == n;
}

/* The law of ctx.h: `a` has its call before `b`, if both are to be called. */
static inline bool comes_before(const listener_t* a, const listener_t* b) {
  uint64_t a_ns, a_order, b_ns, b_order;
  if (a->probe && b->probe) {
    if (a->node == b->node) return a->at < b->at;
    if (a->node->ended_at == b->node->ended_at && a->at < a->node->ended_at &&
        b->at < b->node->ended_at) {
      return is_above(a->node, b->node);
    }
  }
  if (!time_of(a, &a_ns, &a_order) || !time_of(b, &b_ns, &b_order)) return false;
  return a_ns < b_ns || (a_ns == b_ns && a_order < b_order);
}

static inline void check_call(machine_t* m, listener_t* l) {
  ASSERT(l->due);
  for (listener_t* other = m->listeners; other < m->listeners + LISTENERS; other++) {
    if (other != l && listener_used(other) && other->due) ASSERT(!comes_before(other, l));
  }
}

/* -- Turns ------------------------------------------------------------------------------------- */

static inline void carry_out_requests(machine_t* m) {
  for (;;) {
    node_t* first = NULL;
    for (node_t* n = m->model.nodes; n < m->model.nodes + NODES; n++) {
      if (n->promised && (!first || n->asked_at < first->asked_at)) first = n;
    }
    if (!first) return;
    first->promised = false;
    if (first->c) model_cancel(&m->model, first, first->asked_cause);
  }
}

static inline void machine_turn(machine_t* m) {
  model_pass(&m->model, m->f.now_ns);
  carry_out_requests(m);
  for (int i = 0; i < NODES; i++) m->model.nodes[i].leaving = false;
  for (listener_t* l = m->listeners; l < m->listeners + LISTENERS; l++) {
    l->due = is_ready(l, m->f.now_ns);
  }
  m->dawdled = false;
  if (pick(m, 3) == 0 || !fake_turn(&m->f)) fake_run(&m->f);
  for (listener_t* l = m->listeners; l < m->listeners + LISTENERS; l++) {
    ASSERT(!listener_used(l) || !l->due);
  }
  if (!m->dawdled) check_links(m);
  check_wake(m);
}
