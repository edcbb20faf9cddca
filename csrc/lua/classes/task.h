/* SPDX-License-Identifier: MIT */
#ifndef LCTX_TASK_H
#define LCTX_TASK_H

/* The handles of tasks. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* The handle of a task, a userdata. User value 1: packed results, or what it failed with. */
typedef struct {
  const void* tag;
  lctx_task* task;   /* NULL once it is over */
  lctx_link waiters; /* coroutines in t:wait(); the list's sentinel */
  bool failed;
  struct lctx_failure* failure; /* NULL also if there was no memory for one */
} lctx_handle;

/* The task at `arg`, or an argument error. */
lctx_handle* lctx_checkhandle(lua_State* L, int arg);
/* Tells the holder of the handle that the task is over, with the values on its stack. */
void lctx_task_over(lua_State* L, lctx_task* t, int nresults);
/* Takes the traceback of a task's error out of its place; pushes it, or nil. */
void lctx_push_trace(lua_State* L, lctx_task* t);
/* Frees the records of parked coroutines that their owners have closed: no one else tells of it. */
void lctx_reclaim(lua_State* L, lctx_state* S);
void lctx_open_task(lua_State* L, lctx_state* S);

#pragma GCC visibility pop

#endif
