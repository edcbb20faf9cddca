/* SPDX-License-Identifier: MIT */
#include "task/gone.h"

#include "enter.h"
#include "loop.h"
#include "report/where.h"
#include "task/leave.h"
#include "task/results.h"
#include "task/sched.h"
#include "task/wait.h"

int lctx_intruded(lua_State* L, lctx_state* S, const char* what) {
  return lctx_error(L, S, "%s: this coroutine was resumed by someone else while it waited", what);
}

void lctx_forsake(lua_State* L, lctx_task* t) {
  if (t->wait == NULL) return; /* it is being left: see leave.c */
  lctx_state* S = t->S;
  /* If it was not the scheduler that resumed a task, that gets it back, or learns that it has ended. */
  bool back = t->state != LCTX_RUNNING && t->kind == LCTX_TASK;
  lctx_leave(L, t, LCTX_FORGOES);
  if (!back) return;
  t->state = LCTX_READY;
  lctx_enqueue(S, &t->link);
}

/* Its owner closed the coroutine of `t` while that waited, or does so now: then it is one of its own
 * <close> variables that asks, on the stack that is being closed. The task ends when that is empty. */
void lctx_task_closed(lua_State* L, lctx_task* t) {
  lctx_state* S = t->S;
  lua_Debug ar;
  bool is_task = t->kind == LCTX_TASK;
  lctx_leave(L, t, LCTX_FORGOES);
  if (!is_task) return;
  if (lua_status(t->co) == LUA_OK && lua_getstack(t->co, 0, &ar)) {
    t->state = LCTX_READY;
    lctx_enqueue(S, &t->link);
  } else {
    (void)lctx_close_thread(L, t->co);
    lctx_pushtext(L, "the task's coroutine was closed, or resumed to its end, by someone else");
    lctx_end_task(L, t);
  }
}

void lctx_task_abandon(lua_State* L, lctx_task* t) {
  lua_State* co = t->co;
  bool is_task = t->kind == LCTX_TASK;
  (void)lctx_pushplace(L, t, LCTX_PLACE_THREAD); /* the record may go */
  lua_insert(L, -2);
  lctx_leave(L, t, LCTX_FORGOES);
  (void)lctx_close_thread(L, co);
  lua_settop(co, 0);
  if (is_task) {
    lctx_end_task(L, t);
  } else {
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void lctx_reclaim(lua_State* L, lctx_task* t) {
  if (t->state == LCTX_PARKED && lctx_is_gone(t)) lctx_task_closed(L, t);
}

void lctx_reclaim_all(lua_State* L, lctx_state* S) {
  if (S->parked > 0) lctx_each_record(L, S, lctx_reclaim);
}

static void look_again(lua_State* L, lctx_task* t) {
  lctx_reclaim(L, t);
  if (t->kind == LCTX_FREE || t->state != LCTX_PARKED || !t->wait->looks) return;
  lctx_wake_with(L, t, 0);
}

/* core.look_again(): wakes all that wait in a queue for something outside. They look again for
 * it: luv's handle that was to bring it may have been closed by others. */
static int core_look_again(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  luaL_checkstack(L, 8, "ctx");
  lua_settop(L, 0);
  lctx_each_record(L, S, look_again);
  return 0;
}

void lctx_open_gone(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"look_again", core_look_again}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
