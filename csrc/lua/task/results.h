/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Results on their way to a coroutine that waits: on its stack, or packed in a table, where that is in
 * use, or where they must not be lost if the coroutine is closed before it runs on. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* Whether `n` values for `t` must be packed: its stack is in use. To wake it with none never fails, so
 * that what it was granted on the Lua side before cannot get lost. */
bool lctx_needs_packing(const lctx_task* t, int n);
/* Sees to it that there is a table to pack `n` values for `t` in. True if it had to be made: then
 * finalizers may have run, and the caller looks once more whether `t` still waits. May raise. */
bool lctx_make_room(lua_State* L, lctx_task* t, int n);
/* Moves the `n` values on top to where the waiting coroutine will find them. With room, if they must
 * be packed. */
void lctx_hand_over(lua_State* L, lctx_task* t, int n);
/* With room: packs the `n` values on top, and above these what frees them, or nil; pops all. */
void lctx_pack(lua_State* L, lctx_task* t, int n);
/* Pushes the table of what was packed for `t`, if anything was. Raises no error: the record must be
 * left before anything can fail. */
bool lctx_take_packed(lua_State* L, lctx_task* t);
/* Replaces that table by the values in it; or frees them, and pops it, without an error. */
void lctx_unpack(lua_State* L);
void lctx_drop_packed(lua_State* L, lctx_state* S);

#pragma GCC visibility pop
