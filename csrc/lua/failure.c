/* SPDX-License-Identifier: MIT */
#include "failure.h"
#include "enter.h"

/* Arguments: the error, its traceback, the state and the hook as light pointers. */
static int make(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_touserdata(L, 3);
  lctx_failure* f = (lctx_failure*)lua_newuserdatauv(L, sizeof *f, 2);
  *f = (lctx_failure){.hook = (const char*)lua_touserdata(L, 4)};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, LCTX_FAILURE_ERROR);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, LCTX_FAILURE_TRACE);
  lctx_pushref(L, S, LCTX_REF_FAILURE);
  lua_setmetatable(L, -2);
  return 1;
}

lctx_failure* lctx_push_failure(lua_State* L, lctx_state* S, const char* hook) {
  int error = lua_gettop(L) - 1;
  lua_pushcfunction(L, make);
  lua_pushvalue(L, error);
  lua_pushvalue(L, error + 1);
  lua_pushlightuserdata(L, S);
  lua_pushlightuserdata(L, (void*)hook);
  bool made = lctx_enter_plain(L, 4, 1) == LUA_OK;
  if (made) lua_replace(L, error);
  lua_settop(L, error);
  return made ? (lctx_failure*)lua_touserdata(L, error) : NULL;
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
  lctx_state* S = lctx_upstate(L);
  lctx_failure* f = (lctx_failure*)lua_touserdata(L, 1);
  if (f->heard) return 0;
  f->heard = true;
  lua_getiuservalue(L, 1, LCTX_FAILURE_ERROR);
  lua_getiuservalue(L, 1, LCTX_FAILURE_TRACE);
  lctx_hook(L, S, f->hook, 2, 0);
  return 0;
}

void lctx_open_failure(lua_State* L, lctx_state* S) {
  static const luaL_Reg metamethods[] = {{"__gc", failure_gc}, {NULL, NULL}};
  lctx_pushref(L, S, LCTX_REF_FAILURE);
  lctx_register(L, S, metamethods);
  lua_pop(L, 1);
}
