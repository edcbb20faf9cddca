/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* Where the program is: for the errors of waits, and for what is noted under debug of who made a
 * context, started a task, or cancelled. That is the program's own line: those of this library,
 * between it and here, would be the same for all. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* Pushes "file:line: ", the nearest line that is not this library's own; with none such, the nearest;
 * or "". */
void lctx_pushwhere(lua_State* L, lctx_state* S);
/* luaL_error at that line, however deep in this library: for what can go wrong in any wait. */
int lctx_error(lua_State* L, lctx_state* S, const char* format, ...);

#pragma GCC visibility pop
