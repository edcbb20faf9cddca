/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Nodes that stay linked in the core while nobody needs to hold their context: those of an `any`, of a
 * context that C pushed, and of one that C may listen to.
 *
 * A finalizer takes such a node out of the core. But Lua may lose a finalizer, near the limits of its
 * stacks or when out of memory, and frees the object all the same. So the node stands in a userdata of
 * its own behind the context, the shelter, which S->nodes keeps until the node is out of the core. A
 * lost finalizer leaks it, and what it keeps: the contexts above. */
#include "context/context.h"

#pragma GCC visibility push(hidden)

/* A context itself, since it may stand between another and its parent, and own a cause that C made.
 * User values of that of an `any`: its sources; of others: 1 the parent, or for a pushed context what
 * keeps a cause of Lua's; 2 the cause. The last one: the node's name. */
typedef struct {
  lctx_context base;
  uint32_t slot; /* in S->nodes; 0: nothing in the core points here */
  int name;      /* the user value */
  ctx_relay_t relay;
  ctx_t arms[]; /* of an `any` and of a pushed context */
} lctx_shelter;

/* Pushes a context whose node will stand in a shelter, with nothing in it as yet; and on top of it the
 * shelter, with room for so many arms and user values. */
lctx_shelter* lctx_push_sheltered(lua_State* L, lctx_state* S, enum lctx_kind kind, int arms,
                                  int values);
/* The shelter of a context that has one, and pushes it; NULL, and pushes nothing, for others. */
lctx_shelter* lctx_push_shelter(lua_State* L, const lctx_context* c, int index);
/* The node of an `any` is done: nothing in the core points to it any more. */
void lctx_leave_shelter(lua_State* L, lctx_state* S, lctx_context* c);
/* Puts the node of the context at the top, which is no value and no root, into a shelter, unless it is
 * in one. May raise, with nothing changed. */
void lctx_shelter_node(lua_State* L, lctx_state* S);
/* The finalizer of a context whose node is in a shelter. */
int lctx_sheltered_gc(lua_State* L);

#pragma GCC visibility pop
