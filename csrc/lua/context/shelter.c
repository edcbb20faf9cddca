/* SPDX-License-Identifier: MIT */
#include "context/shelter.h"

#include "anchor.h"
#include "context/cause.h"

enum { UV_PARENT = 1, UV_SHELTER = 3 };

/* Its finalizer may run before the rest is filled in: so the fields that it looks at are set here. */
static lctx_shelter* push_shelter(lua_State* L, lctx_state* S, lctx_context* up, int arms,
                                  int values) {
  size_t size = sizeof(lctx_shelter) + (size_t)arms * sizeof(ctx_t);
  lctx_shelter* s = (lctx_shelter*)lua_newuserdatauv(L, size, values + 1);
  lctx_context* values_of = up != NULL ? up->values : NULL;
  s->base = (lctx_context){{NULL}, &s->relay.c, up, values_of, 0, LCTX_SHELTER, false};
  s->slot = 0;
  s->name = values + 1;
  s->relay.given = NULL;
  for (int i = 0; i < arms; i++) s->arms[i].due.status = 0;
  lctx_pushref(L, S, LCTX_REF_CONTEXT);
  lua_setmetatable(L, -2);
  s->base.token.ops = &lctx_context_ops;
  return s;
}

lctx_shelter* lctx_push_sheltered(lua_State* L, lctx_state* S, enum lctx_kind kind, int arms,
                                  int values) {
  lctx_context* c = (lctx_context*)lua_newuserdatauv(L, sizeof *c, UV_SHELTER);
  *c = (lctx_context){{NULL}, NULL, NULL, NULL, 0, (uint8_t)kind, false};
  lctx_pushref(L, S, LCTX_REF_SHELTERED);
  lua_setmetatable(L, -2);
  c->token.ops = &lctx_context_ops;
  lctx_shelter* s = push_shelter(L, S, NULL, arms, values);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -3, UV_SHELTER);
  return s;
}

/* The user value that is the shelter, or 0: of an `any` or a pushed context always the same; of one that
 * C has come by the parent's, as the shelter then stands between the two. */
static int place_of(const lctx_context* c) {
  if (c->kind == LCTX_ANY || c->kind == LCTX_PUSHED) return UV_SHELTER;
  if (c->kind == LCTX_VALUE || c->kind <= LCTX_TODO) return 0;
  return c->c != &((const lctx_node*)(const void*)c)->node ? UV_PARENT : 0;
}

lctx_shelter* lctx_push_shelter(lua_State* L, const lctx_context* c, int index) {
  int place = place_of(c);
  if (place == 0) return NULL;
  if (lua_getiuservalue(L, index, place) == LUA_TUSERDATA) {
    return (lctx_shelter*)lua_touserdata(L, -1);
  }
  lua_pop(L, 1);
  return NULL;
}

void lctx_leave_shelter(lua_State* L, lctx_state* S, lctx_context* c) {
  lctx_shelter* s = LCTX_CONTAINER(c->c, lctx_shelter, relay);
  lctx_unanchor(L, S, &S->nodes, s->slot);
  s->slot = 0;
}

void lctx_shelter_node(lua_State* L, lctx_state* S) {
  lctx_context* c = (lctx_context*)lua_touserdata(L, -1);
  if (place_of(c) != 0) return;
  lctx_shelter* s = push_shelter(L, S, c->up, 0, 2);
  lua_getiuservalue(L, -2, UV_PARENT);
  lua_setiuservalue(L, -2, UV_PARENT);
  s->slot = lctx_anchor(L, S, &S->nodes, -1);
  /* From here on nothing can fail, and nothing else can run. */
  lctx_pushref(L, S, LCTX_REF_SHELTERED);
  lua_setmetatable(L, -3);
  lua_setiuservalue(L, -2, UV_PARENT);
  ctx_interpose(&s->relay, c->c, &s->base.token);
  c->c = &s->relay.c;
}

int lctx_sheltered_gc(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 1);
  const lctx_context* c = (const lctx_context*)lua_touserdata(L, 1);
  lctx_shelter* s = lctx_push_shelter(L, c, 1);
  if (s == NULL) return 0;
  if (c->c == NULL) { /* there was no memory for the rest of it: it never had a node */
    if (s->slot != 0) lctx_unanchor(L, S, &S->nodes, s->slot);
    s->slot = 0;
    return 0;
  }
  lctx_keep_cause(L, S, 2); /* those below may still be asked for it, by other finalizers */
  if (s->slot != 0 && !S->closed) {
    ctx_release(&s->relay.c);
    lctx_unanchor(L, S, &S->nodes, s->slot);
    s->slot = 0;
  } else if (s->relay.given != NULL) {
    ctx_release(&s->relay.c); /* is done: only lets go of the cause */
  }
  return 0;
}
