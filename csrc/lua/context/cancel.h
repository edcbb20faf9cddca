/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context. */
#pragma once

/* The class of cancels. */
#include "context/context.h"

typedef struct {
  const void* tag;
  lctx_context* of;
} lctx_cancel;

void lctx_pushcancel(lua_State* L, lctx_context* c); /* of the context on top */
/* Cancels the context at `index` with the cause at `cause`, unless that is nil. */
void lctx_cancel_context(lua_State* L, int index, int cause);
