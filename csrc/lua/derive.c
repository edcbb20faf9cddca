/* SPDX-License-Identifier: MIT */
/* The functions that make contexts. Each allocates all it needs before it changes anything; what an
 * `any` has changed when there is no memory for its slot, its finalizer takes back. */
#include "lctx.h"
#include "where.h"

/* Pushes a context below `parent`, which is at stack index 1, its header filled in. */
static lctx_node* push_node(lua_State* L, lctx_context* parent, enum lctx_kind kind) {
  lctx_node* n = (lctx_node*)lua_newuserdatauv(L, sizeof *n, 2);
  n->base = (lctx_context){{NULL}, &n->node, parent, parent->values, 0, (uint8_t)kind, false};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_CONTEXT));
  lua_setmetatable(L, -2);
  n->base.token.ops = &lctx_context_ops;
  return n;
}

/* Pushes the cancel of the context on top, and enters that among the live ones. */
static int finish(lua_State* L, lctx_context* parent, lctx_node* n) {
  lctx_pushcancel(L, &n->base);
  lctx_live_add(L, lctx_stateof(parent), &n->base, -2);
  return 2;
}

lctx_node* lctx_push_derived(lua_State* L, lctx_context* parent) {
  lctx_node* n = push_node(L, parent, LCTX_CANCEL);
  lctx_live_add(L, lctx_stateof(parent), &n->base, -1);
  ctx_with_cancel(&n->node, parent->c);
  ctx_borrow_cause(&n->node);
  return n;
}

/* ctx.with_cancel(parent) → c, cancel */
static int derive_with_cancel(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  lctx_node* n = push_node(L, parent, LCTX_CANCEL);
  int results = finish(L, parent, n);
  ctx_with_cancel(&n->node, parent->c);
  ctx_borrow_cause(&n->node);
  return results;
}

static int with_deadline(lua_State* L, lctx_context* parent, enum lctx_kind kind, uint64_t at_ns) {
  bool cause = !lua_isnoneornil(L, 3);
  lctx_node* n = push_node(L, parent, kind);
  if (cause) {
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, -2, 2);
    lctx_know(L, -1);
  }
  lctx_state* S = lctx_stateof(parent);
  if (S->debug) {
    uint64_t now_ns = ctx_now(&S->tree);
    lctx_note_budget(L, S, -1, at_ns > now_ns ? at_ns - now_ns : 0);
  }
  int results = finish(L, parent, n);
  ctx_with_deadline(&n->node, parent->c, at_ns, cause ? &n->base.token : NULL);
  ctx_borrow_cause(&n->node);
  return results;
}

/* ctx.with_timeout(parent, ms [, cause]) → c, cancel: a deadline counted from now */
static int derive_with_timeout(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  uint64_t timeout_ns = lctx_checkms(L, 2, "ms");
  uint64_t now_ns = ctx_now(parent->c->tree);
  uint64_t at_ns = ctx_time_add(now_ns, timeout_ns);
  if (timeout_ns == 0) {
    lua_Number ago_ns = lua_tonumber(L, 2) * -1e6;
    at_ns = ago_ns < (lua_Number)now_ns ? now_ns - (uint64_t)ago_ns : 0;
  }
  return with_deadline(L, parent, LCTX_TIMEOUT, at_ns);
}

/* ctx.with_deadline(parent, at [, cause]) → c, cancel: `at` is in ms on ctx.now() */
static int derive_with_deadline(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  uint64_t at_ns = lctx_checkms(L, 2, "at");
  (void)ctx_now(parent->c->tree); /* so that one that has passed is done at birth */
  return with_deadline(L, parent, LCTX_DEADLINE, at_ns);
}

/* ctx.without_cancel(parent) → c */
static int derive_without_cancel(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  lctx_node* n = push_node(L, parent, LCTX_WITHOUT);
  ctx_without_cancel(&n->node, parent->c);
  return 1;
}

/* Pushes the userdata of an `any` of `count` sources; its arms follow its node. */
static lctx_any* push_any(lua_State* L, lctx_state* S, int count, enum lctx_kind kind) {
  lctx_any* any =
      (lctx_any*)lua_newuserdatauv(L, sizeof *any + (size_t)count * sizeof(ctx_t), 2 + count);
  any->node.base = (lctx_context){{NULL}, NULL, NULL, NULL, 0, (uint8_t)kind, false};
  lctx_pushref(L, S, LCTX_REF_ANY);
  lua_setmetatable(L, -2);
  any->node.base.token.ops = &lctx_context_ops;
  return any;
}

/* ctx.any(c1, c2, …) → c, cancel. Values are those of the first. */
static int derive_any(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  int count = lua_gettop(L);
  if (count == 0) (void)lctx_checkcontext(L, 1, "c1");
  luaL_argcheck(L, count <= 200, 201, "at most 200 contexts; give any to any for more");
  ctx_t** sources = (ctx_t**)lua_newuserdatauv(L, (size_t)count * sizeof *sources, 0);
  for (int i = 1; i <= count; i++) {
    lua_pushfstring(L, "c%d", i);
    sources[i - 1] = lctx_checkcontext(L, i, lua_tostring(L, -1))->c;
    lua_pop(L, 1);
  }
  lctx_any* any = push_any(L, S, count, LCTX_ANY);
  for (int i = 1; i <= count; i++) {
    lua_pushvalue(L, i);
    lua_setiuservalue(L, -2, 2 + i);
  }
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lctx_context* first = (lctx_context*)lua_touserdata(L, 1);
  any->node.base.up = first;
  any->node.base.values = first->values;
  lctx_pushcancel(L, &any->node.base);
  int err = ctx_any(&any->node.node, any->arms, sources, (size_t)count);
  if (err != 0) return lctx_error(L, S, "ctx.any: %s", ctx_strerror(err));
  any->node.base.c = &any->node.node;
  ctx_borrow_cause(&any->node.node);
  lctx_settle(L, S);
  lctx_live_add(L, S, &any->node.base, -2);
  return 2;
}

/* Pushes the nearest context of Lua's that `c` descends from, if C has come by that through
 * ctx_lua_check: causes of Lua's can only come down to `c` from there. */
static bool push_owner(lua_State* L, lctx_state* S, const ctx_t* c) {
  lctx_pushref(L, S, LCTX_REF_KNOWN);
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

/* A context of C's, as Lua sees it. Unlike others it retains its cause, for the descendants that
 * borrow it: C may release its context before Lua lets go of this one. User value 3: what keeps a
 * cause of Lua's, as the sources of an `any` do. */
void ctx_lua_push(lua_State* L, ctx_t* c) {
  lctx_state* S = lctx_state_of(L);
  if (c->tree != &S->tree) {
    luaL_error(L, "ctx_lua_push: the context belongs to another tree, and so to another thread");
  }
  luaL_checkstack(L, 6, "ctx_lua_push");
  lctx_any* any = push_any(L, S, 1, LCTX_PUSHED);
  if (push_owner(L, S, c)) lua_setiuservalue(L, -2, 3);
  int err = ctx_any(&any->node.node, any->arms, &c, 1);
  if (err != 0) luaL_error(L, "ctx_lua_push: %s", ctx_strerror(err));
  any->node.base.c = &any->node.node;
  lctx_settle(L, S);
}

/* Makes the node of the context at `arg` known to push_owner. What C hangs on it, such as the ear of a
 * flag, may still be there when Lua lets go of the context: it gets a finalizer, which takes it down. */
static void know_node(lua_State* L, lctx_state* S, int arg) {
  luaL_checkstack(L, 4, "ctx_lua_check");
  lua_pushvalue(L, arg);
  const lctx_context* c = (const lctx_context*)lua_touserdata(L, -1);
  for (; c->kind == LCTX_VALUE; c = c->up) {
    lua_getiuservalue(L, -1, 1);
    lua_replace(L, -2);
  }
  if (c->kind > LCTX_TODO) {
    lctx_pushref(L, S, LCTX_REF_ANY);
    lua_setmetatable(L, -2);
  }
  lctx_pushref(L, S, LCTX_REF_KNOWN);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, c->c);
  lua_pop(L, 1);
}

ctx_t* ctx_lua_check(lua_State* L, int arg) {
  lctx_context* c = lctx_checkcontext(L, arg, "c");
  lctx_state* S = lctx_stateof(c);
  lctx_open_wake(L, S); /* C may share it with other threads */
  know_node(L, S, arg);
  return c->c;
}

static int derive_background(lua_State* L) {
  lctx_pushref(L, lctx_upstate(L), LCTX_REF_BACKGROUND);
  return 1;
}

static int derive_todo(lua_State* L) {
  lctx_pushref(L, lctx_upstate(L), LCTX_REF_TODO);
  return 1;
}

/* ctx.now() → ms on the clock of deadlines */
static int derive_now(lua_State* L) {
  lua_pushnumber(L, (lua_Number)ctx_now(&lctx_upstate(L)->tree) / 1e6);
  return 1;
}

static const luaL_Reg functions[] = {{"background", derive_background},
                                     {"todo", derive_todo},
                                     {"with_cancel", derive_with_cancel},
                                     {"with_timeout", derive_with_timeout},
                                     {"with_deadline", derive_with_deadline},
                                     {"without_cancel", derive_without_cancel},
                                     {"any", derive_any},
                                     {"now", derive_now},
                                     {NULL, NULL}};

static void make_root(lua_State* L, lctx_state* S, ctx_t* c, enum lctx_kind kind,
                      enum lctx_ref ref) {
  lctx_context* root = (lctx_context*)lua_newuserdatauv(L, sizeof *root, 2);
  *root = (lctx_context){{&lctx_context_ops}, c, NULL, NULL, 0, (uint8_t)kind, false};
  lctx_pushref(L, S, LCTX_REF_CONTEXT);
  lua_setmetatable(L, -2);
  lctx_setref(L, S, ref);
}

void lctx_open_derive(lua_State* L, lctx_state* S) {
  make_root(L, S, ctx_background(&S->tree), LCTX_BACKGROUND, LCTX_REF_BACKGROUND);
  make_root(L, S, ctx_todo(&S->tree), LCTX_TODO, LCTX_REF_TODO);
  lctx_register(L, S, functions);
}
