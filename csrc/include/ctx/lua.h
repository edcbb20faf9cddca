/* SPDX-License-Identifier: MIT */
#ifndef CTX_LUA_H
#define CTX_LUA_H

/* For programs that embed Lua: contexts made in C, handed to scripts, and back.
 *
 * Each Lua state has one tree (ctx.h), on the thread that runs the state; contexts that scripts
 * and C share belong to it. Such a program links the binding's static library and makes it known
 * with luaL_requiref(L, "ctx.core", luaopen_ctx_core, 0) before scripts say require "ctx".
 * The tree is driven by the luv loop of the state: run it, with luv or with ctx.run.
 *
 * All functions here are for the state's own thread, and, unless it is said otherwise, may raise
 * a Lua memory error: call them where lua_pcall protects. */

#include <ctx/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h> /* in here, as lua.hpp has it */

/* The one name that the Lua module shows. */
#if defined(_WIN32)
#define CTX_LUAOPEN __declspec(dllexport)
#elif defined(__GNUC__)
#define CTX_LUAOPEN __attribute__((visibility("default")))
#else
#define CTX_LUAOPEN
#endif

/* Opens the module ctx.core; for luaL_requiref. Calling it again returns the same table. */
CTX_LUAOPEN int luaopen_ctx_core(lua_State* L);

/* The state's tree, to derive contexts from: ctx_with_cancel(&mine, ctx_background(ctx_lua_tree(L))).
 * Raises an error when ctx.core was not opened in this state. It is closed with the state, and gone:
 * release contexts before lua_close, and do not touch those that you did not; flags stay. */
CTX_EXTERN ctx_tree_t* ctx_lua_tree(lua_State* L);

/* Pushes a Lua context that is done when `c` is, with its error and cause; a cause made in C shows
 * in Lua as an error with its message, and is retained until Lua lets go of the context. `c` must be of
 * this state's tree (else an error is raised) and stay valid until it is done or released with
 * ctx_release; the Lua context may live longer. */
CTX_EXTERN void ctx_lua_push(lua_State* L, ctx_t* c);

/* The context at stack index `arg`, or an argument error. It is valid as long as Lua holds the
 * value at `arg`: keep that in the registry or on a stack while C uses the context. A flag of it
 * (ctx_share) may live longer; when Lua collects the context, that is cancelled. May raise. */
CTX_EXTERN ctx_t* ctx_lua_check(lua_State* L, int arg);

/* After C has cancelled or watched contexts outside any call from Lua: tells the loop, as Lua calls
 * do by themselves. Raises no error. */
CTX_EXTERN void ctx_lua_settle(lua_State* L);

#ifdef __cplusplus
}
#endif

#endif
