/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* Tracebacks, for the whole library: no other file calls luaL_traceback or debug.traceback.
 *
 * The law: a traceback takes a bounded time. luaL_traceback counts the whole stack some twenty times,
 * and walks to its end for the last levels. On the stack of an endless recursion that takes seconds, in
 * which nothing else runs. Here a very deep stack is not walked to its end. */
#include "state.h"

/* As luaL_traceback: pushes onto L the traceback of `co`, from `level` on. */
void lctx_traceback(lua_State* L, lua_State* co, const char* message, int level);
/* Replaces the coroutine on top by its text in core.owners, or nil; true for a text. */
bool lctx_toowner(lua_State* L, lctx_state* S);
/* Pushes the traceback of the running coroutine, with its owner as the last line. */
void lctx_owned_traceback(lua_State* co, lctx_state* S, int level);
/* Pushes onto L the traceback of `co`, another coroutine, from its nearest level on. Equal stacks share a
 * text, which is kept in the table at the index `texts`: of 100 000 tasks most are in one of a few
 * places. */
void lctx_shared_traceback(lua_State* L, lua_State* co, int texts);
