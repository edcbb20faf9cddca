/* SPDX-License-Identifier: MIT */
#ifndef LCTX_HOST_H
#define LCTX_HOST_H

/* The loop and the clocks, between host.c and fake.c. */
#include "lctx.h"

#pragma GCC visibility push(hidden)

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
/* Whether there is work for the scheduler or the core. */
static inline bool lctx_is_ready(const lctx_state* S) {
  return !lctx_idle(S) || S->alarm_ns == 0;
}
void lctx_close_host(lctx_state* S);
void lctx_open_host(lua_State* L, lctx_state* S);
/* The system's clock, also while another one is moved by hand. */
uint64_t lctx_real_ns(const lctx_state* S);

#pragma GCC visibility pop

#endif
