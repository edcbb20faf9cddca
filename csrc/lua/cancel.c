/* SPDX-License-Identifier: MIT */
/* The class of cancels: callable, and closable, so that `local c, cancel <close> = …` is Lua's
 * `defer cancel()`. A cancel holds its context; holding a context gives nobody its cancel. */
#include "lctx.h"

void lctx_pushcancel(lua_State* L, lctx_state* S, int context) {
  context = lua_absindex(L, context);
  lctx_cancel* cancel = (lctx_cancel*)lua_newuserdatauv(L, sizeof *cancel, 1);
  cancel->of = (lctx_context*)lua_touserdata(L, context);
  lua_pushvalue(L, context);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_CANCEL));
  lua_setmetatable(L, -2);
  cancel->tag = &S->cancel_tag;
}

static lctx_cancel* check(lua_State* L, lctx_state* S) {
  lctx_cancel* cancel = (lctx_cancel*)lua_touserdata(L, 1);
  if (cancel == NULL || lua_rawlen(L, 1) < sizeof *cancel || cancel->tag != &S->cancel_tag) {
    lctx_typeerror(L, 1, "cancel", "a cancel");
  }
  return cancel;
}

/* Ends the context of `cancel` with the cause at stack index 2, unless that is nil. */
static void cancel_with(lua_State* L, lctx_state* S, lctx_cancel* cancel) {
  lctx_context* c = cancel->of;
  if (c->slot != 0) lctx_live_remove(S, c);
  if (S->closed || ctx_err(c->c) != 0) return;
  if (lua_isnoneornil(L, 2)) {
    ctx_cancel(c->c, NULL);
  } else {
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 2);
    ctx_cancel(c->c, &c->token);
    lctx_know(L, -1); /* last, as it may fail: no cancel does */
  }
  if (S->alarm_ns < S->armed_ns) lctx_settle(L, S);
}

/* cancel([cause]): again does nothing; so does a cancel after the context has ended. */
static int cancel_call(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_cancel* cancel = check(L, S);
  cancel_with(L, S, cancel);
  return 0;
}

static int cancel_tostring(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_pushfstring(L, "ctx.cancel: %p", (void*)check(L, S)->of);
  return 1;
}

static const luaL_Reg metamethods[] = {{"__call", cancel_call},
                                       {"__close", cancel_call}, /* the error is the cause */
                                       {"__tostring", cancel_tostring},
                                       {NULL, NULL}};

void lctx_open_cancel(lua_State* L, lctx_state* S) {
  lctx_pushref(L, S, LCTX_REF_CANCEL);
  lctx_register(L, S, metamethods);
  lua_pushstring(L, "ctx.cancel");
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}
