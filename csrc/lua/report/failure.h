/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The failure of a task or a group: a separate object with a finalizer, beside the handle or the group.
 * An error that no wait has returned is reported some time after it came; at the latest when ctx.run
 * ends, and by the finalizer when the state closes.
 *
 * If the handle or the group got the finalizer when it fails, Lua would search for it in the list of all
 * objects, beginning with the newest: 36 ms with a million newer ones, in which nothing else runs. The
 * failure is itself the newest object. */
#include "state.h"

/* User values. The last is the next in the queue of failures that no wait has returned; the first
 * anchors all in the queue. */
enum { LCTX_FAILURE_ERROR = 1, LCTX_FAILURE_TRACE, LCTX_FAILURE_OWNER, LCTX_FAILURE_NEXT };

typedef struct lctx_failure {
  const char* hook;         /* gets error and traceback if no wait has returned it */
  const lctx_link* waiters; /* of its owner: coroutines that wait for it; or NULL */
  uint64_t due_ns;          /* when it is reported */
  bool heard, queued;
} lctx_failure;

/* Replaces an error and its traceback, which are on top, by a failure of the owner at that index, with
 * its list of waiters or NULL. Without memory it leaves only the error, and returns NULL. */
lctx_failure* lctx_push_failure(lua_State* L, lctx_state* S, const char* hook, int owner,
                                const lctx_link* waiters);
/* The failure on top may have lost its last waiter. */
void lctx_unawaited(lua_State* L, lctx_state* S, lctx_failure* f);
/* A wait has returned the error. */
void lctx_hear(lua_State* L, lctx_state* S, lctx_failure* f);
/* Reports those whose time has come, or all, except failures with waiters. */
void lctx_tell_failures(lua_State* L, lctx_state* S, bool all);
/* Replaces the failure on top by one of its user values. If it is NULL, the error itself is on top. */
void lctx_open_up(lua_State* L, const lctx_failure* failure, int value);
