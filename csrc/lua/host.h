/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* What the core asks for: clocks, wake-ups, memory. */
#include "state.h"

#pragma GCC visibility push(hidden)

extern const ctx_host_t lctx_host;
/* Sees to it that other threads can wake the loop. May raise. */
void lctx_open_wake(lua_State* L, lctx_state* S);
void lctx_close_host(lctx_state* S);
/* The time, a few ms old at most and cheap to read; exact on a hand-moved clock. */
uint64_t lctx_coarse_ns(const lctx_state* S);
/* Whether the loop should have its turn. */
bool lctx_turn_due(const lctx_state* S);
/* The system's clock, also while another one is moved by hand. */
uint64_t lctx_real_ns(const lctx_state* S);

#pragma GCC visibility pop
