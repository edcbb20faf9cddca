/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Driving luv's loop until a given end. */
#include "state.h"

/* Turns that may fail in a row, without memory, before the driver of the loop gives up. */
enum { LCTX_PATIENCE = 16 };

enum lctx_driven {
  LCTX_NOT_DRIVEN = -1,
  LCTX_OVER,
  LCTX_ASLEEP, /* no event can come any more */
  LCTX_FAILED  /* several turns in a row could not be run: see lctx_no_loop */
};
/* Runs the loop until over(S, arg), which it may ask several times in a turn. Raises no error. */
enum lctx_driven lctx_drive(lua_State* L, lctx_state* S, lctx_over_fn over, void* arg);
