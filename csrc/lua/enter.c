/* SPDX-License-Identifier: MIT */
/* The door from C to Lua functions that are not ours: everything called here may raise, and none
 * of it gets further than this file. */
#include "enter.h"

int lctx_enter(lua_State* L, lctx_state* S, int nargs, int nresults) {
  int function = lua_gettop(L) - nargs;
  lua_pushcfunction(L, S->add_traceback);
  lua_insert(L, function);
  int status = lua_pcall(L, nargs, nresults, function);
  lua_remove(L, function);
  return status;
}

int lctx_enter_plain(lua_State* L, int nargs, int nresults) {
  return lua_pcall(L, nargs, nresults, 0);
}

static int push_text(lua_State* L) {
  lua_pushstring(L, (const char*)lua_touserdata(L, 1));
  return 1;
}

void lctx_pushtext(lua_State* L, const char* text) {
  lua_pushcfunction(L, push_text);
  lua_pushlightuserdata(L, (void*)text);
  (void)lctx_enter_plain(L, 1, 1);
}

/* Arguments: the table of hooks, a name, the hook's arguments. Names come as pointers to C strings,
 * since making a Lua string may raise, and must do so in here. */
static int call_hook(lua_State* L) {
  lua_pushstring(L, (const char*)lua_touserdata(L, 2));
  lua_rawget(L, 1);
  lua_replace(L, 2);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

bool lctx_hook(lua_State* L, lctx_state* S, const char* name, int nargs, int nresults) {
  int base = lua_gettop(L) - nargs;
  if (!lua_checkstack(L, 6)) {
    lua_settop(L, base);
    return false;
  }
  lctx_pushref(L, S, LCTX_REF_HOOKS);
  lua_insert(L, base + 1);
  lua_pushlightuserdata(L, (void*)name);
  lua_insert(L, base + 2);
  lua_pushcfunction(L, call_hook);
  lua_insert(L, base + 1);
  if (lctx_enter(L, S, nargs + 2, nresults) == LUA_OK) return true;
  lctx_report(L, S, "hook");
  return false;
}

/* Arguments: the table of hooks, the message, its kind. */
static int call_reporter(lua_State* L) {
  lua_getfield(L, 1, "report");
  lua_pushvalue(L, 2);
  lua_pushstring(L, (const char*)lua_touserdata(L, 3));
  lua_call(L, 2, 0);
  return 0;
}

void lctx_report(lua_State* L, lctx_state* S, const char* kind) {
  /* What a reporter raises has nowhere to go: a report of a failed report would fail, too. */
  if (lua_checkstack(L, 6)) {
    lua_pushcfunction(L, call_reporter);
    lua_insert(L, -2);
    lctx_pushref(L, S, LCTX_REF_HOOKS);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, (void*)kind);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  }
  lua_pop(L, 1);
}

/* Arguments: how many call records there must be below this one; then nothing. */
static int warm_up(lua_State* L) {
  lua_Integer depth = lua_tointeger(L, 1);
  if (depth > 0) {
    lua_pushcfunction(L, warm_up);
    lua_pushinteger(L, depth - 1);
    lua_call(L, 1, 0);
  }
  return 0;
}

static int calls(lua_State* L, lua_Integer depth) {
  lua_pushcfunction(L, warm_up);
  lua_pushinteger(L, depth);
  int status = lctx_enter_plain(L, 1, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status;
}

bool lctx_reserve(lua_State* L) {
  enum { STACK = 200, CALLS = 6 };
  return lua_checkstack(L, STACK) && calls(L, CALLS) == LUA_OK;
}

const char* lctx_no_loop(lua_State* L) {
  enum { CALLS = 30 }; /* what luv, a callback and a report take, and some more */
  if (!lua_checkstack(L, LUA_MINSTACK)) return "the stack is too full to run the loop";
  int status = calls(L, CALLS);
  return status == LUA_OK || status == LUA_ERRMEM ? "not enough memory to run the loop"
                                                  : "the C stack is too full to run the loop: too "
                                                    "many nested calls of pcall, metamethods, "
                                                    "iterators or other C functions";
}
