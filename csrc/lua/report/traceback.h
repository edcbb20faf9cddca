/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* Tracebacks, for the whole library: nobody else calls luaL_traceback or debug.traceback.
 *
 * The law: a traceback costs a bounded time. luaL_traceback counts the whole stack some twenty times
 * over, and walks to its far end for the last levels; on the stack of a runaway recursion that takes
 * seconds, in which nothing else runs. Here a stack that is deeper than any that was meant is not
 * walked to its end. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* As luaL_traceback: pushes onto L the traceback of `co`, from `level` on. */
void lctx_traceback(lua_State* L, lua_State* co, const char* message, int level);
/* Replaces the coroutine on top by what core.owners says of it, a text or nil; true for a text. */
bool lctx_toowner(lua_State* L, lctx_state* S);
/* Pushes the traceback of the running coroutine, with its owner as the last line. */
void lctx_owned_traceback(lua_State* co, lctx_state* S, int level);
/* Pushes onto L the traceback of `co`, another coroutine, from its nearest level on. The text is made
 * once for all stacks that are alike, and kept in the table at the index `texts`: of 100 000 tasks
 * most stand in one of a few places. */
void lctx_shared_traceback(lua_State* L, lua_State* co, int texts);

#pragma GCC visibility pop
