/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

#include "state.h"

#pragma GCC visibility push(hidden)

void lctx_open_quiet(lua_State* L, lctx_state* S);

#pragma GCC visibility pop
