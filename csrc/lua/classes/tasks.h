/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task, classes. */
#pragma once

/* All tasks at once, for reports and tests; the first two functions are task.c's. */
#include "state.h"

#pragma GCC visibility push(hidden)

/* "ready", "running" or "waiting". */
const char* lctx_status_of(const lctx_task* t);
/* Pushes where the task was started, "file:line:", if that is known. */
bool lctx_push_spawn(lua_State* L, lctx_task* t);

#pragma GCC visibility pop
