/* SPDX-License-Identifier: MIT */
#include "traceback.h"

/* luaL_traceback shows 22 levels at most; beyond DEEP levels only the first SHOWN are. */
enum { SHOWN = 20, DEEP = 500 };

/* What luaL_traceback says of a level, but for the names of global functions, which it looks for in
 * all loaded modules. */
static void push_level(lua_State* L, const lua_Debug* ar) {
  if (ar->currentline > 0) {
    lua_pushfstring(L, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
  } else {
    lua_pushfstring(L, "\n\t%s: in ", ar->short_src);
  }
  if (*ar->namewhat != '\0') {
    lua_pushfstring(L, "%s '%s'", ar->namewhat, ar->name);
  } else if (*ar->what == 'm') {
    lua_pushliteral(L, "main chunk");
  } else if (*ar->what != 'C') {
    lua_pushfstring(L, "function <%s:%d>", ar->short_src, ar->linedefined);
  } else {
    lua_pushliteral(L, "?");
  }
  lua_pushstring(L, ar->istailcall ? "\n\t(...tail calls...)" : "");
  lua_concat(L, 3);
}

void lctx_traceback(lua_State* L, lua_State* co, const char* message, int level) {
  lua_Debug ar;
  if (!lua_getstack(co, level + DEEP, &ar)) {
    luaL_traceback(L, co, message, level);
    return;
  }
  lua_pushfstring(L, "%s%sstack traceback:", message != NULL ? message : "",
                  message != NULL ? "\n" : "");
  for (int i = level; i < level + SHOWN && lua_getstack(co, i, &ar); i++) {
    lua_getinfo(co, "Slnt", &ar);
    push_level(L, &ar);
    lua_concat(L, 2);
  }
  lua_pushliteral(L, "\n\t...\t(many more levels)");
  lua_concat(L, 2);
}

/* core.traceback([co [, level]]): as debug.traceback without a message. Level 0 is the function in
 * which `co` stands, and by default is so; of the running coroutine level 1, the default, calls
 * this. */
static int core_traceback(lua_State* L) {
  lua_State* co = lua_tothread(L, 1);
  lua_Integer level = luaL_optinteger(L, 2, co == NULL || co == L ? 1 : 0);
  lctx_traceback(L, co != NULL ? co : L, NULL, (int)level);
  return 1;
}

void lctx_open_traceback(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"traceback", core_traceback}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
