/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Contexts: a header, then a node of the core or a value. */
#include "state.h"

enum lctx_kind {
  LCTX_BACKGROUND,
  LCTX_TODO,
  LCTX_CANCEL,
  LCTX_DEADLINE,
  LCTX_TIMEOUT,
  LCTX_WITHOUT,
  LCTX_ANY,
  LCTX_PUSHED, /* of a context that C has pushed */
  LCTX_VALUE,
  LCTX_SHELTER /* never seen by Lua code */
};

/* User values: 1 the parent, 2 the cause or the value, 3 and more: see the kind. After the first request
 * for the error of a wait that ended here, 2 is that error, which wraps the cause: `joined`. */
struct lctx_context {
  ctx_cause_t token;    /* its ops tell a context from all other userdata; as a cause of the core it
                           stands for the Lua value in user value 2 */
  ctx_t* c;             /* the node: its own, or for a value the nearest one above */
  lctx_context* up;     /* the parent; NULL for a root */
  lctx_context* values; /* the nearest value from here up, or NULL */
  uint32_t slot;        /* in the table of live ones; 0: not there */
  uint8_t kind;
  bool joined; /* see above */
};

typedef struct {
  lctx_context base;
  ctx_t node;
} lctx_node;

extern const ctx_cause_ops_t lctx_context_ops;
static inline lctx_context* lctx_tocontext(lua_State* L, int arg) {
  lctx_context* c = (lctx_context*)lua_touserdata(L, arg);
  if (c == NULL || lua_rawlen(L, arg) < sizeof(lctx_context) || c->token.ops != &lctx_context_ops) {
    return NULL;
  }
  return c;
}
static inline lctx_state* lctx_stateof(const lctx_context* c) {
  return lctx_stateof_tree(c->c->tree);
}
/* The context at `arg`, or an error at the caller's line that calls it by `name`. */
lctx_context* lctx_checkcontext(lua_State* L, int arg, const char* name);
/* The result of ctx_err. Once the state is closed it is the known status, since the tree must not be
 * walked any more. */
int lctx_err(lctx_state* S, lctx_context* c);
void lctx_pusherr(lua_State* L, lctx_state* S, int err); /* nil for 0 */
