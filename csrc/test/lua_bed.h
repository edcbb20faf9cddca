/* SPDX-License-Identifier: MIT */
#pragma once

/* A Lua state for a test. Its allocator counts the memory in use, and fails on demand. Tests run in the
 * project's folder, where the Lua modules are, with the system's luv. */

#include <ctx/lua.h>
#include <lauxlib.h>
#include <lualib.h>

#include "harness.h"

typedef struct bed_s {
  lua_State* L;
  size_t bytes;   /* in use */
  unsigned count; /* requests made */
  unsigned fail;  /* this one fails, and Lua's retry of it; 0: none */
} bed_t;

/* In front of everything: two states' causes must not be mixed up, nor their trees. */
typedef struct reason_s {
  ctx_cause_t cause;
  const char* text;
  int references; /* of the library */
} reason_t;

static inline void reason_retain(ctx_cause_t* cause) {
  ((reason_t*)cause)->references++;
}

static inline void reason_release(ctx_cause_t* cause) {
  ((reason_t*)cause)->references--;
}

static inline const char* reason_message(const ctx_cause_t* cause) {
  return ((const reason_t*)cause)->text;
}

static const ctx_cause_ops_t reason_ops = {reason_retain, reason_release, reason_message};

static inline reason_t reason_of(const char* text) {
  return (reason_t){{&reason_ops}, text, 0};
}

static inline void* bed_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  bed_t* bed = (bed_t*)data;
  if (block == NULL) old_size = 0; /* Lua puts the object's type there */
  if (new_size > old_size) {
    bed->count++;
    if (bed->fail != 0 && (bed->count == bed->fail || bed->count == bed->fail + 1)) return NULL;
  }
  void* moved = NULL;
  if (new_size == 0) {
    free(block);
  } else {
    moved = realloc(block, new_size);
    ASSERT(moved != NULL);
  }
  bed->bytes += new_size - old_size;
  return moved;
}

/* Runs a chunk with the values on top for arguments; leaves its one result. */
static inline void bed_run(bed_t* bed, const char* code, int nargs) {
  lua_State* L = bed->L;
  if (luaL_loadstring(L, code) != LUA_OK) test_fail(code, 0, "%s", lua_tostring(L, -1));
  lua_insert(L, -nargs - 1);
  if (lua_pcall(L, nargs, 1, 0) != LUA_OK) test_fail(code, 0, "%s", luaL_tolstring(L, -1, NULL));
}

static inline void bed_do(bed_t* bed, const char* code) {
  bed_run(bed, code, 0);
  lua_pop(bed->L, 1);
}

/* ASSERTs that the expression is true in Lua. */
static inline void bed_assert(bed_t* bed, const char* expression) {
  lua_pushfstring(bed->L, "return %s", expression);
  bed_run(bed, lua_tostring(bed->L, -1), 0);
  if (!lua_toboolean(bed->L, -1)) test_fail(expression, 0, "false in Lua");
  lua_pop(bed->L, 2);
}

static lua_State* bed_keeper;

static inline void bed_close_keeper(void) {
  lua_close(bed_keeper);
}

/* luv takes a thread key each time it is loaded, and there are 1024: a state that lives as long as
 * the process keeps it loaded. */
static inline void bed_keep_luv(void) {
  if (bed_keeper != NULL) return;
  bed_keeper = luaL_newstate();
  ASSERT(bed_keeper != NULL);
  luaL_openlibs(bed_keeper);
  ASSERT_EQ(luaL_dostring(bed_keeper, "require('luv')"), LUA_OK);
  ASSERT_EQ(atexit(bed_close_keeper), 0);
}

/* A state without this library. */
static inline void bed_open_bare(bed_t* bed) {
  bed_keep_luv();
  *bed = (bed_t){NULL, 0, 0, 0};
  bed->L = lua_newstate(bed_alloc, bed);
  ASSERT(bed->L != NULL);
  luaL_openlibs(bed->L);
  bed_do(bed, "package.path = 'lua/?.lua;lua/?/init.lua;' .. package.path");
}

/* Opens the library in a bare state, as programs do. */
static inline void bed_open_library(bed_t* bed) {
  luaL_requiref(bed->L, "ctx.core", luaopen_ctx_core, 0);
  lua_pop(bed->L, 1);
  bed_do(bed, "ctx = require('ctx')");
}

static inline void bed_open(bed_t* bed) {
  bed_open_bare(bed);
  bed_open_library(bed);
}

static inline void bed_close(bed_t* bed) {
  lua_close(bed->L);
  ASSERT_EQ(bed->bytes, 0);
}

/* Pushes a context of C's and makes it a global. */
static inline void bed_push(bed_t* bed, const char* name, ctx_t* c) {
  ctx_lua_push(bed->L, c);
  lua_setglobal(bed->L, name);
}

/* The context in this global, which stays there. */
static inline ctx_t* bed_context(bed_t* bed, const char* name) {
  lua_getglobal(bed->L, name);
  ctx_t* c = ctx_lua_check(bed->L, -1);
  lua_pop(bed->L, 1);
  return c;
}
