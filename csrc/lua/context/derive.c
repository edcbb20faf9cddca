/* SPDX-License-Identifier: MIT */
/* The functions that make contexts. Each does all that may fail or run others before it tells the core. */
#include "context/derive.h"

#include "anchor.h"
#include "context/cancel.h"
#include "context/cause.h"
#include "context/shelter.h"
#include "context/why.h"
#include "report/live.h"
#include "report/where.h"
#include "want.h"

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
static int push_its_cancel(lua_State* L, lctx_context* parent, lctx_node* n) {
  lctx_pushcancel(L, &n->base);
  lctx_live_add(L, lctx_stateof(parent), &n->base.slot, -2);
  return 2;
}

lctx_node* lctx_push_derived(lua_State* L, lctx_context* parent) {
  lctx_node* n = push_node(L, parent, LCTX_CANCEL);
  lctx_live_add(L, lctx_stateof(parent), &n->base.slot, -1);
  ctx_with_cancel(&n->node, parent->c);
  ctx_borrow_cause(&n->node);
  return n;
}

/* ctx.with_cancel(parent) → c, cancel */
static int derive_with_cancel(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  lctx_node* n = push_node(L, parent, LCTX_CANCEL);
  int results = push_its_cancel(L, parent, n);
  ctx_with_cancel(&n->node, parent->c);
  ctx_borrow_cause(&n->node);
  return results;
}

/* The cause is in its place before the core is told: a deadline that has passed ends the context at once. */
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
  int results = push_its_cancel(L, parent, n);
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

enum { MOST = 200 }; /* sources of an `any` */

/* Fills in the sources, which are the arguments. */
static void check_sources(lua_State* L, ctx_t** sources, int count) {
  if (count == 0) (void)lctx_checkcontext(L, 1, "c1");
  luaL_argcheck(L, count <= MOST, MOST + 1, "at most 200 contexts; give any to any for more");
  for (int i = 1; i <= count; i++) {
    lua_pushfstring(L, "c%d", i);
    sources[i - 1] = lctx_checkcontext(L, i, lua_tostring(L, -1))->c;
    lua_pop(L, 1);
  }
}

/* ctx.any(c1, c2, …) → c, cancel. Values are those of the first. */
static int derive_any(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  int count = lua_gettop(L);
  ctx_t* sources[MOST];
  check_sources(L, sources, count);
  lctx_shelter* s = lctx_push_sheltered(L, S, LCTX_ANY, count, count);
  int index = count + 1;
  lctx_context* c = (lctx_context*)lua_touserdata(L, index);
  for (int i = 1; i <= count; i++) {
    lua_pushvalue(L, i);
    lua_setiuservalue(L, -2, i);
  }
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, index, 1);
  c->up = (lctx_context*)lua_touserdata(L, 1);
  c->values = c->up->values;
  s->slot = lctx_anchor(L, S, &S->nodes, -1);
  lua_pushvalue(L, index);
  lctx_pushcancel(L, c);
  lctx_live_add(L, S, &c->slot, index);
  /* From here on nothing can run but this. */
  int err = ctx_any(&s->relay.c, s->arms, sources, (size_t)count);
  c->c = &s->relay.c;
  if (err != 0) {
    s->relay.c = (ctx_t){.tree = &S->tree};
    lctx_live_remove(S, &c->slot);
    lctx_leave_shelter(L, S, c);
    return lctx_error(L, S, "ctx.any: %s", ctx_strerror(err));
  }
  ctx_borrow_cause(c->c);
  if (c->c->due.status != 0) lctx_leave_shelter(L, S, c);
  return 2;
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
