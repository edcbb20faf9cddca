/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context. */
#pragma once

/* The functions that make contexts. */
#include "context/context.h"

/* Pushes a context below `parent`, which is at stack index 1, as with_cancel does, but without a cancel:
 * the caller cancels it. */
lctx_node* lctx_push_derived(lua_State* L, lctx_context* parent);
