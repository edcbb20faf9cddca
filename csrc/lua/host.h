/* SPDX-License-Identifier: MIT */
/* May include: ground, task, classes. */
#ifndef LCTX_HOST_H
#define LCTX_HOST_H

/* The clock, and luv's loop, which the Lua side handles by hooks. */
#include "state.h"

#pragma GCC visibility push(hidden)

extern const ctx_host_t lctx_host;
/* Tells luv's handles what the core and the scheduler want. Raises no error; false when a handle
 * could not be told, which is tried again in the next turn. */
bool lctx_settle(lua_State* L, lctx_state* S);
/* The same from outside the scheduler, where a handle may have been closed under us. */
void lctx_rouse(lua_State* L, lctx_state* S);
/* True while luv's loop runs, ours or anyone's. */
bool lctx_in_loop(lua_State* L, lctx_state* S);
/* Sees to it that other threads can wake the loop. */
void lctx_open_wake(lua_State* L, lctx_state* S);

/* Turns that may fail in a row, without memory, before the driver of the loop gives up. */
enum { LCTX_PATIENCE = 16 };

enum lctx_loop { LCTX_LOOP_EMPTY, LCTX_LOOP_ALIVE, LCTX_LOOP_FAILED };

enum lctx_driven {
  LCTX_NOT_DRIVEN = -1,
  LCTX_OVER,
  LCTX_ASLEEP, /* nothing can happen any more */
  LCTX_FAILED  /* turn after turn could not be run: see lctx_no_loop */
};
/* Runs the loop until over(S, arg). Raises no error. */
typedef bool (*lctx_over_fn)(lctx_state* S, void* arg);
enum lctx_driven lctx_drive(lua_State* L, lctx_state* S, lctx_over_fn over, void* arg);

/* One turn of luv's loop: EMPTY when nothing is left in it that could happen. */
enum lctx_loop lctx_run_loop(lua_State* L, lctx_state* S, bool block);
static inline bool lctx_idle(const lctx_state* S) {
  return S->run.next == &S->run && S->turn.next == &S->turn;
}
/* Whether there is work for the scheduler or the core. */
static inline bool lctx_is_ready(const lctx_state* S) {
  return !lctx_idle(S) || S->alarm_ns == 0;
}
void lctx_close_host(lctx_state* S);
void lctx_open_host(lua_State* L, lctx_state* S);
/* The time, a few ms old at most and cheap to read; exact on a hand-moved clock. */
uint64_t lctx_coarse_ns(const lctx_state* S);
/* Whether the loop should have its turn. */
bool lctx_turn_due(const lctx_state* S);
/* The system's clock, also while another one is moved by hand. */
uint64_t lctx_real_ns(const lctx_state* S);

#pragma GCC visibility pop

#endif
