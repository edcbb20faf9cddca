/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The line of the program: for the errors of waits, and under debug for the makers of contexts, starters
 * of tasks and callers of cancels. Lines of this library are skipped, since they would be the same for
 * all. */
#include "state.h"

/* Pushes "file:line: ", the nearest line outside of this library; without such a line the nearest; or
 * "". */
void lctx_pushwhere(lua_State* L, lctx_state* S);
/* luaL_error at that line, from any depth in this library: for errors of any wait. */
int lctx_error(lua_State* L, lctx_state* S, const char* format, ...);
