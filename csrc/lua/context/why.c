/* SPDX-License-Identifier: MIT */
/* Which context ended first, and the line of its cancel: noted under ctx.debug(true), for c:why().
 *
 * The sentinels do not change. An end belongs to the context that was cancelled, or whose deadline
 * passed; the contexts below end with it. */
#include "context/why.h"

#include "context/cause.h"
#include "enter.h"
#include "report/where.h"

/* Remembers the value on top for the context at `index`; pops it. */
static void remember(lua_State* L, lctx_state* S, enum lctx_ref ref, int index) {
  lctx_pushref(L, S, ref);
  lua_pushvalue(L, index);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 2);
}

void lctx_note_cancel(lua_State* L, lctx_state* S, int index) {
  index = lua_absindex(L, index);
  lctx_pushwhere(L, S);
  remember(L, S, LCTX_REF_CANCELLERS, index);
}

void lctx_note_budget(lua_State* L, lctx_state* S, int index, uint64_t budget_ns) {
  index = lua_absindex(L, index);
  lua_pushnumber(L, (lua_Number)budget_ns / 1e6);
  remember(L, S, LCTX_REF_BUDGETS, index);
}

/* Whether `c` ended by itself, and not because something above it did. */
static bool ended_here(lua_State* L, lctx_state* S, const lctx_context* c, int err) {
  if (err == CTX_DEADLINE_EXCEEDED) {
    bool own = c->kind == LCTX_TIMEOUT || c->kind == LCTX_DEADLINE;
    return own && (c->up == NULL || ctx_deadline(c->up->c) != ctx_deadline(c->c));
  }
  lctx_pushref(L, S, LCTX_REF_CANCELLERS);
  lua_pushvalue(L, -2);
  bool here = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return here;
}

/* Replaces the context on top by the one at or above it that ended by itself. */
static void find_origin(lua_State* L, lctx_state* S, int err) {
  for (;;) {
    const lctx_context* c = (const lctx_context*)lua_touserdata(L, -1);
    if (c->up == NULL || ended_here(L, S, c, err) || !lctx_push_way_of_end(L, -1)) return;
    if (ctx_err(((const lctx_context*)lua_touserdata(L, -1))->c) != err) break;
    lua_replace(L, -2);
  }
  lua_pop(L, 1);
}

static void push_note(lua_State* L, lctx_state* S, enum lctx_ref ref, int index) {
  lctx_pushref(L, S, ref);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

/* c:why() → nil while c lives; then what is known of its end: see `why` in lua/ctx/why.lua. */
int lctx_context_why(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c (call it as c:why())");
  int err = ctx_err(c->c);
  if (err == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  find_origin(L, S, err);
  lctx_pusherr(L, S, err);
  lctx_pushcause(L, S, 1, c);
  lua_pushvalue(L, 2);
  push_note(L, S, LCTX_REF_CANCELLERS, 2);
  push_note(L, S, LCTX_REF_BUDGETS, 2);
  push_note(L, S, LCTX_REF_NAMES, 2);
  if (!lctx_hook(L, S, "why", 6, 1)) lua_pushnil(L);
  return 1;
}
