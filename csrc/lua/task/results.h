/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Results on their way to a coroutine that waits: on its stack, or packed in a table, where that is in
 * use, or where they must not be lost if the coroutine is closed before it runs on. The record keeps
 * the table in the place of what the coroutine has waited on. */
#include "state.h"

/* Whether `n` values for `t` must be packed: its stack is in use. To wake it with none never fails, so
 * that what it was granted on the Lua side before cannot get lost. */
bool lctx_needs_packing(const lctx_task* t, int n);
/* Replaces the `n` values on top, and above these what frees them, or nil, by a table. May raise, or run
 * finalizers: the caller looks afterwards whether `t` still waits. */
void lctx_pack(lua_State* L, int n);
/* Wakes the coroutine, which waits, with the `n` values on top, which need no packing; pops them. Raises
 * an error, with nothing changed, if there are too many. */
void lctx_wake_with(lua_State* L, lctx_task* t, int n);
/* The same with the packed values on top. Raises no error. */
void lctx_wake_packed(lua_State* L, lctx_task* t);
/* Pushes the table of what was packed for `t`, if anything was. Raises no error: the record must be
 * left before anything can fail. */
bool lctx_take_packed(lua_State* L, lctx_task* t);
/* Replaces that table by the values in it; or frees them, and pops it, without an error. */
void lctx_unpack(lua_State* L);
void lctx_drop_packed(lua_State* L, lctx_state* S);
