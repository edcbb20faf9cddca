/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The core's host: clocks, wake-ups, memory. */
#include "state.h"

extern const ctx_host_t lctx_host;
/* Makes it possible for other threads to wake the loop. May raise. */
void lctx_open_wake(lua_State* L, lctx_state* S);
void lctx_close_host(lctx_state* S);
/* The time, at most a few ms old and cheap to read; exact on a test's clock. */
uint64_t lctx_coarse_ns(const lctx_state* S);
/* Whether the loop should have its turn. */
bool lctx_turn_due(const lctx_state* S);
/* The system's clock, also while a test's clock is used. */
uint64_t lctx_real_ns(const lctx_state* S);
