/* SPDX-License-Identifier: MIT */
/* The class of task handles. A handle is what a task leaves behind: the task itself, its record and
 * its thread, are used again as soon as it is over. */
#include "classes/task.h"

#include "context/context.h"
#include "enter.h"
#include "report/failure.h"
#include "report/traceback.h"
#include "report/where.h"
#include "task/drive.h"
#include "task/gone.h"
#include "task/sched.h"
#include "task/turn.h"
#include "task/wait.h"
#include "task/wrap.h"
#include "want.h"

enum { UV_RESULTS = 1 }; /* packed, or the failure */

static void task_over(lua_State* L, lctx_task* t, int nresults);
static const lctx_owner_kind handle_kind = {.over = task_over};

lctx_handle* lctx_checkhandle(lua_State* L, int arg) {
  return (lctx_handle*)lctx_checkobject(L, arg, sizeof(lctx_handle), &handle_kind, "t", "a task");
}

/* ctx.go(fn, …) → the task's handle */
static int task_go(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_checkfn(L, 1, "fn");
  if (S->closed) return luaL_error(L, "cannot start a task: the Lua state is closing");
  int nargs = lua_gettop(L) - 1;
  lctx_handle* h = (lctx_handle*)lua_newuserdatauv(L, sizeof *h, 1);
  *h = (lctx_handle){.owner = {&handle_kind}};
  lctx_list_init(&h->waiters);
  lctx_pushref(L, S, LCTX_REF_TASK);
  lua_setmetatable(L, -2);
  lua_insert(L, 1);
  lctx_task* t = lctx_task_prepare_here(L, S, nargs);
  h->task = t;
  lua_pushvalue(L, 1);
  lctx_put(L, t, LCTX_PLACE_OWNER);
  lctx_task_start(L, t, &h->owner, nargs);
  return 1;
}

/* -- The end ------------------------------------------------------------------------------- */

/* Stack: the values; then the state as a light pointer. Packs them into a table. */
static int pack_values(lua_State* L) {
  int n = lua_gettop(L);
  lua_createtable(L, n, 1);
  lua_insert(L, 1);
  for (int i = n; i >= 1; i--) lua_rawseti(L, 1, i);
  lua_pushinteger(L, n);
  lua_setfield(L, 1, "n");
  return 1;
}

/* Replaces the `n` values on top by one: packed, or, when there is no memory for that, the error
 * that says so. */
static bool pack_results(lua_State* L, int n) {
  if (n == 0) {
    lua_pushnil(L);
    return true;
  }
  lua_pushcfunction(L, pack_values);
  lua_insert(L, -n - 1);
  return lctx_enter_plain(L, n, 1) == LUA_OK;
}

void lctx_push_trace(lua_State* L, lctx_task* t) {
  lctx_pushref(L, t->S, LCTX_REF_TRACES);
  if (lua_rawgeti(L, -1, t->slot) != LUA_TNIL) {
    lua_pushnil(L);
    lua_rawseti(L, -3, t->slot);
  }
  lua_remove(L, -2);
}

static void wake_waiters(lctx_handle* h) {
  while (!lctx_list_empty(&h->waiters)) {
    lctx_wake(LCTX_CONTAINER(h->waiters.next, lctx_task, link), LCTX_DUE);
  }
}

/* Stack: the handle, the error, the traceback; pops the last two. */
static void fail_task(lua_State* L, lctx_state* S, lctx_handle* h) {
  h->failure = lctx_push_failure(L, S, "task_failed", -3, &h->waiters);
  lua_setiuservalue(L, -2, UV_RESULTS);
  h->failed = true;
  if (!lctx_list_empty(&h->waiters)) lctx_hear(L, S, h->failure);
}

void lctx_push_task_error(lua_State* L, lctx_task* t) {
  lua_xmove(t->co, L, 1);
  lctx_push_trace(L, t);
  if (!lua_isnil(L, -2)) return;
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  if (!lctx_hook(L, t->S, "raised", 2, 1)) lctx_pushtext(L, "nil");
  lua_replace(L, -3);
}

static void task_over(lua_State* L, lctx_task* t, int nresults) {
  int base = lua_gettop(L);
  (void)lctx_pushplace(L, t, LCTX_PLACE_OWNER);
  lctx_empty(t, LCTX_PLACE_OWNER);
  lctx_handle* h = (lctx_handle*)lua_touserdata(L, -1);
  if (t->failed) {
    lctx_push_task_error(L, t);
    fail_task(L, t->S, h);
  } else {
    bool fits = lua_checkstack(L, nresults + 8);
    if (fits) lua_xmove(t->co, L, nresults);
    if (!fits) lctx_pushtext(L, "too many results");
    if (!fits || !pack_results(L, nresults)) h->failed = true;
    lua_setiuservalue(L, base + 1, UV_RESULTS);
  }
  h->task = NULL; /* only now: to keep the results may run finalizers, which ask for them */
  wake_waiters(h);
  lua_settop(L, base);
}

/* -- Waiting for it ------------------------------------------------------------------------- */

/* Results stay packed in the handle, since each of those that wait gets all of them. */
static int push_results(lua_State* L, lctx_state* S, lctx_handle* h, int handle) {
  if (h->failed) {
    lctx_hear(L, S, h->failure);
    lua_pushnil(L);
    lua_getiuservalue(L, handle, UV_RESULTS);
    lctx_open_up(L, h->failure, LCTX_FAILURE_ERROR);
    return 2;
  }
  if (lua_getiuservalue(L, handle, UV_RESULTS) == LUA_TNIL) return 0;
  int packed = lua_gettop(L);
  lua_getfield(L, packed, "n");
  int n = (int)lua_tointeger(L, -1);
  luaL_checkstack(L, n, "too many results");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, packed, i);
  return n;
}

/* Whether the task is over, also because somebody has closed its coroutine. */
static bool is_over(lua_State* L, const lctx_handle* h) {
  if (h->task != NULL) lctx_reclaim(L, h->task);
  return h->task == NULL;
}

static int task_waited(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  lctx_handle* h = lctx_checkhandle(L, 1);
  if (outcome == LCTX_DUE) return push_results(L, S, h, 1);
  return lctx_pushended(L, S, 2);
}

/* t:wait([c]) → what the task returned; nil and its error, if it raised; nil and c:err() */
static int task_wait(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_handle* h = lctx_checkhandle(L, 1);
  lctx_context* c = lua_isnoneornil(L, 2) ? NULL : lctx_checkcontext(L, 2, "c");
  if (is_over(L, h)) return push_results(L, S, h, 1);
  if (h->task == S->current && h->task->co == lctx_waiting_coroutine(L, S)) {
    return lctx_error(L, S, "a task cannot wait for itself: it would wait for ever");
  }
  lua_settop(L, 2);
  if (c != NULL && ctx_err(c->c) != 0) return task_waited(L, S, LCTX_ENDED);
  static const lctx_wait_kind kind = {.waited = task_waited, .joins = true};
  lctx_wait wait = {.kind = &kind, .what = "t:wait", .c = c, .context = 2, .list = &h->waiters};
  return lctx_park(L, S, &wait);
}

const char* lctx_status_of(const lctx_task* t) {
  static const char* const names[] = {"ready", "ready", "running", "running", "waiting"};
  return names[t->state];
}

static const char* status_of(const lctx_handle* h) {
  if (h->task == NULL) return h->failed ? "failed" : "done";
  return lctx_status_of(h->task);
}

/* t:status() → "ready", "running", "waiting", "done" or "failed" */
static int task_status(lua_State* L) {
  const lctx_handle* h = lctx_checkhandle(L, 1);
  (void)is_over(L, h);
  lua_pushstring(L, status_of(h));
  return 1;
}

bool lctx_push_spawn(lua_State* L, lctx_task* t) {
  lctx_pushref(L, t->S, LCTX_REF_SPAWNS);
  bool known = lua_rawgeti(L, -1, t->slot) == LUA_TSTRING && t->spawned;
  lua_remove(L, -2);
  if (!known) lua_pop(L, 1);
  return known;
}

/* t:traceback() → the stack where it is, or where it raised; nil once it has returned */
static int task_traceback(lua_State* L) {
  lctx_handle* h = lctx_checkhandle(L, 1);
  if (h->task == NULL) {
    lua_getiuservalue(L, 1, UV_RESULTS);
    lctx_open_up(L, h->failure, LCTX_FAILURE_TRACE);
  } else {
    lctx_traceback(L, h->task->co, NULL, 0);
    if (lctx_push_spawn(L, h->task)) {
      size_t length = 0; /* less the colon and the blank with which luaL_where ends */
      const char* where = lua_tolstring(L, -1, &length);
      lua_pushlstring(L, where, length > 2 ? length - 2 : 0);
      lua_pushfstring(L, "%s\n\tstarted at %s", lua_tostring(L, -3), lua_tostring(L, -1));
    }
  }
  return 1;
}

static int task_tostring(lua_State* L) {
  lctx_handle* h = lctx_checkhandle(L, 1);
  lua_pushfstring(L, "ctx.Task (%s): %p", status_of(h), (void*)h);
  return 1;
}

/* Whether the task is over; or all are, and what their ends have set off, such as after-funcs. */
static bool task_is_over(lctx_state* S, void* arg) {
  const lctx_handle* h = (const lctx_handle*)arg;
  if (h != NULL) return h->task == NULL;
  return S->tasks == 0 && lctx_list_empty(&S->run) && S->alarm_ns != 0;
}

/* core.drive([t]) → true once the task is over, or without one all are; false if that can't be */
static int core_drive(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  const lctx_handle* h = lua_isnoneornil(L, 1) ? NULL : lctx_checkhandle(L, 1);
  S->target = h != NULL ? h->task : NULL;
  enum lctx_driven driven = lctx_drive(L, S, task_is_over, (void*)h);
  S->target = NULL;
  S->patience_ns = 0;
  if (driven == LCTX_FAILED) return luaL_error(L, "%s", lctx_no_loop(L));
  lua_pushboolean(L, driven == LCTX_OVER);
  return 1;
}

static const luaL_Reg methods[] = {
    {"wait", task_wait}, {"status", task_status}, {"traceback", task_traceback}, {NULL, NULL}};

void lctx_open_task(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"go", task_go}, {"drive", core_drive}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__tostring", task_tostring}, {NULL, NULL}};
  static const lctx_class class = {
      .name = "ctx.Task", .ref = LCTX_REF_TASK, .methods = methods, .metamethods = metamethods};
  lctx_register(L, S, functions);
  lctx_open_class(L, S, &class);
}
