/* SPDX-License-Identifier: MIT */
#ifndef CTX_LUA_H
#define CTX_LUA_H

/* For programs that embed Lua: contexts of C for scripts, and contexts of scripts for C.
 *
 * Each Lua state has one tree (ctx.h), on the thread that runs the state; contexts that scripts
 * and C share belong to it. Such a program links the binding's static library and opens it with
 * luaL_requiref(L, "ctx.core", luaopen_ctx_core, 0) before scripts call require "ctx".
 * The luv loop of the state drives the tree: run it, with luv or with ctx.run.
 *
 * All functions here are for the state's own thread. Unless their comment says otherwise, they may
 * raise a Lua memory error: call them inside lua_pcall. */

#include <ctx/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h> /* in here, as lua.hpp has it */

/* The only name that is visible in the Lua module. */
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
 * Raises an error when ctx.core was not opened in this state. The tree is closed and freed with the
 * state: release contexts before lua_close, and do not use others afterwards. Flags stay valid. */
CTX_EXTERN ctx_tree_t* ctx_lua_tree(lua_State* L);

/* Pushes a Lua context that is done when `c` is, with its error and cause. In Lua, a cause made in C
 * is an error with its message; it is retained until Lua collects the context. `c` must be of this
 * state's tree, or an error is raised, and must stay valid until it is done or released with
 * ctx_release. The Lua context may live longer. */
CTX_EXTERN void ctx_lua_push(lua_State* L, ctx_t* c);

/* The context at stack index `arg`, or an argument error. It is valid while Lua refers to the value
 * at `arg`: keep the value in the registry or on a stack while C uses the context. A flag of it
 * (ctx_share) may live longer; it shows a cancel when Lua collects the context. May raise. */
CTX_EXTERN ctx_t* ctx_lua_check(lua_State* L, int arg);

/* Call it after C has cancelled or watched contexts outside a call from Lua: it tells the loop, as
 * calls from Lua do by themselves. Raises no error. */
CTX_EXTERN void ctx_lua_settle(lua_State* L);

#ifdef __cplusplus
}
#endif

#endif
