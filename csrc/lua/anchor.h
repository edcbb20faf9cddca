/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* What C points to and Lua code need not hold: kept by slot in a table of its own, from its first use to
 * its end.
 *
 * A free slot holds the number of the next free one. So a value comes and goes in constant time: in a
 * table by address each new address would be a new key, which with 2^k - 1 others makes Lua build the
 * table anew. And giving a slot back allocates nothing and raises no error. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* Keeps the value at `index`; returns its slot, which is not 0. May raise, with nothing changed. Runs
 * no finalizer once the value is in its slot. */
uint32_t lctx_anchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, int index);
/* Gives the slot back; 0 is none. */
void lctx_unanchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, uint32_t slot);
/* Pushes what is in the slot: a userdata, or something else if it is free. Returns its type. */
int lctx_push_anchored(lua_State* L, lctx_state* S, const lctx_anchors* anchors, uint32_t slot);

#pragma GCC visibility pop
