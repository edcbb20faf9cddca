/* SPDX-License-Identifier: MIT */
#include "task/results.h"

#include "enter.h"
#include "task/record.h"
#include "task/sched.h"

/* The table: how many values; these; what frees them. */
enum { COUNT, FIRST };

void lctx_pack(lua_State* L, int n) {
  int packed = lua_gettop(L) - n;
  lua_createtable(L, n + 1, 1);
  lua_insert(L, packed);
  for (int i = n; i >= 0; i--) lua_rawseti(L, packed, FIRST + i);
  lua_pushinteger(L, n);
  lua_rawseti(L, packed, COUNT);
}

bool lctx_take_packed(lua_State* L, lctx_task* t) {
  if (!t->packed) return false;
  t->packed = false;
  (void)lctx_pushplace(L, t, LCTX_PLACE_ANCHOR);
  return true;
}

static int count_packed(lua_State* L) {
  lua_rawgeti(L, -1, COUNT);
  int n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Pushes the `n` values of the table at this index. */
static void push_packed(lua_State* L, int packed, int n) {
  for (int i = 0; i < n; i++) lua_rawgeti(L, packed, FIRST + i);
}

void lctx_unpack(lua_State* L) {
  int packed = lua_gettop(L), n = count_packed(L);
  luaL_checkstack(L, n + 4, "too many values");
  push_packed(L, packed, n);
  lua_remove(L, packed);
}

void lctx_drop_packed(lua_State* L, lctx_state* S) {
  int packed = lua_gettop(L), n = count_packed(L);
  if (lua_checkstack(L, n + 8)) {
    lua_rawgeti(L, packed, FIRST + n);
    push_packed(L, packed, n);
    (void)lctx_hook(L, S, "drop", n + 1, 0);
  }
  lua_pop(L, 1);
}

bool lctx_needs_packing(const lctx_task* t, int n) {
  return n > 0 && (t->state != LCTX_PARKED || t->kind == LCTX_MAIN);
}

void lctx_wake_with(lua_State* L, lctx_task* t, int n) {
  if (n > 0 && !lua_checkstack(t->co, n + LUA_MINSTACK)) luaL_error(L, "resolve: too many values");
  if (n > 0) lua_xmove(L, t->co, n);
  t->nargs = n;
  lctx_wake(t, LCTX_VALUES);
}

void lctx_wake_packed(lua_State* L, lctx_task* t) {
  lctx_wake(t, LCTX_VALUES);
  lctx_put(L, t, LCTX_PLACE_ANCHOR);
  t->anchored = t->packed = true;
}
