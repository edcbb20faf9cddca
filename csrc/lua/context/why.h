/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context. */
#pragma once

/* Which context ended first, and the line of its cancel. */
#include "context/context.h"

int lctx_context_why(lua_State* L); /* c:why() */
/* Notes, under debug, the facts for c:why() about the context at `index`. */
void lctx_note_cancel(lua_State* L, lctx_state* S, int index);
void lctx_note_budget(lua_State* L, lctx_state* S, int index, uint64_t budget_ns);
