/* SPDX-License-Identifier: MIT */
#ifndef LCTX_FAILURE_H
#define LCTX_FAILURE_H

/* What a task or a group has failed with: an object of its own beside the handle or the group, with
 * a finalizer, which reports an error that nobody asked for.
 *
 * It is tempting to give the finalizer to the handle or the group itself once it has failed. But Lua
 * then looks for that object from the newest one on: 36 ms with a million younger ones, and all the
 * while nothing else runs. This one is the newest. */
#include "lctx.h"

#pragma GCC visibility push(hidden)

/* User values. */
enum { LCTX_FAILURE_ERROR = 1, LCTX_FAILURE_TRACE };

typedef struct lctx_failure {
  const char* hook; /* that is told both if nobody has heard of it */
  bool heard;
} lctx_failure;

/* Replaces an error and its traceback, which are on top, by a failure. Without memory only the error
 * stays, and NULL is the answer. */
lctx_failure* lctx_push_failure(lua_State* L, lctx_state* S, const char* hook);
/* Replaces the failure on top by a user value of it. With NULL for it what is on top is the error. */
void lctx_open_up(lua_State* L, const lctx_failure* failure, int value);

#pragma GCC visibility pop

#endif
