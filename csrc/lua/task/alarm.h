/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Alarms: the timers of coroutines that sleep. They are apart from the records, since most of what
 * waits does not sleep, and they are no objects of Lua's: taking one runs no finalizer, which could
 * take it, too. */
#include "state.h"

#pragma GCC visibility push(hidden)

struct lctx_alarm {
  ctx_timer_t timer;
  lctx_task* t;
  lctx_alarm* next; /* in the list of those that are not in use */
};

/* Wakes the coroutine at `due_ns`. 0, or the core's error. */
int lctx_arm(lctx_task* t, uint64_t due_ns);
/* Takes the alarm of a coroutine back, if it has one. */
void lctx_disarm(lctx_task* t);
/* Frees those that are kept for later. */
void lctx_close_alarms(lctx_state* S);

#pragma GCC visibility pop
