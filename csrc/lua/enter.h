/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The only door from C to Lua functions that are not ours. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* lua_pcall with a traceback for strings: returns its status. */
int lctx_enter(lua_State* L, lctx_state* S, int nargs, int nresults);
/* The same without the traceback: for errors that are passed on. */
int lctx_enter_plain(lua_State* L, int nargs, int nresults);
/* Pushes the text, or the message that there is no memory for it. Raises no error. */
void lctx_pushtext(lua_State* L, const char* text);
/* Calls the hook of this name with the `nargs` values on top. False, and no results, when it
 * raised or is not there. */
bool lctx_hook(lua_State* L, lctx_state* S, const char* name, int nargs, int nresults);
/* luv ends the process when there is no memory to call a callback with: asks beforehand
 * for what that takes. False if there is not so much. */
bool lctx_reserve(lua_State* L);
/* Why turn after turn of the loop could not be run. */
const char* lctx_no_loop(lua_State* L);
/* Reports the message on top, and pops it. */
void lctx_report(lua_State* L, lctx_state* S, const char* kind);

#pragma GCC visibility pop
