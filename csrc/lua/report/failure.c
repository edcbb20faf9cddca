/* SPDX-License-Identifier: MIT */
#include "report/failure.h"

#include "enter.h"
#include "host.h"

enum { GRACE_NS = 500000000 }; /* in which somebody may come and wait for it */

/* -- Failures that no wait has returned yet: a queue, by time --------------------------------- */

static void on_failures_due(ctx_timer_t* timer) {
  lctx_state* S = LCTX_CONTAINER(timer, lctx_state, failures_timer);
  S->failures_timed = false;
  S->failures_due = true;
}

static lctx_failure* push_first(lua_State* L, lctx_state* S) {
  lctx_pushref(L, S, LCTX_REF_FAILURES_FIRST);
  return (lctx_failure*)lua_touserdata(L, -1);
}

/* Without memory for the timer the next one, or the end of ctx.run, sees to it. */
static void set_timer(lua_State* L, lctx_state* S) {
  const lctx_failure* first = push_first(L, S);
  lua_pop(L, 1);
  if (first == NULL && S->failures_timed) {
    (void)ctx_timer_stop(&S->failures_timer);
    S->failures_timed = false;
  } else if (first != NULL && !S->failures_timed) {
    int err = ctx_timer_start(&S->tree, &S->failures_timer, first->due_ns, on_failures_due);
    S->failures_timed = err == 0;
  }
}

/* Puts the failure on top at the end of the queue; allocates nothing. */
static void queue_failure(lua_State* L, lctx_state* S, lctx_failure* f) {
  f->due_ns = ctx_time_add(ctx_now(&S->tree), GRACE_NS);
  f->queued = true;
  bool first = push_first(L, S) == NULL;
  lua_pop(L, 1);
  if (!first) {
    lctx_pushref(L, S, LCTX_REF_FAILURES_LAST);
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, LCTX_FAILURE_NEXT);
    lua_pop(L, 1);
  } else {
    lua_pushvalue(L, -1);
    lctx_setref(L, S, LCTX_REF_FAILURES_FIRST);
  }
  lua_pushvalue(L, -1);
  lctx_setref(L, S, LCTX_REF_FAILURES_LAST);
}

/* Takes the failure on top, which is the first, out of the queue. */
static void unqueue_first(lua_State* L, lctx_state* S) {
  if (lua_getiuservalue(L, -1, LCTX_FAILURE_NEXT) == LUA_TNIL) {
    lua_pushboolean(L, 0);
    lctx_setref(L, S, LCTX_REF_FAILURES_LAST);
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
  }
  lctx_setref(L, S, LCTX_REF_FAILURES_FIRST);
  lua_pushnil(L);
  lua_setiuservalue(L, -2, LCTX_FAILURE_NEXT);
}

/* One in the middle of the queue stays until it comes to the front: to take it out, the queue would have
 * to be walked up to it. */
void lctx_hear(lua_State* L, lctx_state* S, lctx_failure* f) {
  if (f == NULL || f->heard) return;
  f->heard = true;
  if (!f->queued) return;
  const lctx_failure* first;
  while ((first = push_first(L, S)) != NULL && first->heard) {
    unqueue_first(L, S);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  set_timer(L, S);
}

static bool failure_is_awaited(const lctx_failure* f) {
  return f->waiters != NULL && !lctx_list_empty(f->waiters);
}

void lctx_unawaited(lua_State* L, lctx_state* S, lctx_failure* f) {
  if (f->heard || f->queued || failure_is_awaited(f)) return;
  queue_failure(L, S, f);
  set_timer(L, S);
}

/* Reports the failure on top, unless it has been heard. */
static void tell_failure(lua_State* L, lctx_state* S, lctx_failure* f) {
  if (f->heard) return;
  f->heard = true;
  S->failures++;
  lua_getiuservalue(L, -1, LCTX_FAILURE_ERROR);
  lua_getiuservalue(L, -2, LCTX_FAILURE_TRACE);
  lctx_hook(L, S, f->hook, 2, 0);
}

/* Up to the one that is the last now: a report may make others fail, and one that somebody waits for gets
 * a new time at the end of the queue. */
void lctx_tell_failures(lua_State* L, lctx_state* S, bool all) {
  int base = lua_gettop(L);
  uint64_t now_ns = ctx_now(&S->tree);
  lctx_pushref(L, S, LCTX_REF_FAILURES_LAST);
  const lctx_failure* last = (const lctx_failure*)lua_touserdata(L, -1);
  const lctx_failure* told = NULL;
  lctx_failure* f;
  S->failures_due = false;
  while (told != last && (f = push_first(L, S)) != NULL && (all || f->due_ns <= now_ns)) {
    told = f;
    unqueue_first(L, S);
    if (failure_is_awaited(f) && !f->heard) {
      queue_failure(L, S, f);
    } else {
      tell_failure(L, S, f);
    }
    lua_pop(L, 1);
    if (!all && lctx_turn_due(S)) break;
  }
  lua_settop(L, base);
  set_timer(L, S);
}

/* Arguments: the error, its traceback, the state and the hook as light pointers, the owner. */
static int make_failure(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_touserdata(L, 3);
  lctx_failure* f = (lctx_failure*)lua_newuserdatauv(L, sizeof *f, 4);
  *f = (lctx_failure){.hook = (const char*)lua_touserdata(L, 4)};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LCTX_FAILURE_ERROR);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, LCTX_FAILURE_TRACE);
  lua_pushvalue(L, 5);
  lua_setiuservalue(L, -2, LCTX_FAILURE_OWNER);
  lctx_pushref(L, S, LCTX_REF_FAILURE);
  lua_setmetatable(L, -2);
  return 1;
}

/* Protected, since a task is ending, and its waiters must be woken whatever fails here. */
lctx_failure* lctx_push_failure(lua_State* L, lctx_state* S, const char* hook, int owner,
                                const lctx_link* waiters) {
  int error = lua_gettop(L) - 1;
  owner = lua_absindex(L, owner);
  lua_pushcfunction(L, make_failure);
  lua_pushvalue(L, error);
  lua_pushvalue(L, error + 1);
  lua_pushlightuserdata(L, S);
  lua_pushlightuserdata(L, (void*)hook);
  lua_pushvalue(L, owner);
  lctx_failure* f = NULL;
  if (lctx_enter_plain(L, 5, 1) == LUA_OK) {
    f = (lctx_failure*)lua_touserdata(L, -1);
    f->waiters = waiters;
    lctx_unawaited(L, S, f);
    lua_replace(L, error);
  }
  lua_settop(L, error);
  return f;
}

void lctx_open_up(lua_State* L, const lctx_failure* failure, int value) {
  if (failure != NULL) {
    lua_getiuservalue(L, -1, value);
    lua_replace(L, -2);
  } else if (value != LCTX_FAILURE_ERROR) {
    lua_pushnil(L);
    lua_replace(L, -2);
  }
}

/* Nobody will ever ask for the error now. */
static int failure_gc(lua_State* L) {
  lua_settop(L, 1);
  tell_failure(L, lctx_upstate(L), (lctx_failure*)lua_touserdata(L, 1));
  return 0;
}

/* core.tell_failures(): reports all failures without a waiter */
static int core_tell_failures(lua_State* L) {
  lctx_tell_failures(L, lctx_upstate(L), true);
  return 0;
}

void lctx_open_failure(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"tell_failures", core_tell_failures}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", failure_gc}, {NULL, NULL}};
  static const enum lctx_ref queue[] = {LCTX_REF_FAILURES_FIRST, LCTX_REF_FAILURES_LAST};
  for (int i = 0; i < 2; i++) {
    lua_pushboolean(L, 0);
    lctx_setref(L, S, queue[i]);
  }
  lctx_register(L, S, functions);
  lctx_pushref(L, S, LCTX_REF_FAILURE);
  lctx_register(L, S, metamethods);
  lua_pop(L, 1);
}
