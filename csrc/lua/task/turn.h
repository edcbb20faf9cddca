/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context, task. */
#pragma once

/* Fairness: the loop, and with it sockets, signals and the timers of others, has its turn at the
 * latest a millisecond after the last one, as soon as the coroutine that runs then waits or yields.
 * A limit that counts coroutines, rounds or pieces would bound nothing, since nobody knows how long
 * one takes. What is left in the run queue keeps its order. */
#include "state.h"

/* What is driven is over: its driver goes on soon, also if others are always ready. */
void lctx_end_soon(lctx_state* S);
/* The loop has had its turn: wakes those that waited for that. */
void lctx_wake_turn(lctx_state* S);
/* The end of a function that fails without a wait, since what it is asked for has ended: a context; or,
 * by core.refused on the Lua side, a channel, a stream, a pool. Its results are on top. A loop that does
 * not look at such answers would never let others run: after many in a row it waits for a turn of the
 * loop. Use as `return lctx_refused(…)`. */
int lctx_refused(lua_State* L, lctx_state* S, int nresults);
/* What a wait returns that ended with the context at `arg`, also before it began: nil and an error, the
 * sentinel or where there is a cause one that is both. Use as `return lctx_pushended(…)`. */
int lctx_pushended(lua_State* L, lctx_state* S, int arg);
