/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task, classes. */
#pragma once

/* After-funcs: functions that run, each as a task of its own, when a context is done. Where nothing
 * may fail they only take their place in the run queue, between the coroutines that are woken: the
 * order is that of registration. They become tasks when their turn comes. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* A userdata. User values: the function; the context. */
typedef struct {
  lctx_link link;  /* in the run queue, once due */
  uint8_t kind;    /* LCTX_AFTER */
  bool pending;    /* it may still run */
  uint32_t slot;   /* what keeps it meanwhile; 0: nothing, as its context can never be done */
  uint64_t serial; /* rises with each that is registered */
  ctx_watcher_t watcher;
  lctx_state* S;
} lctx_after;

/* Takes back those that were registered after this serial number was given. */
void lctx_after_forget(lua_State* L, lctx_state* S, uint64_t since);

#pragma GCC visibility pop
