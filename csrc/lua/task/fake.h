/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

#include "loop.h"

#pragma GCC visibility push(hidden)

/* Nothing is ready, and the clock is one that is moved by hand. Lets the next thing happen. */
enum lctx_loop lctx_let_time_pass(lua_State* L, lctx_state* S);

#pragma GCC visibility pop
