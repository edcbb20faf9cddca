/* SPDX-License-Identifier: MIT */
/* May include: report, task, classes. */
/* All tasks at once: the list of them for reports, and giving up tasks that are left. */
#include "classes/after.h"
#include "classes/task.h"
#include "report/traceback.h"
#include "task/gone.h"
#include "task/record.h"
#include "task/wait.h"

/* Whether the task began after the serial number at stack index 1. */
static bool is_young(lua_State* L, const lctx_task* t) {
  return t->kind == LCTX_TASK && t->serial > (uint64_t)lua_tointeger(L, 1);
}

/* Pushes {kind =, status =, what =, serial =, spawned =, owner =, co =, traceback =} of one record. The
 * table of texts is at stack index 3. */
static void push_task(lua_State* L, lctx_task* t) {
  static const char* const kinds[] = {"free", "task", "coroutine", "main"};
  lua_createtable(L, 0, 8);
  lua_pushstring(L, kinds[t->kind]);
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, lctx_status_of(t));
  lua_setfield(L, -2, "status");
  lua_pushstring(L, t->what != NULL ? t->what : "");
  lua_setfield(L, -2, "what");
  lua_pushinteger(L, (lua_Integer)t->serial);
  lua_setfield(L, -2, "serial");
  if (lctx_push_spawn(L, t)) lua_setfield(L, -2, "spawned");
  /* Held from here on: what is allocated may run finalizers, and these may end tasks. */
  (void)lctx_pushplace(L, t, LCTX_PLACE_THREAD);
  lua_State* co = lua_tothread(L, -1);
  if (co == NULL) {
    lua_pop(L, 1);
  } else {
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "co");
    (void)lctx_toowner(L, t->S);
    lua_setfield(L, -2, "owner");
    lctx_shared_traceback(L, co, 3);
    lua_setfield(L, -2, "traceback");
  }
}

static void add_task(lua_State* L, lctx_task* t) {
  if (t->kind == LCTX_TASK && !is_young(L, t)) return;
  push_task(L, t);
  lua_rawseti(L, 2, (lua_Integer)lua_rawlen(L, 2) + 1);
}

/* core.tasks([since]) → a list of every task, or of those that began after that serial number; and of
 * every other coroutine that waits. Tasks whose stacks are alike share one text */
static int core_tasks(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_Integer since = luaL_optinteger(L, 1, 0);
  lctx_reclaim_all(L, S);
  lua_settop(L, 0);
  lua_pushinteger(L, since);
  lua_newtable(L);
  lua_newtable(L); /* texts */
  lctx_each_record(L, S, add_task);
  lua_settop(L, 2);
  return 1;
}

/* core.serial() → the last serial number that a task was given */
static int core_serial(lua_State* L) {
  lua_pushinteger(L, (lua_Integer)lctx_upstate(L)->serial);
  return 1;
}

/* -- Giving up ---------------------------------------------------------------------------------- */

static void abandon(lua_State* L, lctx_task* t) {
  lua_pushvalue(L, 2);
  lctx_task_abandon(L, t);
}

static bool is_stuck(const lctx_task* t) {
  return t->kind == LCTX_TASK && t->state == LCTX_PARKED;
}

static void abandon_leaf(lua_State* L, lctx_task* t) {
  if (is_stuck(t) && !t->wait->joins) abandon(L, t);
}

static void abandon_task(lua_State* L, lctx_task* t) {
  if (is_stuck(t)) abandon(L, t);
}

static void abandon_any(lua_State* L, lctx_task* t) {
  if (t->kind != LCTX_MAIN && t->state == LCTX_PARKED) abandon(L, t);
}

/* Gives up what fn finds. Its <close> variables may ask for the same: those calls do nothing, as this
 * one goes on; nested in each other they would take the C stack without a limit. */
static void give_up_each(lua_State* L, lctx_state* S, lctx_record_fn fn) {
  if (S->giving_up) return;
  S->giving_up = true;
  lctx_each_record(L, S, fn);
  S->giving_up = false;
}

/* core.abandon([all [, err]]): ends tasks that wait, when nothing can wake any, with that error: not
 * those that wait for other tasks, since these are woken by the end of the others, unless there are
 * only such. With `all` everything that waits, other coroutines too, and no after-func is called any
 * more: for a test that was cut short. */
static int core_abandon(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  bool all = lua_toboolean(L, 1);
  lua_settop(L, 2);
  if (all) {
    give_up_each(L, S, abandon_any);
    lctx_after_forget(L, S, 0);
    return 0;
  }
  size_t before = S->tasks;
  give_up_each(L, S, abandon_leaf);
  if (S->tasks == before) give_up_each(L, S, abandon_task);
  return 0;
}

/* Whether the coroutine of `t`, which is not a task, is a key of the table at stack index 3. */
static bool is_given(lua_State* L, lctx_task* t) {
  (void)lctx_pushplace(L, t, LCTX_PLACE_THREAD);
  bool given = lua_rawget(L, 3) != LUA_TNIL;
  lua_pop(L, 1);
  return given;
}

static void give_up(lua_State* L, lctx_task* t) {
  bool runs = t->state != LCTX_PARKED && t->state != LCTX_READY && t->state != LCTX_NEW;
  if (!runs && (is_young(L, t) || (t->kind == LCTX_FOREIGN && is_given(L, t)))) abandon(L, t);
}

/* core.give_up(since, err, coroutines) → whether there are none any more. Ends every task that began
 * after that serial number, and the coroutines that are keys of the table, wherever they are, with
 * that error; and takes back the after-funcs that were registered since. The <close> variables of
 * the ended ones run, cannot wait, and may start tasks: then call it again. */
static int core_give_up(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  uint64_t since = (uint64_t)luaL_checkinteger(L, 1);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  lctx_after_forget(L, S, since);
  give_up_each(L, S, give_up);
  lua_pushboolean(L, S->young == 0);
  return 1;
}

/* core.count_young() → the serial number from which on tasks are young: now. So many of them are
 * there as core.drive waits for when it has a bound. */
static int core_count_young(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  S->since = S->serial;
  S->young = 0;
  return core_serial(L);
}

void lctx_open_tasks(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {
      {"tasks", core_tasks},     {"serial", core_serial},           {"abandon", core_abandon},
      {"give_up", core_give_up}, {"count_young", core_count_young}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
