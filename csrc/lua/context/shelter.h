/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Nodes that stay linked in the core even if nothing refers to their context: those of an `any`, of a
 * context that C pushed, and of one that C may watch.
 *
 * A finalizer unlinks such a node from the core. But near the limits of its stacks or without memory, Lua
 * may lose a finalizer, and then frees the object. So the node is in a separate userdata, the shelter,
 * which S->nodes anchors until the node has left the core. A lost finalizer leaks the shelter and the
 * contexts above it. */
#include "context/context.h"

/* A context itself, since it may stand between another and its parent, and own a cause that C made.
 * User values of that of an `any`: its sources; of others: 1 the parent, or for a pushed context what
 * keeps a cause of Lua's; 2 the cause. The last one: the node's name. */
typedef struct {
  lctx_context base;
  uint32_t slot; /* in S->nodes; 0: the core does not point here */
  int name;      /* the user value */
  ctx_relay_t relay;
  ctx_t arms[]; /* of an `any` and of a pushed context */
} lctx_shelter;

/* Pushes a context whose node will be in a shelter, still empty; and on top of it the shelter, with room
 * for this number of arms and user values. */
lctx_shelter* lctx_push_sheltered(lua_State* L, lctx_state* S, enum lctx_kind kind, int arms,
                                  int values);
/* Pushes and returns the shelter of a context; NULL, and pushes nothing, if it has none. */
lctx_shelter* lctx_push_shelter(lua_State* L, const lctx_context* c, int index);
/* The node of an `any` is done: the core does not point to it any more. */
void lctx_leave_shelter(lua_State* L, lctx_state* S, lctx_context* c);
/* Puts the node of the context on top, which is neither a value nor a root, into a shelter, unless it is
 * in one. May raise, with nothing changed. */
void lctx_shelter_node(lua_State* L, lctx_state* S);
/* The finalizer of a context whose node is in a shelter. */
int lctx_sheltered_gc(lua_State* L);
