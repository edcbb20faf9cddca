/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* luv's loop, and the one way from it to the scheduler.
 *
 * libuv calls prepare handles in every turn, before it computes how long it may wait for the system.
 * Our handle runs the coroutines that are ready, and sets one timer to the core's next time, or to 0 if
 * work is left. So every change in a turn of the loop is noticed in time, without a call.
 *
 * Only one thing must be told: that the loop has to turn at all, since it ends when no handle keeps it
 * alive. Invariants, between two turns of ours:
 *
 * - The prepare handle is referenced (a turn is asked for) if a coroutine is ready, or one has begun to
 *   wait since the last turn.
 * - Else, if a coroutine waits, the timer is referenced if the core has a next time, and so are the
 *   handles by which others may wake a coroutine (signals, the descriptor for other threads).
 *
 * Contexts, deadlines and after-funcs that only wait for their time keep no loop alive. */
#include "state.h"

/* Asks for a turn. It allocates nothing, runs no Lua code and cannot fail: for the core's callbacks, too. */
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
/* For a loop that the program runs: makes sure that our handles are open, and makes them again if not;
 * false if there is no memory for that. A function that begins a task or a wait outside of the scheduler
 * calls it, as the last of its steps that may fail. */
bool lctx_open_handles(lua_State* L, lctx_state* S);
static inline bool lctx_can_turn(lua_State* L, lctx_state* S) {
  return S->draining || S->looping || S->closed || lctx_open_handles(L, S);
}
/* The last step of a public function that may have made something ready. Outside of the scheduler the
 * program may have closed our handles since that began to wait: they are made again. */
static inline void lctx_renew_handles(lua_State* L, lctx_state* S) {
  if (lctx_is_ready(S)) (void)lctx_can_turn(L, S);
}
/* True while luv's loop runs, for us or for other code. */
bool lctx_in_loop(lua_State* L, lctx_state* S);

/* Whether the reason for which the loop is driven has ended. */
static inline bool lctx_is_over(lctx_state* S) {
  return S->over != NULL && S->over(S, S->over_arg);
}
enum lctx_loop { LCTX_LOOP_EMPTY, LCTX_LOOP_ALIVE, LCTX_LOOP_FAILED };
/* One turn of luv's loop: EMPTY when no event can come any more. */
enum lctx_loop lctx_run_loop(lua_State* L, lctx_state* S, bool block);
