/* SPDX-License-Identifier: MIT */
/* May include: ground, report. */
#pragma once

/* The contexts that were not cancelled yet. */
#include "state.h"

/* Enters the context at `index`, whose slot is kept at `slot`, 0 for none; may raise, with nothing
 * changed. */
void lctx_live_add(lua_State* L, lctx_state* S, uint32_t* slot, int index);
void lctx_live_remove(lctx_state* S, uint32_t* slot);
/* Scans for contexts that were collected; under debug reports each. */
void lctx_live_scan(lua_State* L, lctx_state* S);
