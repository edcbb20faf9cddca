/* SPDX-License-Identifier: MIT */
#ifndef LCTX_TRACEBACK_H
#define LCTX_TRACEBACK_H

/* Tracebacks, for the whole library: nobody else calls luaL_traceback or debug.traceback.
 *
 * The law: a traceback costs a bounded time. luaL_traceback counts the whole stack some twenty times
 * over, and walks to its far end for the last levels; on the stack of a runaway recursion that takes
 * seconds, in which nothing else runs. Here a stack that is deeper than any that was meant is not
 * walked to its end. */
#include "lctx.h"

#pragma GCC visibility push(hidden)

/* As luaL_traceback: pushes onto L the traceback of `co`, from `level` on. */
void lctx_traceback(lua_State* L, lua_State* co, const char* message, int level);
void lctx_open_traceback(lua_State* L, lctx_state* S);

#pragma GCC visibility pop

#endif
