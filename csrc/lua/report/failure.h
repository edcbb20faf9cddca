/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* What a task or a group has failed with: an object of its own beside the handle or the group, with
 * a finalizer. An error that nobody has asked for some time after it came is reported; at the latest
 * when ctx.run ends, and by the finalizer when the state closes.
 *
 * It is tempting to give the finalizer to the handle or the group itself once it has failed. But Lua
 * then looks for that object from the newest one on: 36 ms with a million younger ones, and all the
 * while nothing else runs. This one is the newest. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* User values. The last is the next in the queue of those that nobody has heard of, or waits for; all
 * in the queue are anchored by the first. */
enum { LCTX_FAILURE_ERROR = 1, LCTX_FAILURE_TRACE, LCTX_FAILURE_OWNER, LCTX_FAILURE_NEXT };

typedef struct lctx_failure {
  const char* hook;         /* that is told error and traceback if nobody has heard of it */
  const lctx_link* waiters; /* of its owner: coroutines that will hear of it; or NULL */
  uint64_t due_ns;          /* when it is reported */
  bool heard, queued;
} lctx_failure;

/* Replaces an error and its traceback, which are on top, by a failure of the owner at that index, which
 * has this list of waiters, or none. Without memory only the error stays, and NULL is the answer. */
lctx_failure* lctx_push_failure(lua_State* L, lctx_state* S, const char* hook, int owner,
                                const lctx_link* waiters);
/* The failure on top may have lost the last one that waited. */
void lctx_unawaited(lua_State* L, lctx_state* S, lctx_failure* f);
/* The error has been handed to somebody. */
void lctx_hear(lua_State* L, lctx_state* S, lctx_failure* f);
/* Reports those whose time has come, or all, unless somebody waits for them. */
void lctx_tell_failures(lua_State* L, lctx_state* S, bool all);
/* Replaces the failure on top by a user value of it. With NULL for it what is on top is the error. */
void lctx_open_up(lua_State* L, const lctx_failure* failure, int value);

#pragma GCC visibility pop
