/* SPDX-License-Identifier: MIT */
#include "state.h"

const char lctx_key = 0;

lctx_state* lctx_state_of(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lctx_key);
  lctx_state* S = (lctx_state*)lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (S == NULL) luaL_error(L, "ctx.core is not open in this Lua state: require it first");
  return S;
}

void lctx_setref(lua_State* L, lctx_state* S, enum lctx_ref ref) {
  if (S->ref[ref] == LUA_NOREF) {
    S->ref[ref] = luaL_ref(L, LUA_REGISTRYINDEX);
    /* luaL_ref answers nil by one number for all: a place of its own, then, holding false. */
    if (S->ref[ref] == LUA_REFNIL) {
      lua_pushboolean(L, 0);
      S->ref[ref] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
  } else {
    lua_rawseti(L, LUA_REGISTRYINDEX, S->ref[ref]);
  }
}

void lctx_set_at(lua_State* L, lctx_state* S, enum lctx_ref ref, uint32_t slot) {
  lctx_pushref(L, S, ref);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 2);
}

void lctx_register(lua_State* L, lctx_state* S, const luaL_Reg* functions) {
  lua_pushlightuserdata(L, S);
  lctx_pushref(L, S, LCTX_REF_CONTEXT);
  lctx_pushref(L, S, LCTX_REF_CANCEL);
  lctx_pushref(L, S, LCTX_REF_LIVE);
  lctx_pushref(L, S, LCTX_REF_KNOWN);
  lctx_pushref(L, S, LCTX_REF_GROUP);
  luaL_setfuncs(L, functions, LCTX_UP_COUNT);
}

void lctx_open_class(lua_State* L, lctx_state* S, const lctx_class* class) {
  lua_newtable(L);
  lctx_register(L, S, class->methods);
  for (int i = 0; i < 2; i++) {
    enum lctx_ref ref = i == 0 ? class->ref : class->finalized;
    if (i == 1 && class->finalizer == NULL) break;
    lctx_pushref(L, S, ref);
    if (class->metamethods != NULL) lctx_register(L, S, class->metamethods);
    if (i == 1) lctx_register(L, S, class->finalizer);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, class->name);
    lua_setfield(L, -2, "__name");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void lctx_add_methods(lua_State* L, lctx_state* S, enum lctx_ref class, const luaL_Reg* methods) {
  lctx_pushref(L, S, class);
  lua_getfield(L, -1, "__index");
  lctx_register(L, S, methods);
  lua_pop(L, 2);
}
