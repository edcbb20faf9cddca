/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "want.h"

static void push_type(lua_State* L, int arg, const char* name, const char* expected) {
  const char* got;
  if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING) {
    got = lua_tostring(L, -1);
  } else {
    got = luaL_typename(L, arg);
  }
  lua_pushfstring(L, "%s: %s expected, got %s", name, expected, got);
}

int lctx_typeerror(lua_State* L, int arg, const char* name, const char* expected) {
  push_type(L, arg, name, expected);
  return luaL_argerror(L, arg, lua_tostring(L, -1));
}

int lctx_selferror(lua_State* L, const char* name, const char* expected) {
  push_type(L, 1, name, expected);
  lua_pushfstring(L, "%s; call the method with a colon", lua_tostring(L, -1));
  return luaL_argerror(L, 1, lua_tostring(L, -1));
}

void lctx_checkcallable(lua_State* L, int arg, const char* name) {
  bool has_call = luaL_getmetafield(L, arg, "__call") != LUA_TNIL;
  bool callable = has_call && lua_isfunction(L, -1);
  if (has_call) lua_pop(L, 1);
  if (!callable) lctx_typeerror(L, arg, name, "a function");
}

uint64_t lctx_checkms(lua_State* L, int arg, const char* name) {
  if (lua_type(L, arg) != LUA_TNUMBER) lctx_typeerror(L, arg, name, "a number of milliseconds");
  lua_Number ms = lua_tonumber(L, arg);
  if (isnan(ms)) {
    lua_pushfstring(L, "%s: a number of milliseconds expected, got NaN", name);
    luaL_argerror(L, arg, lua_tostring(L, -1));
  }
  if (ms <= 0) return 0;
  if (isinf(ms)) return CTX_NEVER;
  lua_Number ns = ceil(ms * 1e6);
  if (ns >= 18446744073709551615.0) {
    lua_pushfstring(L, "%s: %f ms is out of range; math.huge means without end", name, ms);
    luaL_argerror(L, arg, lua_tostring(L, -1));
  }
  return (uint64_t)ns;
}
