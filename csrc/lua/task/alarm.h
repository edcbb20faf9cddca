/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Alarms: the timers of coroutines that sleep. They are separate from the records, since most waits are
 * not sleeps. They are not Lua objects: taking one runs no finalizer, which might take the same alarm. */
#include "state.h"

struct lctx_alarm {
  ctx_timer_t timer;
  lctx_task* t;
  lctx_alarm* next; /* in the list of unused alarms */
};

/* Wakes the coroutine at `due_ns`. 0, or the core's error. */
int lctx_arm(lctx_task* t, uint64_t due_ns);
/* Removes the alarm of a coroutine, if it has one. */
void lctx_disarm(lctx_task* t);
/* Frees the unused alarms. */
void lctx_close_alarms(lctx_state* S);
