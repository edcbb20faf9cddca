/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Why a context is done. A cause is user value 2 of the context that owns it. For contexts that end with
 * the owner, the core's cause is the owner's token, in memory that they keep alive. Causes that C made
 * do not reach them: a relay (ctx.h) in a shelter passes on its own token, and keeps C's cause until it
 * is released. C's cause becomes a Lua value when it is first asked for, at the latest at that release. */
#include "context/context.h"

/* Pushes the cause of the context `c` at `arg`; the sentinel if there is none, nil while it lives. */
void lctx_pushcause(lua_State* L, lctx_state* S, int arg, lctx_context* c);
/* Pushes the error of a wait that ended with the context at `arg`; nil while it lives. All contexts that
 * end with one context have the same error: its owner keeps it in the place of the cause. */
void lctx_pushend(lua_State* L, lctx_state* S, int arg);
/* Pushes the object that ended the done context at `arg`: its parent; for an `any`, the source; for a
 * pushed context, its shelter. False, and pushes nothing, if it ended by itself. */
bool lctx_push_way_of_end(lua_State* L, int arg);
/* Pushes the userdata of `c`, which is the context at `arg` or one of its ancestors. */
void lctx_pushknown(lua_State* L, int arg, const lctx_context* c);
/* Makes a later lctx_pushknown of the context at `arg` a single access. May raise. */
void lctx_know(lua_State* L, int arg);
/* If C gave a cause to the relay in this shelter, makes a Lua value of it. */
void lctx_keep_cause(lua_State* L, lctx_state* S, int shelter);
