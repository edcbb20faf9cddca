/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The only calls from C into Lua functions of others. */
#include "state.h"

/* lua_pcall with a traceback for strings: returns its status. */
int lctx_enter(lua_State* L, lctx_state* S, int nargs, int nresults);
/* The same without the traceback: for errors that are passed on. */
int lctx_enter_plain(lua_State* L, int nargs, int nresults);
/* Pushes the text, or without memory for it the out-of-memory message. Raises no error. */
void lctx_pushtext(lua_State* L, const char* text);
/* Calls the hook of this name with the `nargs` values on top. False, without results, if it has
 * raised or does not exist. */
bool lctx_hook(lua_State* L, lctx_state* S, const char* name, int nargs, int nresults);
/* luv ends the process when it has no memory to call a callback: this allocates the memory before. False
 * if there is not enough. */
bool lctx_reserve(lua_State* L);
/* The error when several turns of the loop in a row could not be run. */
const char* lctx_no_loop(lua_State* L);
/* Reports the message on top, and pops it. */
void lctx_report(lua_State* L, lctx_state* S, const char* kind);
