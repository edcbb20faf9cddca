/* SPDX-License-Identifier: MIT */
#include "report/traceback.h"

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

bool lctx_toowner(lua_State* L, lctx_state* S) {
  lctx_pushref(L, S, LCTX_REF_OWNERS);
  lua_insert(L, -2);
  bool owned = lua_rawget(L, -2) == LUA_TSTRING;
  lua_remove(L, -2);
  if (!owned) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  return owned;
}

void lctx_owned_traceback(lua_State* co, lctx_state* S, int level) {
  lctx_traceback(co, co, NULL, level);
  lctx_pushref(co, S, LCTX_REF_OWNERS);
  lua_pushthread(co);
  if (lua_rawget(co, -2) == LUA_TSTRING) {
    lua_pushfstring(co, "%s\n\tin %s", lua_tostring(co, -3), lua_tostring(co, -1));
    lua_replace(co, -4);
  }
  lua_pop(co, 2);
}

/* Error objects keep their identity; a plain message gets the stack it came from. */
static int add_traceback(lua_State* L) {
  const char* message = lua_tostring(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING) lctx_traceback(L, L, message, 1);
  return 1;
}

static void mix(uint64_t* hash, uint64_t value) {
  *hash = (*hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  *hash ^= *hash >> 29;
}

/* A print of all levels, of a Lua function by the place of its definition and the line, of one in C by
 * its address: two numbers in one string. False if there are too many levels to look at each time. */
static bool push_print(lua_State* L, lua_State* co) {
  enum { MOST = 40 };
  lua_Debug ar;
  uint64_t print[2] = {1, 2};
  for (int i = 0; lua_getstack(co, i, &ar); i++) {
    if (i == MOST) return false;
    lua_getinfo(co, "Sl", &ar);
    uint64_t what = (uintptr_t)ar.source;
    if (*ar.what == 'C' && lua_checkstack(co, 1)) {
      lua_getinfo(co, "f", &ar);
      what = (uintptr_t)lua_topointer(co, -1);
      lua_pop(co, 1);
    }
    for (int k = 0; k < 2; k++) {
      mix(&print[k], what);
      mix(&print[k], (uint64_t)ar.linedefined << 32 | (uint32_t)ar.currentline);
    }
  }
  lua_pushlstring(L, (const char*)print, sizeof print);
  return true;
}

void lctx_shared_traceback(lua_State* L, lua_State* co, int texts) {
  if (!push_print(L, co)) {
    lctx_traceback(L, co, NULL, 0);
    return;
  }
  lua_pushvalue(L, -1);
  if (lua_rawget(L, texts) == LUA_TNIL) {
    lua_pop(L, 1);
    lctx_traceback(L, co, NULL, 0);
    lua_pushvalue(L, -1);
    lua_insert(L, -3);
    lua_rawset(L, texts);
  } else {
    lua_remove(L, -2);
  }
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
  S->add_traceback = add_traceback;
  lctx_register(L, S, functions);
  lctx_pushref(L, S, LCTX_REF_OWNERS);
  lua_setfield(L, -2, "owners");
}
