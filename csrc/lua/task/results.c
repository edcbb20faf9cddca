/* SPDX-License-Identifier: MIT */
/* See results.h. The table is the record's, and made once: each result of a file is packed. */
#include "task/results.h"

#include "enter.h"
#include "task/record.h"

bool lctx_make_room(lua_State* L, lctx_task* t, int n) {
  lctx_pushref(L, t->S, LCTX_REF_RESULTS);
  bool there = lua_rawgeti(L, -1, t->slot) == LUA_TTABLE;
  if (!there) {
    uint32_t slot = t->slot;
    lctx_block_of(t)->packed = true;
    lua_createtable(L, n + 1, 1);
    lua_rawseti(L, -3, slot);
  }
  lua_pop(L, 2);
  return !there;
}

void lctx_pack(lua_State* L, lctx_task* t, int n) {
  int first = lua_gettop(L) - n;
  lctx_pushref(L, t->S, LCTX_REF_RESULTS);
  lua_rawgeti(L, -1, t->slot);
  lua_replace(L, -2);
  lua_insert(L, first);
  for (int i = n + 1; i >= 1; i--) lua_rawseti(L, first, i);
  lua_pushinteger(L, n);
  lua_rawseti(L, first, 0);
  lua_settop(L, first - 1);
  t->packed = true;
}

bool lctx_take_packed(lua_State* L, lctx_task* t) {
  if (!t->packed) return false;
  t->packed = false;
  lctx_pushref(L, t->S, LCTX_REF_RESULTS);
  lua_rawgeti(L, -1, t->slot);
  lua_remove(L, -2);
  return true;
}

static int count_packed(lua_State* L) {
  lua_rawgeti(L, -1, 0);
  int n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Replaces the table on top, of `n` results, by what frees them, and them; empties it. */
static void empty_packed(lua_State* L, int n) {
  int packed = lua_gettop(L);
  lua_rawgeti(L, packed, n + 1);
  for (int i = 1; i <= n; i++) lua_rawgeti(L, packed, i);
  for (int i = 1; i <= n + 1; i++) {
    lua_pushnil(L);
    lua_rawseti(L, packed, i);
  }
  lua_remove(L, packed);
}

void lctx_unpack(lua_State* L) {
  int n = count_packed(L);
  luaL_checkstack(L, n + 4, "too many values");
  empty_packed(L, n);
  lua_remove(L, -n - 1);
}

void lctx_drop_packed(lua_State* L, lctx_state* S) {
  int n = count_packed(L);
  if (lua_checkstack(L, n + 8)) {
    empty_packed(L, n);
    (void)lctx_hook(L, S, "drop", n + 1, 0);
  } else {
    lua_pop(L, 1);
  }
}

bool lctx_needs_packing(const lctx_task* t, int n) {
  return n > 0 && (t->state != LCTX_PARKED || t->kind == LCTX_MAIN);
}

void lctx_hand_over(lua_State* L, lctx_task* t, int n) {
  if (n == 0) {
    t->nargs = 0;
  } else if (!lctx_needs_packing(t, n)) {
    if (!lua_checkstack(t->co, n + LUA_MINSTACK)) luaL_error(L, "resolve: too many values");
    lua_xmove(L, t->co, n);
    t->nargs = n;
  } else {
    lua_pushnil(L);
    lctx_pack(L, t, n);
  }
}
