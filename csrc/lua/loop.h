/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* luv's loop, and the one way from it to the scheduler.
 *
 * libuv calls prepare handles in every turn, before it computes how long it may wait for the system.
 * Ours runs all that is ready, and sets one timer to when the core wants the next turn: to 0, if work is
 * left. So whatever changes in a turn of the loop is seen in time, and no function has to tell.
 *
 * What must be told is that the loop has to turn at all, since it ends once nothing in it is alive.
 * Invariants, between two turns of ours:
 *
 * - the prepare handle is referenced if something is ready, or somebody has begun to wait since the
 *   last turn: a turn is asked for;
 * - else the timer is, if a coroutine waits and the core wants a turn some day; and so are the handles
 *   by which others may wake a coroutine (signals, the descriptor for other threads), if one waits.
 *
 * Contexts, deadlines and after-funcs that only pend keep no loop alive. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* Asks for a turn. Allocates nothing, runs nothing of Lua's and cannot fail: the core's callbacks may. */
void lctx_ask(lctx_state* S);
/* Puts a coroutine or an after-func into the run queue. */
static inline void lctx_enqueue(lctx_state* S, lctx_link* link) {
  lctx_list_append(&S->run, link);
  if (!S->asked) lctx_ask(S);
}
static inline bool lctx_idle(const lctx_state* S) {
  return S->run.next == &S->run && S->turn.next == &S->turn;
}
/* Whether there is work for the scheduler or the core. */
static inline bool lctx_is_ready(const lctx_state* S) {
  return !lctx_idle(S) || S->alarm_ns == 0;
}
/* Sees to it that a loop that the program runs can turn for what begins now: our handles are open, or are
 * made again; false if there is no memory for that. So asks, last of all that may fail, what begins
 * something outside of the scheduler. */
bool lctx_open_handles(lua_State* L, lctx_state* S);
static inline bool lctx_can_turn(lua_State* L, lctx_state* S) {
  return S->draining || S->looping || S->closed || lctx_open_handles(L, S);
}
/* True while luv's loop runs, ours or anyone's. */
bool lctx_in_loop(lua_State* L, lctx_state* S);

/* Whether what the loop is driven for is over. */
static inline bool lctx_is_over(lctx_state* S) {
  return S->over != NULL && S->over(S, S->over_arg);
}
enum lctx_loop { LCTX_LOOP_EMPTY, LCTX_LOOP_ALIVE, LCTX_LOOP_FAILED };
/* One turn of luv's loop: EMPTY when nothing is left in it that could happen. */
enum lctx_loop lctx_run_loop(lua_State* L, lctx_state* S, bool block);

#pragma GCC visibility pop
