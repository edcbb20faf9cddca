/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <string.h>

#include "report/where.h"

/* Whether the chunk is one of this library's Lua files. */
static bool is_ours(lua_State* L, lctx_state* S, const char* source) {
  lctx_pushref(L, S, LCTX_REF_OWN);
  size_t length = 0;
  const char* own = lua_tolstring(L, -1, &length);
  bool ours = own != NULL && strncmp(source, own, length) == 0;
  lua_pop(L, 1);
  return ours;
}

/* Whether the C function of this frame is luv's run: the callbacks are above it, and the code that runs
 * the loop is not responsible for them. */
static bool runs_loop(lua_State* L, lctx_state* S, lua_Debug* ar) {
  lua_getinfo(L, "f", ar);
  lctx_pushref(L, S, LCTX_REF_RUN);
  bool runs = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return runs;
}

void lctx_pushwhere(lua_State* L, lctx_state* S) {
  lua_Debug ar;
  int nearest = 0;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    bool is_c = ar.currentline < 0;
    if (is_c && runs_loop(L, S, &ar)) break;
    if (is_c) continue;
    if (!is_ours(L, S, ar.source)) {
      luaL_where(L, level);
      return;
    }
    if (nearest == 0) nearest = level;
  }
  luaL_where(L, nearest);
}

int lctx_error(lua_State* L, lctx_state* S, const char* format, ...) {
  va_list args;
  va_start(args, format);
  lctx_pushwhere(L, S);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_concat(L, 2);
  return lua_error(L);
}

/* core.own(prefix, run): how the names of this library's chunks begin, nil if that is not known; and
 * luv's run */
static int core_own(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 2);
  lctx_setref(L, S, LCTX_REF_RUN);
  lctx_setref(L, S, LCTX_REF_OWN);
  return 0;
}

void lctx_open_where(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"own", core_own}, {NULL, NULL}};
  lua_pushnil(L);
  lctx_setref(L, S, LCTX_REF_OWN);
  lua_pushnil(L);
  lctx_setref(L, S, LCTX_REF_RUN);
  lctx_register(L, S, functions);
}
