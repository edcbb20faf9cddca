/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* The checks of arguments. Each raises at the caller's line an error that names the argument `name`. */
#include "state.h"

int lctx_typeerror(lua_State* L, int arg, const char* name, const char* expected);
int lctx_selferror(lua_State* L, const char* name, const char* expected); /* of a method's self */
/* The object at `arg`, which begins with the address of its class; at 1 the self of a method. */
static inline void* lctx_checkobject(lua_State* L, int arg, size_t size, const void* tag,
                                     const char* name, const char* expected) {
  void* object = lua_touserdata(L, arg);
  if (object == NULL || lua_rawlen(L, arg) < size || *(const void**)object != tag) {
    lctx_selferror(L, name, expected);
  }
  return object;
}
/* Checks that `arg` is a function or a callable object, such as a cancel. */
void lctx_checkcallable(lua_State* L, int arg, const char* name);
static inline void lctx_checkfn(lua_State* L, int arg, const char* name) {
  if (!lua_isfunction(L, arg)) lctx_checkcallable(L, arg, name);
}
/* The time in ms at `arg` as ns, rounded up; CTX_NEVER for math.huge, 0 for negative times. */
uint64_t lctx_checkms(lua_State* L, int arg, const char* name);
