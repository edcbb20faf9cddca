/* SPDX-License-Identifier: MIT */
/* The class of groups (errgroup), over the core's: tasks that fail and stop together. */
#include "classes/group.h"

#include "classes/group_errors.h"
#include "context/cancel.h"
#include "context/derive.h"
#include "enter.h"
#include "line/acquire.h"
#include "report/live.h"
#include "task/leave.h"
#include "task/sched.h"
#include "task/turn.h"
#include "task/wait.h"
#include "want.h"

static const lctx_owner_kind group_kind = {.over = lctx_group_task_over};

lctx_group* lctx_checkgroup(lua_State* L, int arg) {
  return (lctx_group*)lctx_checkobject(L, arg, sizeof(lctx_group), &group_kind, "g", "a group");
}

static lctx_group* push_group(lua_State* L) {
  lctx_group* g = (lctx_group*)lua_newuserdatauv(L, sizeof *g, LCTX_GROUP_VALUES);
  *g = (lctx_group){.owner = {&group_kind}};
  lctx_list_init(&g->waiters);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_GROUP));
  lua_setmetatable(L, -2);
  return g;
}

/* errgroup.new() → g: a group without a context */
static int group_new(lua_State* L) {
  luaL_argcheck(L, lua_isnoneornil(L, 1), 1,
                "none expected; a group with a context is errgroup.with_context(c)");
  lctx_group* g = push_group(L);
  ctx_group_init(&g->g, &lctx_upstate(L)->tree, NULL);
  return 1;
}

/* errgroup.with_context(c) → g, gctx */
static int group_with_context(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "c");
  lua_settop(L, 1);
  lctx_group* g = push_group(L);
  g->own = lctx_push_derived(L, parent);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 2, LCTX_GROUP_CONTEXT);
  ctx_group_init(&g->g, parent->c->tree, &g->own->node);
  return 2;
}

/* -- Starting tasks --------------------------------------------------------------------------- */

/* The group that is to start the function at stack index 2. */
static lctx_group* check_start(lua_State* L) {
  lctx_group* g = lctx_checkgroup(L, 1);
  lctx_checkfn(L, 2, "fn");
  if (lctx_stateof_group(g)->closed) luaL_error(L, "cannot start a task: the Lua state is closing");
  return g;
}

/* The record for a task with so many arguments. All that may fail or run others is done here, before
 * the group is asked for a place. */
static lctx_task* prepare_task(lua_State* L, lctx_group* g, int nargs) {
  return lctx_task_prepare_here(L, lctx_stateof_group(g), nargs);
}

/* Starts `t`, which has been begun, with the function and arguments from stack index 2 on. */
static void start_task(lua_State* L, lctx_group* g, lctx_task* t, int nargs) {
  g->over = false;
  lua_pushvalue(L, 1);
  lctx_put(L, t, LCTX_PLACE_OWNER);
  lctx_task_start(L, t, &g->owner, nargs);
}

/* g:try_go(fn, …) → false at the limit */
static int group_try_go(lua_State* L) {
  lctx_group* g = check_start(L);
  int nargs = lua_gettop(L) - 2;
  lctx_task* t = prepare_task(L, g, nargs);
  bool begun = ctx_group_try_begin(&g->g);
  if (begun) {
    start_task(L, g, t, nargs);
  } else {
    lctx_task_free(t);
  }
  lua_pushboolean(L, begun);
  return 1;
}

/* Protected: the place has been granted, and must be given back if there is no memory. Arguments:
 * the group, the function, its arguments. */
static int start_granted(lua_State* L) {
  lctx_group* g = (lctx_group*)lua_touserdata(L, 1);
  int nargs = lua_gettop(L) - 2;
  start_task(L, g, prepare_task(L, g, nargs), nargs);
  return 0;
}

static int group_went(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  lctx_group* g = lctx_checkgroup(L, 1);
  lua_pop(L, 1); /* the acquire */
  if (outcome == LCTX_ENDED) {
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, LCTX_GROUP_CONTEXT);
    return lctx_pushended(L, S, 2);
  }
  lua_pushcfunction(L, start_granted);
  lua_insert(L, 1);
  lua_pushvalue(L, 2);
  lua_insert(L, 1);
  if (lctx_enter_plain(L, lua_gettop(L) - 2, 0) != LUA_OK) {
    lctx_group_end(g, false, NULL);
    return lua_error(L);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static void place_granted(ctx_begin_t* place, int err) {
  lctx_acquire* a = LCTX_CONTAINER(place, lctx_acquire, place);
  lctx_acquire_granted(a, err);
  lctx_group_check((lctx_group*)a->owner);
}

static int ask_place(lctx_acquire* a) {
  lctx_group* g = (lctx_group*)a->owner;
  (void)lctx_group_node(g);
  return ctx_group_begin(&g->g, &a->place, place_granted);
}

static bool stop_place(lctx_acquire* a) {
  bool stopped = ctx_begin_stop(&a->place);
  lctx_group_check((lctx_group*)a->owner);
  return stopped;
}

static void free_place(lctx_acquire* a) {
  lctx_group_end((lctx_group*)a->owner, false, NULL);
}

static const lctx_acquire_kind place_kind = {
    .wait = {.waited = group_went, .undo = lctx_acquire_undo},
    .what = "group:go",
    .ask = ask_place,
    .stop = stop_place,
    .give_back = free_place};

/* g:go(fn, …) → true; at the limit it waits for a place: nil and an error, if the group's context
 * is done before there is one */
static int group_go(lua_State* L) {
  lctx_group* g = check_start(L);
  int nargs = lua_gettop(L) - 2;
  lctx_task* t = prepare_task(L, g, nargs);
  if (!ctx_group_try_begin(&g->g)) {
    lctx_task_free(t);
    return lctx_acquire_wait(L, lctx_stateof_group(g), &place_kind, g, NULL, 1);
  }
  start_task(L, g, t, nargs);
  lua_pushboolean(L, 1);
  return 1;
}

/* g:set_limit(n): at most n tasks at a time; negative: no limit. Not while any is running. */
static int group_set_limit(lua_State* L) {
  lctx_group* g = lctx_checkgroup(L, 1);
  int exact;
  lua_Integer n = lua_tointegerx(L, 2, &exact);
  if (lua_type(L, 2) != LUA_TNUMBER || !exact) lctx_typeerror(L, 2, "n", "a whole number");
  if (ctx_group_set_limit(&g->g, n) != 0) {
    return luaL_error(L, "group:set_limit: %d task(s) are running, or wait to begin; set it before",
                      (int)g->g.running);
  }
  return 0;
}

/* -- Waiting ------------------------------------------------------------------------------------ */

void lctx_group_wake(lctx_group* g) {
  if (!ctx_group_is_over(&g->g)) return;
  if (lctx_group_node(g) != NULL) ctx_cancel(g->g.c, NULL);
  while (!lctx_list_empty(&g->waiters)) {
    lctx_wake(LCTX_CONTAINER(g->waiters.next, lctx_task, link), LCTX_DUE);
  }
}

/* The tasks' context is over with them: nobody needs to cancel it any more. */
static void end_context(lctx_state* S, lctx_group* g) {
  g->over = true;
  if (g->own == NULL) return;
  lctx_live_remove(S, &g->own->base.slot);
  if (S->closed) return;
  ctx_cancel(lctx_group_node(g), NULL);
}

/* Parks until the group is over. Before it looks at the group for the last time, all that may run
 * finalizers is done. */
static inline int park_for_group(lua_State* L, lctx_state* S, lctx_group* g,
                                 const lctx_wait* wait) {
  lctx_task* t = lctx_waiter(L, S, wait->what);
  if (ctx_group_is_over(&g->g) || (wait->c != NULL && ctx_err(wait->c->c) != 0)) {
    lctx_leave(L, t, LCTX_TAKES);
    return wait->kind->waited(L, S, LCTX_DUE);
  }
  return lctx_park_task(L, S, t, wait);
}

static int group_result(lua_State* L, lctx_state* S, lctx_group* g) {
  end_context(S, g);
  if (!g->g.failed) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  (void)lctx_group_hear(L, g, 1);
  return 2;
}

/* Another task may have begun since the last one's end: that is waited for, too. When all are over
 * that is the result, also if the last of them has ended the context of the wait. */
static int group_waited(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  lctx_group* g = lctx_checkgroup(L, 1);
  lctx_context* c = lctx_tocontext(L, 2);
  if (ctx_group_is_over(&g->g)) return group_result(L, S, g);
  if (outcome != LCTX_DUE || (c != NULL && ctx_err(c->c) != 0)) {
    lctx_group_unawaited(L, S, g, 1);
    return lctx_pushended(L, S, 2);
  }
  static const lctx_wait_kind kind = {.waited = group_waited, .joins = true};
  lctx_wait wait = {.kind = &kind,
                    .what = "group:wait",
                    .c = c,
                    .context = c != NULL ? 2 : 1,
                    .list = &g->waiters};
  return park_for_group(L, S, g, &wait);
}

/* g:wait([c]) → true, or nil and the first error; or nil and c's, if that is done before */
static int group_wait(lua_State* L) {
  lctx_group* g = lctx_checkgroup(L, 1);
  const lctx_context* c = lua_isnoneornil(L, 2) ? NULL : lctx_checkcontext(L, 2, "c");
  lua_settop(L, 2);
  if (c != NULL && g->own != NULL && c->c == g->own->base.c) {
    /* The group ends its own context when a task fails: what bounds the wait is the one above. */
    lua_getiuservalue(L, 1, LCTX_GROUP_CONTEXT);
    lua_getiuservalue(L, 3, 1);
    lua_replace(L, 2);
    lua_settop(L, 2);
  }
  return group_waited(L, lctx_stateof_group(g), LCTX_DUE);
}

/* Until no task is running, also none that another coroutine has started since. If nobody asked for
 * the first error, it is reported, beside the error with which the scope is left. */
static int group_closed(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)outcome;
  lctx_group* g = lctx_checkgroup(L, 1);
  if (!S->closed && !ctx_group_is_over(&g->g)) {
    static const lctx_wait_kind kind = {.waited = group_closed, .joins = true};
    lctx_wait wait = {.kind = &kind, .what = "group:__close", .context = 1, .list = &g->waiters};
    return park_for_group(L, S, g, &wait);
  }
  end_context(S, g);
  if (g->g.failed && lctx_group_hear(L, g, 1)) {
    lua_pushvalue(L, 2);
    lctx_hook(L, S, "group_failed", 2, 0);
  }
  return 0;
}

/* Leaving the scope of a group cancels its context, with the error if there is one, and waits for
 * its tasks, on every path. */
static int group_close(lua_State* L) {
  lctx_group* g = lctx_checkgroup(L, 1);
  lctx_state* S = lctx_stateof_group(g);
  /* The usual way out: its context is done, too. At a limit a task may be about to start. */
  if (g->over && g->g.running == 0 && !g->g.limited) return 0;
  lua_settop(L, 2);
  if (g->own != NULL && !S->closed) {
    lctx_live_remove(S, &g->own->base.slot); /* the wait below may be impossible here */
    lua_getiuservalue(L, 1, LCTX_GROUP_CONTEXT);
    lctx_cancel_context(L, 3, 2);
    lua_settop(L, 2);
  }
  return group_closed(L, S, LCTX_DUE);
}

void lctx_open_group(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {
      {"group", group_new}, {"group_with_context", group_with_context}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"go", group_go},     {"try_go", group_try_go},      {"set_limit", group_set_limit},
      {"wait", group_wait}, {"errors", lctx_group_errors}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__close", group_close}, {NULL, NULL}};
  static const lctx_class class = {.name = "ctx.errgroup.Group",
                                   .ref = LCTX_REF_GROUP,
                                   .methods = methods,
                                   .metamethods = metamethods};
  lctx_register(L, S, functions);
  lctx_open_class(L, S, &class);
}
