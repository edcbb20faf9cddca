/* SPDX-License-Identifier: MIT */
/* Contexts between C programs and scripts (ctx/lua.h). */
#include "anchor.h"
#include "context/context.h"
#include "context/shelter.h"
#include "host.h"
#include "loop.h"

ctx_tree_t* ctx_lua_tree(lua_State* L) {
  lctx_state* S = lctx_state_of(L);
  lctx_open_wake(L, S); /* C may share contexts with other threads */
  return &S->tree;
}

void ctx_lua_settle(lua_State* L) {
  lctx_ask(lctx_state_of(L));
  lctx_renew_handles(L, lctx_state_of(L));
}

/* -- Of C, in Lua ------------------------------------------------------------------------------ */

/* Pushes the nearest context of Lua's that `c` descends from, if C has come by that through
 * ctx_lua_check: causes of Lua's can only come down to `c` from there. */
static bool push_keeper(lua_State* L, lctx_state* S, const ctx_t* c) {
  lctx_pushref(L, S, LCTX_REF_CHECKED);
  for (; c != NULL; c = ctx_parent(c)) {
    if (lua_rawgetp(L, -1, c) != LUA_TNIL) {
      lua_remove(L, -2);
      return true;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return false;
}

/* The shelter is anchored before the relay links it into the core. If `c` is done already, nothing is
 * linked, and the anchor goes back at once. */
void ctx_lua_push(lua_State* L, ctx_t* c) {
  lctx_state* S = lctx_state_of(L);
  if (c->tree != &S->tree) {
    luaL_error(L, "ctx_lua_push: the context belongs to another tree, and so to another thread");
  }
  luaL_checkstack(L, 8, "ctx_lua_push");
  lctx_shelter* s = lctx_push_sheltered(L, S, LCTX_PUSHED, 1, 2);
  lctx_context* pushed = (lctx_context*)lua_touserdata(L, -2);
  if (push_keeper(L, S, c)) lua_setiuservalue(L, -2, 1);
  s->slot = lctx_anchor(L, S, &S->nodes, -1);
  int err = ctx_relay(&s->relay, s->arms, c, &s->base.token);
  if (err != 0) {
    lctx_unanchor(L, S, &S->nodes, s->slot);
    s->slot = 0;
    luaL_error(L, "ctx_lua_push: %s", ctx_strerror(err));
  }
  pushed->c = &s->relay.c;
  if (pushed->c->due.status != 0) lctx_leave_shelter(L, S, pushed);
  lua_pop(L, 1);
}

/* -- Of Lua, in C ------------------------------------------------------------------------------ */

/* Pushes the context whose node that of the context at `arg` is: a value has that of one above it. */
static lctx_context* push_owner(lua_State* L, int arg) {
  lua_pushvalue(L, arg);
  lctx_context* c = (lctx_context*)lua_touserdata(L, -1);
  for (; c->kind == LCTX_VALUE; c = (lctx_context*)lua_touserdata(L, -1)) {
    lua_getiuservalue(L, -1, 1);
    lua_replace(L, -2);
  }
  return c;
}

/* What C hangs on a context, such as the ear of a flag, may still be there when Lua lets go of that: so
 * its node goes into a shelter. */
ctx_t* ctx_lua_check(lua_State* L, int arg) {
  lctx_context* c = lctx_checkcontext(L, arg, "c");
  lctx_state* S = lctx_stateof(c);
  lctx_open_wake(L, S); /* C may share it with other threads */
  luaL_checkstack(L, 8, "ctx_lua_check");
  c = push_owner(L, arg);
  if (c->kind > LCTX_TODO) lctx_shelter_node(L, S);
  lctx_pushref(L, S, LCTX_REF_CHECKED);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, c->c);
  lua_pop(L, 1);
  return c->c;
}
