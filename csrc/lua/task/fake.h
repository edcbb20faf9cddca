/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

#include "loop.h"

/* With a test's clock, when no coroutine is ready: moves the clock to the next event. */
enum lctx_loop lctx_let_time_pass(lua_State* L, lctx_state* S);
