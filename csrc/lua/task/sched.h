/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

/* The run queue: tasks and their turns. */
#include "task/record.h"

/* A record for a task that will take so many arguments; may raise. Then either lctx_task_start,
 * which pops a function and its arguments and cannot fail, or lctx_task_free. */
lctx_task* lctx_task_prepare(lua_State* L, lctx_state* S, int nargs);
/* The same for one that the running function starts: under debug its line is noted. */
lctx_task* lctx_task_prepare_here(lua_State* L, lctx_state* S, int nargs);
void lctx_task_start(lua_State* L, lctx_task* t, const lctx_owner* owner, int nargs);
/* Gives a new coroutine the debug hook of the running one, which has one. */
void lctx_inherit_hook(lua_State* L, lctx_state* S, lua_State* co);
/* Puts a parked coroutine into the run queue; the first call counts, until it parks again. */
void lctx_wake(lctx_task* t, enum lctx_outcome outcome);
/* Ends a task from outside, with the value on top of L as its error; pops that. */
void lctx_end_task(lua_State* L, lctx_task* t);
/* What is due in the core, then every coroutine that is ready, until the loop should have its turn.
 * Raises no error; false when one cut it short, which is reported, and the rest waits for the next
 * turn. */
bool lctx_drain(lua_State* L, lctx_state* S);
