/* SPDX-License-Identifier: MIT */
#pragma once

/* The operations of a random run, on the model and on the real tree. An operation without memory changes
 * nothing. */

#include "machine.h"

/* -- Choosing ---------------------------------------------------------------------------------- */

/* Any context that is there; the roots are, always. */
static inline node_t* any_node(machine_t* m) {
  for (;;) {
    node_t* n = &m->model.nodes[pick(m, NODES)];
    if (n->c) return n;
  }
}

/* Most of the time one that is live: else all would soon happen among the dead. */
static inline node_t* live_node(machine_t* m) {
  node_t* n = any_node(m);
  for (int tries = 0; tries < 2 && n->err != 0; tries++) n = any_node(m);
  return n;
}

static inline node_t* free_node(machine_t* m) {
  for (int i = 0; i < NODES; i++) {
    node_t* n = &m->model.nodes[i];
    if (n->c || n->promised || node_busy(m, n)) continue;
    /* Children that have gone before it, and whose listeners are still to be called, forget it. */
    for (int k = 0; k < NODES; k++) {
      if (m->model.nodes[k].parent == n) m->model.nodes[k].parent = NULL;
    }
    *n = (node_t){.deadline_ns = CTX_NEVER};
    return n;
  }
  return NULL;
}

static inline listener_t* free_listener(machine_t* m) {
  for (int i = 0; i < LISTENERS; i++) {
    if (listener_used(&m->listeners[i])) continue;
    m->listeners[i] = (listener_t){.at = ++m->model.events};
    return &m->listeners[i];
  }
  return NULL;
}

static inline reason_t* any_reason(machine_t* m) {
  uint64_t i = pick(m, 6);
  return i < 4 ? &m->reasons[i] : NULL;
}

static inline ctx_cause_t* cause_of(reason_t* reason) {
  return reason ? &reason->cause : NULL;
}

/* Few enough to be equal often; some in the past. */
static inline uint64_t any_time(machine_t* m) {
  return pick(m, 20) == 0 ? CTX_NEVER : m->f.now_ns + pick(m, 30) - 2;
}

/* The one reason for which a call may not succeed. */
static inline bool worked(machine_t* m, int error) {
  (void)m;
  if (error == 0) return true;
  ASSERT_EQ(error, CTX_ENOMEM);
  ASSERT(atomic_exchange(&memory.failed, false));
  return false;
}

/* -- Deriving ---------------------------------------------------------------------------------- */

static inline void made(machine_t* m, node_t* n) {
  n->order = ctx_id(n->c);
  m->derived++;
}

static inline void op_derive(machine_t* m) {
  node_t *parent = live_node(m), *n = free_node(m);
  if (!n) return;
  uint64_t kind = pick(m, 8);
  n->c = malloc(sizeof *n->c);
  if (kind == 0) {
    ctx_without_cancel(n->c, parent->c);
    n->endless = true;
    made(m, n);
    return;
  }
  bool timed = kind <= 4;
  uint64_t deadline_ns = timed ? any_time(m) : CTX_NEVER;
  reason_t* cause = timed ? any_reason(m) : NULL;
  /* Below a parent whose deadline has passed unseen, one still further back may count as the first
   * to come, or as too late; in Go, too, that is up to who looks when. Here the parent knows. */
  if (timed && deadline_ns <= m->f.now_ns) check_node(m, parent);
  if (timed) {
    ctx_with_deadline(n->c, parent->c, deadline_ns, cause_of(cause));
  } else {
    ctx_with_cancel(n->c, parent->c);
  }
  if (pick(m, 8) == 0) ctx_borrow_cause(n->c);
  made(m, n);
  model_derive(&m->model, n, parent, deadline_ns, cause);
  /* Go's answer for a child that is born done, too. */
  if (deadline_ns < n->deadline_ns) n->deadline_ns = deadline_ns;
}

static inline void op_any(machine_t* m) {
  node_t* n = free_node(m);
  ctx_t* sources[SOURCES];
  if (!n) return;
  size_t count = 1 + pick(m, SOURCES);
  for (size_t i = 0; i < count; i++) {
    n->sources[i] = live_node(m);
    sources[i] = n->sources[i]->c;
  }
  ctx_t *c = malloc(sizeof *c), *arms = malloc(count * sizeof *arms);
  if (!worked(m, ctx_any(c, arms, sources, count))) {
    free(arms);
    free(c);
    return;
  }
  n->c = c;
  n->arms = arms;
  n->n_sources = (int)count;
  made(m, n);
  model_any(&m->model, n);
}

/* Its replacement makes no visible difference. */
static inline void op_interpose(machine_t* m) {
  static reason_t own = {{&reason_ops}, "own", 0};
  node_t* n = live_node(m);
  if (n < m->model.nodes + 2 || n->arms || n->endless || n->below) return;
  if (n->flag || n->promised || n->leaving) return; /* those have the context itself */
  ctx_relay_t* r = malloc(sizeof *r);
  ctx_interpose(r, n->c, &own.cause);
  n->below = n->c;
  n->c = &r->c;
  n->tainted = true;
  ASSERT_EQ(ctx_id(n->c), n->order);
  m->derived++;
  m->unheard++;
}

/* -- Listening --------------------------------------------------------------------------------- */

static inline void machine_act(machine_t* m);

static inline void called(machine_t* m, listener_t* l) {
  check_call(m, l);
  free(l->probe);
  free(l->alarm);
  l->probe = NULL;
  l->alarm = NULL;
  m->depth++;
  for (uint64_t n = pick(m, 3); n > 0; n--) machine_act(m);
  m->depth--;
}

static inline listener_t* find_listener(machine_t* m, const void* of) {
  listener_t* l = m->listeners;
  while (l->probe != of && l->alarm != of) l++;
  return l;
}

static inline void machine_heard(probe_t* p) {
  called(p->arg, find_listener(p->arg, p));
}

static inline void machine_rang(alarm_t* a) {
  called(a->arg, find_listener(a->arg, a));
}

static inline void op_watch(machine_t* m) {
  listener_t* l = free_listener(m);
  node_t* n = live_node(m);
  if (!l) return;
  probe_t* p = calloc(1, sizeof *p);
  p->then = machine_heard;
  p->arg = m;
  if (!worked(m, probe_try(&m->f, p, n->c, 'p'))) {
    ASSERT(!ctx_unwatch(&p->w));
    free(p);
    return;
  }
  n->tainted = true;
  l->probe = p;
  l->node = n;
}

static inline void op_start(machine_t* m) {
  listener_t* l = free_listener(m);
  if (!l) return;
  uint64_t at_ns = any_time(m);
  alarm_t* a = calloc(1, sizeof *a);
  a->then = machine_rang;
  a->arg = m;
  if (!worked(m, alarm_try(&m->f, a, at_ns, 'a'))) {
    ASSERT(!ctx_timer_stop(&a->t));
    free(a);
    return;
  }
  l->alarm = a;
  l->time_ns = at_ns;
  l->late = at_ns <= m->f.now_ns;
  l->order = a->t.due.order;
}

static inline void unlisten(listener_t* l) {
  if (l->probe) ASSERT(ctx_unwatch(&l->probe->w));
  if (l->probe) ASSERT(!ctx_unwatch(&l->probe->w));
  if (l->alarm) ASSERT(ctx_timer_stop(&l->alarm->t));
  free(l->probe);
  free(l->alarm);
  l->probe = NULL;
  l->alarm = NULL;
}

static inline void op_unlisten(machine_t* m) {
  unlisten(&m->listeners[pick(m, LISTENERS)]);
}

/* -- Ending ------------------------------------------------------------------------------------ */

static inline void op_cancel(machine_t* m) {
  node_t* n = any_node(m);
  reason_t* cause = any_reason(m);
  ctx_cancel(n->c, cause_of(cause));
  model_cancel(&m->model, n, cause);
  if (pick(m, 2) == 0) check_node(m, n);
}

/* Whether something still needs the memory of `n`. */
static inline bool is_needed(machine_t* m, node_t* n) {
  if (n < m->model.nodes + 2) return true;
  for (node_t* other = m->model.nodes; other < m->model.nodes + NODES; other++) {
    if (!other->c) continue;
    if (other->parent == n) return true;
    if (other->arms && !n->tainted && model_hears(other, n)) return true;
  }
  return false;
}

static inline void count_end(machine_t* m, const node_t* n) {
  if (n->err == CTX_CANCELED) m->canceled++;
  if (n->err == CTX_DEADLINE_EXCEEDED) m->expired++;
}

static inline void forget_flag(node_t* n) {
  if (!n->flag) return;
  ctx_flag_release(n->flag);
  n->flag = NULL;
  n->leaving = true;
}

static inline void release(machine_t* m, node_t* n) {
  if (!n->tainted && pick(m, 2) == 0) {
    m->unheard++; /* it may go silently */
  } else {
    ctx_release(n->c);
    n->endless = false; /* its memory is at an end, if not the context */
    model_cancel(&m->model, n, NULL);
    count_end(m, n);
    if (n->flag) ASSERT_EQ(ctx_flag_err(n->flag), n->err);
    if (n->below) ctx_release(n->below);
  }
  forget_flag(n);
  free(n->arms);
  free(n->below);
  free(n->c);
  n->arms = n->c = n->below = NULL;
}

static inline void op_release(machine_t* m) {
  node_t* n = any_node(m);
  for (int tries = 0; tries < 8 && (n->err == 0 || is_needed(m, n)); tries++) n = any_node(m);
  if (!is_needed(m, n)) release(m, n);
}

/* -- Other threads, as far as one thread can play them ----------------------------------------- */

static inline void op_share(machine_t* m) {
  node_t* n = live_node(m);
  if (n->flag || n->promised) return;
  n->flag = ctx_share(n->c);
  if (!worked(m, n->flag ? 0 : CTX_ENOMEM)) return;
  n->tainted = true;
  n->asked = false;
  ASSERT_EQ(ctx_flag_err(n->flag), n->err);
}

static inline void op_ask(machine_t* m) {
  node_t* n = any_node(m);
  if (!n->flag) return;
  reason_t* cause = any_reason(m);
  int told = ctx_flag_err(n->flag);
  if (cause) reason_retain(&cause->cause);
  bool taken = ctx_cancel_async(n->flag, cause_of(cause));
  ASSERT_EQ(taken, !n->asked && told == 0);
  if (!taken && cause) reason_release(&cause->cause);
  if (!taken) return;
  ASSERT_INT(m->f.soon, >, 0);
  n->asked = n->promised = true;
  n->asked_at = ++m->asked;
  n->asked_cause = cause;
}

static inline void op_unshare(machine_t* m) {
  node_t* n = any_node(m);
  if (n->flag && pick(m, 2) == 0) forget_flag(n);
}

/* -- Looking, time, and all of it -------------------------------------------------------------- */

static inline void op_look(machine_t* m) {
  check_node(m, any_node(m));
}

static inline void op_look_around(machine_t* m) {
  if (pick(m, 6) == 0) check_nodes(m);
}

static inline void op_time(machine_t* m) {
  m->f.now_ns += pick(m, 4);
  m->dawdled = true;
  model_pass(&m->model, m->f.now_ns);
}

static inline void machine_act(machine_t* m) {
  static void (*const ops[])(machine_t*) = {
      op_derive, op_derive,  op_derive,  op_any,   op_watch,       op_watch,     op_watch, op_start,
      op_cancel, op_cancel,  op_release, op_share, op_unlisten,    op_ask,       op_time,  op_time,
      op_look,   op_unshare, op_release, op_look,  op_look_around, op_interpose,
  };
  ops[pick(m, sizeof ops / sizeof ops[0])](m);
}

/* Everything still there ends, is called or taken back, and goes. */
static inline void machine_stop(machine_t* m) {
  check_nodes(m);
  for (int i = 0; i < LISTENERS; i++) unlisten(&m->listeners[i]);
  for (bool left = true; left;) {
    left = false;
    for (node_t* n = m->model.nodes + 2; n < m->model.nodes + NODES; n++) {
      if (n->c && !is_needed(m, n)) release(m, n);
      left = left || n->c;
    }
  }
  forget_flag(&m->model.nodes[0]);
  forget_flag(&m->model.nodes[1]);
  machine_turn(m);
  ctx_counters_t counters = fake_counters(&m->f);
  ASSERT_EQ(counters.derived, m->derived);
  ASSERT_INT(counters.canceled, >=, m->canceled);
  ASSERT_INT(counters.expired, >=, m->expired);
  ASSERT_INT(counters.canceled + counters.expired, <=, m->canceled + m->expired + m->unheard);
  fake_stop(&m->f);
}

/* One run. The same numbers from the same seed, also when memory fails at another place. */
static inline void machine_play(uint64_t seed, unsigned steps, unsigned long fail_at,
                                bool fail_on) {
  static machine_t m;
  m = (machine_t){.random = seed};
  fake_start(&m.f);
  m.model.now_ns = m.f.now_ns;
  memory.fail_at = fail_at;
  memory.fail_on = fail_on;
  ctx_t* roots[] = {m.f.root, ctx_todo(&m.f.tree)};
  for (int i = 0; i < 2; i++) {
    m.model.nodes[i] = (node_t){.c = roots[i], .endless = true, .deadline_ns = CTX_NEVER};
    m.model.nodes[i].order = ctx_id(roots[i]);
  }
  for (int i = 0; i < 4; i++) m.reasons[i].cause.ops = &reason_ops;
  for (unsigned step = 0; step < steps; step++) {
    test_note("seed %ju, step %u, memory failing at %lu%s", (uintmax_t)seed, step, fail_at,
              fail_on ? " and on" : "");
    machine_act(&m);
    check_wake(&m);
    if (pick(&m, 6) == 0) machine_turn(&m);
  }
  machine_stop(&m);
}
