/* SPDX-License-Identifier: MIT */
/* Where the program is: for what is noted under debug of who made a context, started a task, or
 * cancelled. That is the program's own line: those of this library, between it and here, would be
 * the same for all. */
#include <string.h>

#include "lctx.h"

/* Whether the chunk is one of this library's Lua files. */
static bool is_ours(lua_State* L, lctx_state* S, const char* source) {
  lctx_pushref(L, S, LCTX_REF_OWN);
  size_t length = 0;
  const char* own = lua_tolstring(L, -1, &length);
  bool ours = own != NULL && strncmp(source, own, length) == 0;
  lua_pop(L, 1);
  return ours;
}

void lctx_pushwhere(lua_State* L, lctx_state* S) {
  /* Below a callback of luv's stands who runs the loop, and has no part in what it does. */
  bool in_callback = L == S->main && lctx_in_loop(L, S);
  lua_Debug ar;
  int nearest = 0;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    bool is_c = ar.currentline < 0;
    if (is_c && in_callback && nearest != 0) break;
    if (is_c) continue;
    if (!is_ours(L, S, ar.source)) {
      luaL_where(L, level);
      return;
    }
    if (nearest == 0) nearest = level;
  }
  luaL_where(L, nearest);
}

/* core.own(prefix): how the names of this library's chunks begin; nil: that is not known. */
static int core_own(lua_State* L) {
  lua_settop(L, 1);
  lctx_setref(L, lctx_upstate(L), LCTX_REF_OWN);
  return 0;
}

void lctx_open_where(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"own", core_own}, {NULL, NULL}};
  lua_pushnil(L);
  lctx_setref(L, S, LCTX_REF_OWN);
  lctx_register(L, S, functions);
}
