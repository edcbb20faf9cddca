/* SPDX-License-Identifier: MIT */
/* lua-static: a Lua interpreter for tests, with luv and libuv linked in and hidden, as in a
 * program that brings its own libuv, and with an allocator that fails or collects on demand.
 *
 *   lua-static [-e CODE]... [SCRIPT [ARGS]...]
 *
 * Its collector is incremental, as a new Lua state's is; lua5.4 itself switches to generational.
 *
 * `require "alloc"` gives the allocator control:
 *   alloc.fail_after(n)   the n-th request from now fails, and so do the next thousand
 *   alloc.fail_once(n)    only the n-th request fails (for good: Lua's retry of it fails too)
 *   alloc.collect(k)      Lua's every k-th request triggers a full emergency collection first;
 *                         true is 1, false is none
 *   alloc.count()         requests counted since the last fail_after, fail_once or reset
 *   alloc.bytes()         the bytes in use now, of Lua's and of others that share its allocator
 *   alloc.peak()          the most that were in use at a time since the last call of it
 *   alloc.lost()          finalizers that failed so far: those that Lua had no memory to call, too
 *   alloc.reset()         back to normal; returns alloc.count()
 *   alloc.call(fn, ...)   as pcall, and back to normal when it returns: to call a function, even
 *                         alloc.reset, may run out of memory itself
 *
 * A request is a new block or a growing one: Lua takes for granted that shrinking cannot fail. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* Of luv.h, which would need uv.h. */
enum { LUVF_CALLBACK_NOEXIT = 1 };
typedef int (*luv_CFpcall)(lua_State* L, int nargs, int nresults, int flags);
int luaopen_luv(lua_State* L);
int luv_cfpcall(lua_State* L, int nargs, int nresults, int flags);
void luv_set_callback(lua_State* L, luv_CFpcall call_back);

/* The allocator's state: lives in main, reaches everyone as Lua's allocator argument. */
typedef struct lab_s {
  uint64_t count;     /* requests since the last command; a retry is no request of its own */
  uint64_t fail_from; /* the request that fails, from 1; 0: none */
  bool fail_on;       /* and the next ones */
  uint64_t collect; /* deny Lua's first attempt at every so many, so that it collects and retries */
  size_t bytes;     /* in use */
  size_t peak;      /* the most of them */
  uint64_t lost;    /* finalizers that failed */

  /* The request that was denied last: when Lua comes again with the same, it is the retry. */
  bool denied;
  bool denied_for_good;
  void* ptr;
  size_t old_size, new_size;

  bool from_lua; /* the request comes from Lua's memory manager, which retries */
} lab_t;

/* A shortage ends: a program that goes on until it has what it needs is not in the wrong. */
enum { SHORTAGE = 1000 };

static void* reallocate(lab_t* lab, void* ptr, size_t old_size, size_t new_size) {
  void* moved = NULL;
  if (new_size == 0) {
    free(ptr);
  } else {
    moved = realloc(ptr, new_size);
    if (moved == NULL) return NULL;
  }
  lab->bytes += new_size - old_size;
  if (lab->bytes > lab->peak) lab->peak = lab->bytes;
  return moved;
}

static bool is_retry(const lab_t* lab, const void* ptr, size_t old_size, size_t new_size) {
  return lab->denied && lab->from_lua && lab->ptr == ptr && lab->old_size == old_size &&
         lab->new_size == new_size;
}

/* Whether this request, just counted, is one that the test wants to fail. */
static bool must_fail(const lab_t* lab) {
  if (lab->fail_from == 0) return false;
  if (!lab->fail_on) return lab->count == lab->fail_from;
  return lab->count >= lab->fail_from && lab->count - lab->fail_from <= SHORTAGE;
}

static void* deny(lab_t* lab, void* ptr, size_t old_size, size_t new_size, bool for_good) {
  lab->denied = true;
  lab->denied_for_good = for_good;
  lab->ptr = ptr;
  lab->old_size = old_size;
  lab->new_size = new_size;
  return NULL;
}

static void* lab_alloc(void* ud, void* ptr, size_t old_size, size_t new_size) {
  lab_t* lab = ud;
  /* For a new block, Lua puts the object's type where the old size stands. */
  if (ptr == NULL) old_size = 0;
  if (new_size <= old_size) return reallocate(lab, ptr, old_size, new_size);

  if (is_retry(lab, ptr, old_size, new_size)) {
    lab->denied = false;
    lab->from_lua = false; /* the memory manager may leave by longjmp now */
    return lab->denied_for_good ? NULL : reallocate(lab, ptr, old_size, new_size);
  }
  lab->denied = false;
  lab->count++;
  if (must_fail(lab)) return deny(lab, ptr, old_size, new_size, true);
  /* Only Lua's memory manager retries; others (luaL_Buffer, the core) would see a failure. */
  if (lab->from_lua && lab->collect > 0 && lab->count % lab->collect == 0) {
    return deny(lab, ptr, old_size, new_size, false);
  }
  return reallocate(lab, ptr, old_size, new_size);
}

/* ---- the memory manager's doors, wrapped by the linker (--wrap) ---- */

/* The states that luv makes for its threads have an allocator of their own, and nothing to try. */
static lab_t* lab_of(lua_State* L) {
  static _Thread_local lab_t elsewhere;
  void* ud;
  return lua_getallocf(L, &ud) == lab_alloc ? ud : &elsewhere;
}

/* Doors nest: the collection before a retry comes through them too. */
#define THROUGH_DOOR(type, call)                                                                   \
  lab_t* lab = lab_of(L);                                                                          \
  bool outer = lab->from_lua;                                                                      \
  lab->from_lua = true;                                                                            \
  type result = call;                                                                              \
  lab->from_lua = outer;                                                                           \
  return result

void* __real_luaM_malloc_(lua_State* L, size_t size, int tag);
void* __real_luaM_realloc_(lua_State* L, void* block, size_t osize, size_t nsize);
void* __real_luaM_saferealloc_(lua_State* L, void* block, size_t osize, size_t nsize);
void* __real_luaM_growaux_(lua_State* L, void* block, int nelems, int* size, int size_elem,
                           int limit, const char* what);
void* __real_luaM_shrinkvector_(lua_State* L, void* block, int* size, int final_n, int size_elem);

void* __wrap_luaM_malloc_(lua_State* L, size_t size, int tag) {
  THROUGH_DOOR(void*, __real_luaM_malloc_(L, size, tag));
}

void* __wrap_luaM_realloc_(lua_State* L, void* block, size_t osize, size_t nsize) {
  THROUGH_DOOR(void*, __real_luaM_realloc_(L, block, osize, nsize));
}

void* __wrap_luaM_saferealloc_(lua_State* L, void* block, size_t osize, size_t nsize) {
  THROUGH_DOOR(void*, __real_luaM_saferealloc_(L, block, osize, nsize));
}

void* __wrap_luaM_growaux_(lua_State* L, void* block, int nelems, int* size, int size_elem,
                           int limit, const char* what) {
  THROUGH_DOOR(void*, __real_luaM_growaux_(L, block, nelems, size, size_elem, limit, what));
}

void* __wrap_luaM_shrinkvector_(lua_State* L, void* block, int* size, int final_n, int size_elem) {
  THROUGH_DOOR(void*, __real_luaM_shrinkvector_(L, block, size, final_n, size_elem));
}

/* ---- the module `alloc` ---- */

static int nothing(lua_State* L) {
  (void)L;
  return 0;
}

/* Lets Lua make its call records for this depth and the next now, so that calling `pcall` or
 * `alloc.reset` later, with a failing allocator, does not need memory itself. */
static void warm_up(lua_State* L) {
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
  luaL_checkstack(L, 2 * LUA_MINSTACK, NULL);
}

static uint64_t restart(lab_t* lab) {
  uint64_t count = lab->count;
  lab->count = 0;
  lab->fail_from = 0;
  lab->fail_on = false;
  lab->denied = false;
  return count;
}

static int fail_from(lua_State* L, bool fail_on) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n > 0, 1, "counts from 1");
  warm_up(L);
  lab_t* lab = lab_of(L);
  restart(lab);
  lab->fail_from = (uint64_t)n;
  lab->fail_on = fail_on;
  return 0;
}

static int alloc_fail_after(lua_State* L) {
  return fail_from(L, true);
}

static int alloc_fail_once(lua_State* L) {
  return fail_from(L, false);
}

static int alloc_collect(lua_State* L) {
  lua_Integer every = lua_isboolean(L, 1) ? lua_toboolean(L, 1) : luaL_checkinteger(L, 1);
  luaL_argcheck(L, every >= 0, 1, "counts from 1");
  lab_of(L)->collect = (uint64_t)every;
  return 0;
}

static int alloc_count(lua_State* L) {
  lua_pushinteger(L, (lua_Integer)lab_of(L)->count);
  return 1;
}

static int alloc_bytes(lua_State* L) {
  lua_pushinteger(L, (lua_Integer)lab_of(L)->bytes);
  return 1;
}

static int alloc_peak(lua_State* L) {
  lab_t* lab = lab_of(L);
  lua_pushinteger(L, (lua_Integer)lab->peak);
  lab->peak = lab->bytes;
  return 1;
}

/* What Lua warns of comes in pieces: one of them is "__gc", when a finalizer has failed. */
static void on_warning(void* ud, const char* piece, int more) {
  (void)more;
  if (strcmp(piece, "__gc") == 0) ((lab_t*)ud)->lost++;
}

static int alloc_lost(lua_State* L) {
  lua_pushinteger(L, (lua_Integer)lab_of(L)->lost);
  return 1;
}

static int alloc_reset(lua_State* L) {
  lab_t* lab = lab_of(L);
  lab->collect = 0;
  lua_pushinteger(L, (lua_Integer)restart(lab));
  return 1;
}

static int called(lua_State* L, int status, lua_KContext context) {
  (void)context;
  lab_t* lab = lab_of(L);
  lab->collect = 0;
  restart(lab);
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
  lua_pushboolean(L, false);
  lua_insert(L, -2);
  return 2;
}

static int alloc_call(lua_State* L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, true);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, called);
  return called(L, status, 0);
}

/* luv ends the process when a callback runs out of memory, unless the program wants otherwise. */
static int call_back(lua_State* L, int nargs, int nresults, int flags) {
  return luv_cfpcall(L, nargs, nresults, flags | LUVF_CALLBACK_NOEXIT);
}

static int open_luv(lua_State* L) {
  luv_set_callback(L, call_back);
  return luaopen_luv(L);
}

static int luaopen_alloc(lua_State* L) {
  static const luaL_Reg functions[] = {
      {"fail_after", alloc_fail_after},
      {"fail_once", alloc_fail_once},
      {"collect", alloc_collect},
      {"count", alloc_count},
      {"bytes", alloc_bytes},
      {"peak", alloc_peak},
      {"lost", alloc_lost},
      {"reset", alloc_reset},
      {"call", alloc_call},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}

/* ---- the interpreter ---- */

typedef struct args_s {
  int argc;
  char** argv;
} args_t;

static int traceback(lua_State* L) {
  const char* message = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, message, 1);
  return 1;
}

static void preload(lua_State* L, const char* name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* Makes the global `arg`, with the script at 0, as lua does. */
static void set_arg(lua_State* L, const args_t* args, int script) {
  lua_createtable(L, args->argc, 0);
  for (int i = 0; i < args->argc; i++) {
    lua_pushstring(L, args->argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

static void run_chunk(lua_State* L, int load_status, int nargs) {
  if (load_status != LUA_OK) lua_error(L);
  lua_insert(L, -(nargs + 1));
  lua_call(L, nargs, 0);
}

static int pmain(lua_State* L) {
  const args_t* args = lua_touserdata(L, 1);
  luaL_openlibs(L);
  preload(L, "luv", open_luv);
  preload(L, "alloc", luaopen_alloc);
  lua_settop(L, 0);

  int i = 1;
  while (i < args->argc && strcmp(args->argv[i], "-e") == 0) i += 2;
  set_arg(L, args, i < args->argc ? i : 0);
  for (int k = 2; k < i; k += 2) {
    if (k >= args->argc) return luaL_error(L, "'-e' needs a chunk of code");
    run_chunk(L, luaL_loadbuffer(L, args->argv[k], strlen(args->argv[k]), "=(command line)"), 0);
  }
  if (i >= args->argc) return 0;

  int nargs = args->argc - i - 1;
  luaL_checkstack(L, nargs + 1, "too many arguments to script");
  for (int k = i + 1; k < args->argc; k++) lua_pushstring(L, args->argv[k]);
  run_chunk(L, luaL_loadfile(L, args->argv[i]), nargs);
  return 0;
}

int main(int argc, char** argv) {
  lab_t lab = {0};
  args_t args = {argc, argv};
  lua_State* L = lua_newstate(lab_alloc, &lab);
  if (L == NULL) {
    fprintf(stderr, "lua-static: not enough memory\n");
    return EXIT_FAILURE;
  }
  lua_setwarnf(L, on_warning, &lab);
  lua_pushcfunction(L, traceback);
  lua_pushcfunction(L, pmain);
  lua_pushlightuserdata(L, &args);
  int status = lua_pcall(L, 1, 0, 1);
  restart(&lab);
  lab.collect = 0;
  if (status != LUA_OK) fprintf(stderr, "lua-static: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
