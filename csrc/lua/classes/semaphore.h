/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task, line. */
#ifndef LCTX_SEMAPHORE_H
#define LCTX_SEMAPHORE_H

#include "state.h"

#pragma GCC visibility push(hidden)

void lctx_open_semaphore(lua_State* L, lctx_state* S);

#pragma GCC visibility pop

#endif
