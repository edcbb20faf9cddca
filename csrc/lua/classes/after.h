/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task, classes. */
#pragma once

/* After-funcs: functions that run, each in a task of its own, when a context is done. In the core's
 * callback, where nothing may fail, they only enter the run queue, among the coroutines that are woken,
 * in the order of registration. They become tasks when their turn comes. */
#include "state.h"

/* A userdata. User values: the function; the context. */
typedef struct {
  lctx_link link;  /* in the run queue, once due */
  uint8_t kind;    /* LCTX_AFTER */
  bool pending;    /* it may still run */
  uint32_t slot;   /* its anchor; 0: none, since its context can never be done */
  uint64_t serial; /* rises with each registration */
  ctx_watcher_t watcher;
  lctx_state* S;
} lctx_after;

/* Removes those that were registered after this serial number. */
void lctx_after_forget(lua_State* L, lctx_state* S, uint64_t since);
