/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Why a context is done. A cause is user value 2 of the context that owns it, and of those that have
 * their end from that one the core's cause is its token: in memory that they keep. Causes that C made
 * never get that far: a relay (ctx.h) in a shelter passes its own token on, and keeps what C gave until
 * it is released. It becomes a Lua value when somebody asks for it, and at the latest then. */
#include "context/context.h"

#pragma GCC visibility push(hidden)

/* Pushes the cause of the context `c` at `arg`; the sentinel if there is none, nil while it lives. */
void lctx_pushcause(lua_State* L, lctx_state* S, int arg, lctx_context* c);
/* Pushes the error of a wait that ended with the context at `arg`, nil while it lives. All that have
 * their end from one context have the same: its owner keeps it in the place of the cause. */
void lctx_pushend(lua_State* L, lctx_state* S, int arg);
/* Pushes that through which the context at `arg`, which is done, has its end: its parent; of an `any`
 * the source that ended it; of a pushed one its shelter. False, and pushes nothing, when none did. */
bool lctx_push_way_of_end(lua_State* L, int arg);
/* Pushes the userdata of `c`, which stands at or above the context at `arg`. */
void lctx_pushknown(lua_State* L, int arg, const lctx_context* c);
/* Makes lctx_pushknown of the context at `arg` one access. May raise. */
void lctx_know(lua_State* L, int arg);
/* Makes a Lua value of the cause that C gave to the relay in this shelter, if it did. */
void lctx_keep_cause(lua_State* L, lctx_state* S, int shelter);

#pragma GCC visibility pop
