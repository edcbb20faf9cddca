/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task. */
/* ctx.await: the wait for anything else. */
#include "context/context.h"
#include "enter.h"
#include "loop.h"
#include "task/gone.h"
#include "task/leave.h"
#include "task/record.h"
#include "task/results.h"
#include "task/turn.h"
#include "task/wait.h"
#include "want.h"

enum { AWAIT_C = 1, AWAIT_START, AWAIT_FREE, AWAIT_TOP = AWAIT_FREE };
/* Of resolve: the block of the task's record, its ticket and its index in that, what frees a value. */
enum { RESOLVE_BLOCK = 1, RESOLVE_TICKET, RESOLVE_FREE };

static lua_Integer ticket_of(const lctx_task* t) {
  return (lua_Integer)(t->ticket * LCTX_BLOCK + lctx_index(t));
}

/* Whether the `n` arguments of resolve must not get lost with the stack of a coroutine that is closed
 * before it runs on: somebody frees them, or they may be luv's handles. */
static bool are_precious(lua_State* L, int n) {
  if (!lua_isnil(L, lua_upvalueindex(RESOLVE_FREE))) return true;
  for (int i = 1; i <= n; i++) {
    if (lua_type(L, i) == LUA_TUSERDATA) return true;
  }
  return false;
}

static bool is_late(lua_State* L, lctx_task* t) {
  if (ticket_of(t) != lua_tointeger(L, lua_upvalueindex(RESOLVE_TICKET)) ||
      t->outcome != LCTX_NOTHING)
    return true;
  if (t->state != LCTX_PARKED) return false; /* in start, which is free to end the context, too */
  if (lctx_is_gone(t)) {
    lctx_task_closed(L, t);
    return true;
  }
  ctx_t* c = t->watcher.c; /* NULL once the watcher is to be called */
  return c == NULL || ctx_err(c) != 0;
}

/* resolve(…): ends the wait with these values. What comes too late is dropped, and what it brought
 * is freed. */
static int resolve(lua_State* L) {
  lctx_block* block = (lctx_block*)lua_touserdata(L, lua_upvalueindex(RESOLVE_BLOCK));
  lua_Integer ticket = lua_tointeger(L, lua_upvalueindex(RESOLVE_TICKET));
  lctx_task* t = &block->tasks[ticket % LCTX_BLOCK];
  lctx_state* S = t->S;
  if (S->closed) return 0;
  int n = lua_gettop(L);
  bool late = is_late(L, t);
  bool packs = !late && (lctx_needs_packing(t, n) || are_precious(L, n));
  lua_pushvalue(L, lua_upvalueindex(RESOLVE_FREE));
  if (packs) {
    lctx_pack(L, n); /* may run finalizers, which resolve, too, or end the wait */
    late = is_late(L, t);
  }
  if (!late && packs) {
    lctx_wake_packed(L, t);
  } else if (!late) {
    lua_pop(L, 1);
    lctx_wake_with(L, t, n);
  } else if (packs) {
    lctx_drop_packed(L, S);
  } else {
    lua_insert(L, 1);
    lctx_hook(L, S, "drop", n + 1, 0);
  }
  lctx_renew_handles(L, S);
  return 0;
}

/* Calls off what start began, by what it returned. */
static void abort_work(lua_State* L, lctx_state* S) {
  lua_pushvalue(L, AWAIT_START);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
  } else {
    (void)lctx_hook(L, S, "abort", 1, 0);
  }
}

/* Aborts the work of a wait that has ended. This also closes a handle whose work is done. */
static void undo_await(lua_State* L, lctx_task* t) {
  if (!t->listed) return;
  (void)lctx_pushplace(L, t, LCTX_PLACE_LIST);
  (void)lctx_hook(L, t->S, "abort", 1, 0);
}

static int awaited(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  if (outcome == LCTX_VALUES) return lua_gettop(L) - AWAIT_TOP;
  lua_settop(L, AWAIT_TOP);
  abort_work(L, S);
  return lctx_pushended(L, S, AWAIT_C);
}

/* Pushes start and a resolve for it that set_resolve makes good: what can fail comes before there
 * is a record that would be lost. */
static void push_start(lua_State* L) {
  lua_pushvalue(L, AWAIT_START);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, AWAIT_FREE);
  lua_pushcclosure(L, resolve, 3);
}

static void set_resolve(lua_State* L, lctx_task* t) {
  lctx_pushblock(L, t);
  lua_setupvalue(L, -2, RESOLVE_BLOCK);
  lua_pushinteger(L, ticket_of(t));
  lua_setupvalue(L, -2, RESOLVE_TICKET);
}

/* Calls start(resolve), which are on top, and which may raise: then the wait never was. Leaves what
 * it returned. */
static void call_start(lua_State* L, lctx_task* t) {
  t->outcome = LCTX_NOTHING;
  t->state = LCTX_STARTING;
  t->packed = false;
  set_resolve(L, t);
  lctx_task* outer = t->S->starting;
  t->S->starting = t;
  int status = lctx_enter_plain(L, 1, 1);
  t->S->starting = outer;
  t->state = LCTX_RUNNING;
  if (status != LUA_OK) {
    lctx_leave(L, t, LCTX_FORGOES);
    lua_error(L);
  }
  lua_replace(L, AWAIT_START);
}

/* ctx.await(c, start [, free]) → the values given to resolve, or nil and c:err() */
static int wait_await(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, AWAIT_C, "c");
  lctx_checkfn(L, AWAIT_START, "start");
  if (!lua_isnoneornil(L, AWAIT_FREE)) lctx_checkfn(L, AWAIT_FREE, "free");
  lua_settop(L, AWAIT_TOP);
  if (ctx_err(c->c) != 0) return lctx_pushended(L, S, AWAIT_C);
  push_start(L);
  lctx_task* t = lctx_waiter(L, S, "ctx.await");
  call_start(L, t);
  if (t->outcome != LCTX_NOTHING) {
    bool packed = lctx_take_packed(L, t);
    lctx_leave(L, t, LCTX_TAKES);
    if (packed) lctx_unpack(L);
    return awaited(L, S, LCTX_VALUES);
  }
  if (!lua_isnil(L, AWAIT_START)) {
    lua_pushvalue(L, AWAIT_START);
    lctx_put(L, t, LCTX_PLACE_LIST);
    t->listed = true;
  }
  static const lctx_wait_kind kind = {.waited = awaited, .undo = undo_await, .external = true};
  lctx_wait wait = {.kind = &kind, .what = "ctx.await", .c = c, .context = AWAIT_C};
  return lctx_park_task(L, S, t, &wait);
}

void lctx_open_await(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"await", wait_await}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
