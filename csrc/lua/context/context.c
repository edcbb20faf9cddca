/* SPDX-License-Identifier: MIT */
/* The class of contexts: what can be read of one. */
#include <math.h>

#include "context/context.h"

#include "context/cause.h"
#include "context/shelter.h"
#include "context/value.h"
#include "context/why.h"
#include "loop.h"
#include "want.h"

const ctx_cause_ops_t lctx_context_ops = {NULL, NULL, NULL};

lctx_context* lctx_checkcontext(lua_State* L, int arg, const char* name) {
  lctx_context* c = lctx_tocontext(L, arg);
  if (c == NULL) lctx_typeerror(L, arg, name, "a context");
  return c;
}

/* Of `self` in a method: the error says how the method is called. */
static lctx_context* self(lua_State* L, const char* method) {
  lctx_context* c = lctx_tocontext(L, 1);
  if (c == NULL) {
    lua_settop(L, 1); /* or the message itself would be what was got */
    lua_pushfstring(L, "c (call it as c:%s())", method);
    lctx_typeerror(L, 1, lua_tostring(L, -1), "a context");
  }
  return c;
}

int lctx_err(lctx_state* S, lctx_context* c) {
  return S->closed ? -(int)c->c->due.status : ctx_err(c->c);
}

void lctx_pusherr(lua_State* L, lctx_state* S, int err) {
  if (err == 0) {
    lua_pushnil(L);
  } else {
    lctx_pushref(L, S, err == CTX_CANCELED ? LCTX_REF_CANCELED : LCTX_REF_DEADLINE_EXCEEDED);
  }
}

/* The same for a script: a deadline that is found to have passed ends waits. */
static int find_err(lua_State* L, lctx_state* S, lctx_context* c) {
  int err = lctx_err(S, c);
  if (err != 0) lctx_renew_handles(L, S);
  return err;
}

static int context_err(lua_State* L) {
  lctx_context* c = self(L, "err");
  lctx_state* S = lctx_stateof(c);
  lctx_pusherr(L, S, find_err(L, S, c));
  return 1;
}

static int context_done(lua_State* L) {
  lctx_context* c = self(L, "done");
  lua_pushboolean(L, find_err(L, lctx_stateof(c), c) != 0);
  return 1;
}

static int context_cause(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = self(L, "cause");
  (void)find_err(L, S, c);
  lctx_pushcause(L, S, 1, c);
  return 1;
}

static int context_deadline(lua_State* L) {
  lctx_context* c = self(L, "deadline");
  uint64_t at_ns = ctx_deadline(c->c);
  if (at_ns == CTX_NEVER) {
    lua_pushnil(L);
  } else {
    lua_pushnumber(L, (lua_Number)at_ns / 1e6);
  }
  return 1;
}

static lua_Number remaining_ms(lctx_context* c) {
  uint64_t at_ns = ctx_deadline(c->c);
  if (at_ns == CTX_NEVER) return HUGE_VAL;
  uint64_t now_ns = ctx_now(c->c->tree);
  return at_ns <= now_ns ? 0 : (lua_Number)(at_ns - now_ns) / 1e6;
}

static int context_remaining(lua_State* L) {
  lua_pushnumber(L, remaining_ms(self(L, "remaining")));
  return 1;
}

/* c:name() reads the label, c:name(s) sets it and returns c. */
static int context_name(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = self(L, "name");
  if (lua_gettop(L) == 1) {
    lctx_pushref(L, S, LCTX_REF_NAMES);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    return 1;
  }
  if (lua_type(L, 2) != LUA_TSTRING) lctx_typeerror(L, 2, "name", "a string");
  lua_settop(L, 2);
  lctx_pushref(L, S, LCTX_REF_NAMES);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, -3);
  /* The table anchors the string as long as the context lives; a shelter may live longer. */
  if (c->kind != LCTX_VALUE) ctx_set_name(c->c, lua_tostring(L, 2));
  lctx_shelter* s = lctx_push_shelter(L, c, 1);
  if (s != NULL) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, s->name);
  }
  lua_settop(L, 1);
  return 1;
}

/* -- tostring ------------------------------------------------------------------------------ */

/* Adds what `c` adds to the name of its parent. No value is ever shown, since it may be a secret,
 * and of keys only the names of those that ctx.key made. */
static void add_part(lua_State* L, lctx_state* S, luaL_Buffer* out, lctx_context* c) {
  static const char* const names[] = {"ctx.background", "ctx.todo",      ".with_cancel",
                                      ".with_deadline", ".with_timeout", ".without_cancel",
                                      "ctx.any",        "ctx.pushed",    ".with_value"};
  luaL_addstring(out, names[c->kind]);
  if (c->kind == LCTX_DEADLINE || c->kind == LCTX_TIMEOUT) {
    lua_Number ms = remaining_ms(c);
    if (ms < 1e15) {
      lua_pushfstring(L, "(%I ms left)", (LUAI_UACINT)ms);
    } else {
      lua_pushstring(L, "(no limit)");
    }
    luaL_addvalue(out);
  } else if (c->kind == LCTX_VALUE) {
    luaL_addchar(out, '(');
    lctx_pushkeyname(L, S, c);
    luaL_addvalue(out);
    luaL_addchar(out, ')');
  }
}

/* tostring(c): "ctx.background.with_timeout(500 ms left).with_value(request_id)". An `any` begins
 * anew: the names of its sources would be as long as they are many. */
static int context_tostring(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = self(L, "tostring");
  size_t depth = 1;
  for (lctx_context* x = c; x->up != NULL && x->kind != LCTX_ANY; x = x->up) depth++;
  lctx_context** path = (lctx_context**)lua_newuserdatauv(L, depth * sizeof *path, 0);
  lctx_context* x = c;
  for (size_t i = depth; i-- > 0; x = x->up) path[i] = x;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (size_t i = 0; i < depth; i++) add_part(L, S, &out, path[i]);
  luaL_pushresult(&out);
  return 1;
}

static const luaL_Reg methods[] = {
    {"err", context_err},           {"cause", context_cause},         {"done", context_done},
    {"deadline", context_deadline}, {"remaining", context_remaining}, {"value", lctx_context_value},
    {"name", context_name},         {"why", lctx_context_why},        {NULL, NULL}};

void lctx_open_context(lua_State* L, lctx_state* S) {
  static const luaL_Reg metamethods[] = {{"__tostring", context_tostring}, {NULL, NULL}};
  static const luaL_Reg finalizer[] = {{"__gc", lctx_sheltered_gc}, {NULL, NULL}};
  static const lctx_class class = {"ctx.Context", LCTX_REF_CONTEXT, LCTX_REF_SHELTERED,
                                   methods,       metamethods,      finalizer};
  lctx_open_class(L, S, &class);
}
