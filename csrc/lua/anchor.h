/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* Values that C points to and that Lua code may not refer to. A table keeps them by slot, from their first
 * use to their end.
 *
 * A free slot holds the number of the next free slot. So a value comes and goes in constant time. In a
 * table by address each new address would be a new key, and with 2^k - 1 others Lua would rebuild the
 * table. Freeing a slot allocates nothing and raises no error. */
#include "state.h"

/* Keeps the value at `index`; returns its slot, which is not 0. May raise, with nothing changed. Runs
 * no finalizer once the value is in its slot. */
uint32_t lctx_anchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, int index);
/* Frees the slot; does nothing for 0. */
void lctx_unanchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, uint32_t slot);
/* Pushes the value in the slot: a userdata, or another type if the slot is free. Returns its type. */
int lctx_push_anchored(lua_State* L, lctx_state* S, const lctx_anchors* anchors, uint32_t slot);
