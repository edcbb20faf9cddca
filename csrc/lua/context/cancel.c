/* SPDX-License-Identifier: MIT */
/* The class of cancels: callable, and closable, so that `local c, cancel <close> = …` is Lua's
 * `defer cancel()`. A cancel holds its context; holding a context gives nobody its cancel. */
#include "context/cancel.h"

#include "context/shelter.h"
#include "context/why.h"
#include "enter.h"
#include "loop.h"
#include "report/live.h"
#include "want.h"

static const char cancel_tag = 0;

void lctx_pushcancel(lua_State* L, lctx_context* c) {
  lctx_cancel* cancel = (lctx_cancel*)lua_newuserdatauv(L, sizeof *cancel, 1);
  cancel->of = c;
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_CANCEL));
  lua_setmetatable(L, -2);
  cancel->tag = &cancel_tag;
}

static bool is_cancel(lua_State* L, int arg) {
  const lctx_cancel* cancel = (const lctx_cancel*)lua_touserdata(L, arg);
  return cancel != NULL && lua_rawlen(L, arg) >= sizeof *cancel && cancel->tag == &cancel_tag;
}

static lctx_cancel* check_cancel(lua_State* L) {
  if (!is_cancel(L, 1)) lctx_typeerror(L, 1, "cancel", "a cancel");
  return (lctx_cancel*)lua_touserdata(L, 1);
}

/* Arguments: the table of those that are known, a context. */
static int add_known(lua_State* L) {
  lua_rawsetp(L, 1, lua_touserdata(L, 2));
  return 0;
}

/* Makes the context at `index` known as the owner of a cause. Without memory for that it is found
 * all the same, on the way up: a cancel does not fail. */
static void know(lua_State* L, lctx_state* S, int index) {
  index = lua_absindex(L, index);
  lua_pushcfunction(L, add_known);
  lctx_pushref(L, S, LCTX_REF_KNOWN);
  lua_pushvalue(L, index);
  if (lctx_enter_plain(L, 2, 0) != LUA_OK) lua_pop(L, 1);
}

void lctx_cancel_context(lua_State* L, int index, int cause) {
  lctx_context* c = (lctx_context*)lua_touserdata(L, index);
  lctx_state* S = lctx_stateof(c);
  if (S->closed || ctx_err(c->c) != 0) return;
  bool given = !lua_isnil(L, cause);
  lua_pushvalue(L, index);
  ctx_cancel(c->c, given ? &c->token : NULL);
  if (c->kind == LCTX_ANY) lctx_leave_shelter(L, S, c);
  /* Only now: the cancel may have found that the deadline passed first, whose cause stands there. */
  if (given && ctx_err(c->c) == CTX_CANCELED && c->c->cause == &c->token) {
    lua_pushvalue(L, cause);
    lua_setiuservalue(L, -2, 2);
  }
  if (given) know(L, S, -1);
  /* Last, as this may fail: under debug only. */
  if (S->debug) lctx_note_cancel(L, S, -1);
  lua_pop(L, 1);
}

/* The usual case apart, since it need not fetch the context's value. */
static void cancel_plainly(lua_State* L, lctx_state* S, lctx_context* c) {
  if (S->closed) return;
  ctx_cancel(c->c, NULL);
  if (c->kind == LCTX_ANY) lctx_leave_shelter(L, S, c);
}

/* cancel([cause]): again does nothing; so does a cancel after the context has ended. */
static int cancel_call(lua_State* L) {
  lctx_context* c = check_cancel(L)->of;
  lctx_state* S = lctx_stateof(c);
  lctx_live_remove(S, &c->slot);
  if (lua_isnoneornil(L, 2) && !S->debug) {
    cancel_plainly(L, S, c);
  } else {
    lua_settop(L, 2);
    lua_getiuservalue(L, 1, 1);
    lctx_cancel_context(L, 3, 2);
  }
  lctx_renew_handles(L, S);
  return 0;
}

static int cancel_tostring(lua_State* L) {
  lua_pushfstring(L, "ctx.Cancel: %p", (void*)check_cancel(L)->of);
  return 1;
}

/* core.kind(value) → "context", "cancel" or nil */
static int core_kind(lua_State* L) {
  lua_settop(L, 1);
  if (lctx_tocontext(L, 1) != NULL) {
    lua_pushliteral(L, "context");
  } else if (is_cancel(L, 1)) {
    lua_pushliteral(L, "cancel");
  } else {
    lua_pushnil(L);
  }
  return 1;
}

static const luaL_Reg metamethods[] = {{"__call", cancel_call},
                                       {"__close", cancel_call}, /* the error is the cause */
                                       {"__tostring", cancel_tostring},
                                       {NULL, NULL}};

void lctx_open_cancel(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"kind", core_kind}, {NULL, NULL}};
  lctx_register(L, S, functions);
  lctx_pushref(L, S, LCTX_REF_CANCEL);
  lctx_register(L, S, metamethods);
  lua_pushstring(L, "ctx.Cancel");
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}
