/* SPDX-License-Identifier: MIT */
/* May include: ground, context. */
#pragma once

/* Values of contexts, and their keys. */
#include "context/context.h"

int lctx_context_value(lua_State* L); /* c:value(key) */
/* Pushes the name of the key of a value: that of ctx.key, or its type. */
void lctx_pushkeyname(lua_State* L, lctx_state* S, lctx_context* value);
