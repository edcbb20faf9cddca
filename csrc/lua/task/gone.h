/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

/* Coroutines that wait and will not run again, since their owners have closed them, or since nothing can
 * wake them. Lua does not report a close: code that meets such a coroutine must check. */
#include "task/record.h"

/* Closes a coroutine, as coroutine.close does, from L: its <close> variables run, and its error is left
 * on its stack. Returns the status. Before Lua 5.4.6 it begins a new count of C calls, so that calls of
 * this must not nest without a bound. */
static inline int lctx_close_thread(lua_State* L, lua_State* co) {
#if LUA_VERSION_NUM > 504 || LUA_VERSION_RELEASE_NUM >= 50406
  return lua_closethread(co, L);
#else
  (void)L;
  return lua_resetthread(co);
#endif
}

/* Whether the owner of a coroutine that waited has closed it, or is about to. */
static inline bool lctx_is_gone(const lctx_task* t) {
  return t->kind != LCTX_MAIN && lua_status(t->co) != LUA_YIELD;
}
/* The coroutine of `t`, which waited, goes on, and takes nothing of what it was to bring: ends the wait,
 * takes back what it asked for or was given, and leaves. */
void lctx_forsake(lua_State* L, lctx_task* t);
/* Raises the error of a coroutine that somebody other than the scheduler has resumed in its wait. */
int lctx_intruded(lua_State* L, lctx_state* S, const char* what);
/* What is to be done about a coroutine that is gone. */
void lctx_task_closed(lua_State* L, lctx_task* t);
/* The last resort, when nothing can ever wake a task, or nobody waits for it: ends one that is parked
 * or ready to run. Its <close> variables run, and cannot wait.
 * Its error is the value on top of L, which is popped. */
void lctx_task_abandon(lua_State* L, lctx_task* t);
/* Does that if the coroutine of `t` is gone; and for all. */
void lctx_reclaim(lua_State* L, lctx_task* t);
void lctx_reclaim_all(lua_State* L, lctx_state* S);
