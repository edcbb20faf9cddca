/* SPDX-License-Identifier: MIT */
/* Groups: tasks that fail and stop together. Tasks are counted here, not run. */
#include "internal.h"

void ctx_group_init(ctx_group_t* g, ctx_tree_t* tree, ctx_t* c) {
  *g = (ctx_group_t){.tree = tree, .c = c};
}

/* A place that is held but not counted was granted to a task that waits to begin. */
bool ctx_group_is_over(const ctx_group_t* g) {
  return g->running == 0 && (!g->limited || g->slots.held == 0);
}

/* Whether a task waits to begin. With a limit of 0 it waits among the oversized. */
static bool place_is_awaited(const ctx_group_t* g) {
  return g->limited && (g->slots.queue.first != NULL || g->slots.oversized.first != NULL);
}

int ctx_group_set_limit(ctx_group_t* g, int64_t n) {
  if (!ctx_group_is_over(g) || place_is_awaited(g)) return CTX_EBUSY;
  g->limited = n >= 0;
  if (g->limited) ctx_semaphore_init(&g->slots, g->tree, (uint64_t)n);
  return 0;
}

bool ctx_group_try_begin(ctx_group_t* g) {
  if (g->limited && !ctx_semaphore_try_acquire(&g->slots, 1)) return false;
  g->running++;
  return true;
}

/* -- The end of all ------------------------------------------------------------------------- */

static void append_join(ctx_group_t* g, ctx_join_t* join) {
  join->next = NULL;
  join->prev = g->last;
  if (g->last != NULL) {
    g->last->next = join;
  } else {
    g->first = join;
  }
  g->last = join;
}

/* Another task may have begun since the last one ended: then the wait includes it. */
static void call_join(ctx_watcher_t* w) {
  ctx_join_t* join = CTX__CONTAINER(w, ctx_join_t, watcher);
  ctx_group_t* g = join->g;
  if (!ctx_group_is_over(g)) {
    append_join(g, join);
    return;
  }
  join->g = NULL;
  join->fn(join);
}

static void check_over(ctx_group_t* g) {
  if (g->first == NULL || !ctx_group_is_over(g)) return;
  if (g->c != NULL) ctx_cancel(g->c, NULL);
  ctx_join_t* join = g->first;
  g->first = g->last = NULL;
  while (join != NULL) {
    ctx_join_t* next = join->next;
    join->next = join->prev = NULL;
    ctx__watcher_ready(g->tree, &join->watcher, call_join);
    join = next;
  }
}

int ctx_group_wait(ctx_group_t* g, ctx_join_t* join, ctx_join_fn fn) {
  if (ctx_group_is_over(g)) {
    if (g->c != NULL) ctx_cancel(g->c, NULL);
    return 0;
  }
  join->watcher.tree = NULL;
  join->g = g;
  join->fn = fn;
  append_join(g, join);
  return CTX_PENDING;
}

bool ctx_join_stop(ctx_join_t* join) {
  ctx_group_t* g = join->g;
  if (g == NULL) return false;
  join->g = NULL;
  if (ctx_unwatch(&join->watcher)) return true;
  if (join->next != NULL) {
    join->next->prev = join->prev;
  } else {
    g->last = join->prev;
  }
  if (join->prev != NULL) {
    join->prev->next = join->next;
  } else {
    g->first = join->next;
  }
  return true;
}

/* -- Tasks ---------------------------------------------------------------------------------------- */

static void call_begin(ctx_acquire_t* a, int err) {
  ctx_begin_t* begin = CTX__CONTAINER(a, ctx_begin_t, acquire);
  ctx_group_t* g = begin->g;
  if (err == 0) {
    g->running++;
  } else {
    check_over(g);
  }
  begin->fn(begin, err);
}

int ctx_group_begin(ctx_group_t* g, ctx_begin_t* begin, ctx_begin_fn fn) {
  if (ctx_group_try_begin(g)) return 0;
  ctx_t* c = g->c != NULL ? g->c : ctx_background(g->tree);
  begin->g = g;
  begin->fn = fn;
  return ctx_semaphore_acquire(&g->slots, c, &begin->acquire, 1, call_begin);
}

bool ctx_begin_stop(ctx_begin_t* begin) {
  bool stopped = ctx_acquire_stop(&begin->acquire);
  if (stopped) check_over(begin->g);
  return stopped;
}

void ctx_group_end(ctx_group_t* g, bool failed, ctx_cause_t* cause) {
  if (failed && !g->failed) {
    g->failed = true;
    if (g->c != NULL) ctx_cancel(g->c, cause);
  }
  g->running--;
  /* The place is free before a wait is over, so that a try_begin after the wait finds it. */
  if (g->limited) (void)ctx_semaphore_release(&g->slots, 1);
  check_over(g);
}
