/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context, task. */
#pragma once

/* The handles of tasks. */
#include "task/record.h"

/* The handle of a task, a userdata. User value 1: packed results, or its failure. */
typedef struct {
  lctx_owner owner;
  lctx_task* task;   /* NULL once it has ended */
  lctx_link waiters; /* coroutines in t:wait(); the list's sentinel */
  bool failed;
  struct lctx_failure* failure; /* NULL also if there was no memory for one */
} lctx_handle;

/* The task at `arg`, or an argument error. */
lctx_handle* lctx_checkhandle(lua_State* L, int arg);
/* Pushes the error of a task that raised, and its traceback. There is always an error: the waiter
 * must be able to tell `error(nil)` from a task that returned nil. */
void lctx_push_task_error(lua_State* L, lctx_task* t);
/* Takes the traceback of a task's error out of its place; pushes it, or nil. */
void lctx_push_trace(lua_State* L, lctx_task* t);
/* "ready", "running" or "waiting". */
const char* lctx_status_of(const lctx_task* t);
/* Pushes where the task was started, "file:line:", if that is known. */
bool lctx_push_spawn(lua_State* L, lctx_task* t);
