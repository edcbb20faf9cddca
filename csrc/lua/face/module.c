/* SPDX-License-Identifier: MIT */
/* The module ctx.core: makes the record of a state, and opens all parts of the binding in it; closes them
 * with the state. */
#include "enter.h"
#include "host.h"
#include "report/live.h"
#include "task/alarm.h"
#include "task/drive.h"
#include "task/gone.h"
#include "task/record.h"

/* Before 5.4.3 a <close> variable cannot wait; up to then finalizers could hang at the end, too. */
#if LUA_VERSION_NUM == 504 && LUA_VERSION_RELEASE_NUM < 50404
#error "ctx needs Lua 5.4.4 or later"
#elif LUA_VERSION_NUM < 504
#error "ctx needs Lua 5.4.4 or later; is LUA_INCDIR the folder of another Lua's headers?"
#endif

/* Only frees what Lua does not: finalizers of others may still run, and use contexts, after this
 * one. They find everything in place but the means to wait. */
static void close_state(lua_State* L, lctx_state* S) {
  if (S->closed) return;
  S->closed = true;
  ctx_tree_close(&S->tree);
  lctx_close_records(S);
  lctx_close_alarms(S);
  lctx_close_host(S);
  void* data;
  lua_Alloc alloc = lua_getallocf(L, &data);
  alloc(data, S->slots, S->slots_size * sizeof *S->slots, 0);
  S->slots = NULL;
  S->slots_size = S->slots_top = S->slots_free = 0;
}

static int state_gc(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_touserdata(L, 1);
  close_state(L, S);
  /* One that could not be opened when out of memory leaves nothing; others are needed to the end. */
  for (int i = 0; i < LCTX_REF_COUNT && !S->whole; i++) {
    luaL_unref(L, LUA_REGISTRYINDEX, S->ref[i]);
  }
  return 0;
}

static int guard_gc(lua_State* L) {
  close_state(L, (lctx_state*)lua_touserdata(L, lua_upvalueindex(1)));
  return 0;
}

/* core.guard(): called once luv is loaded. Finalizers run in the reverse order of their making, and
 * luv's own runs the loop once more, with callbacks: ours must come before that. */
static int core_guard(lua_State* L) {
  static const char guard_key = 0;
  /* One only: a second would have the first collected, and that would close the state. */
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key) != LUA_TNIL) return 0;
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_STATE));
  lua_pushcclosure(L, guard_gc, 1);
  lua_setfield(L, -2, "__gc");
  /* Kept before it gets its finalizer: should that fail, nothing is closed. */
  lua_pushvalue(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
  lua_setmetatable(L, -2);
  return 0;
}

static void set_weak(lua_State* L, const char* mode) {
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

static void make_tables(lua_State* L, lctx_state* S) {
  static const struct {
    enum lctx_ref ref;
    const char* weak;
  } tables[] = {
      {LCTX_REF_CONTEXT, NULL}, {LCTX_REF_SHELTERED, NULL}, {LCTX_REF_CANCEL, NULL},
      {LCTX_REF_TASK, NULL},    {LCTX_REF_GENERATOR, NULL}, {LCTX_REF_FAILURE, NULL},
      {LCTX_REF_KEY, NULL},     {LCTX_REF_QUEUE, NULL},     {LCTX_REF_SEMAPHORE, NULL},
      {LCTX_REF_GROUP, NULL},   {LCTX_REF_AFTER, NULL},     {LCTX_REF_LIVE, "v"},
      {LCTX_REF_KNOWN, "v"},    {LCTX_REF_CHECKED, "v"},    {LCTX_REF_LINES, NULL},
      {LCTX_REF_NAMES, "k"},    {LCTX_REF_CANCELLERS, "k"}, {LCTX_REF_BUDGETS, "k"},
      {LCTX_REF_TRACES, NULL},  {LCTX_REF_SPAWNS, NULL},    {LCTX_REF_AFTERS, NULL},
      {LCTX_REF_NODES, NULL},   {LCTX_REF_SHARED, NULL},    {LCTX_REF_HOOKS, NULL},
      {LCTX_REF_OWNERS, "k"},   {LCTX_REF_GUARD, NULL},
  };
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    lua_newtable(L);
    if (tables[i].weak != NULL) set_weak(L, tables[i].weak);
    lctx_setref(L, S, tables[i].ref);
  }
}

static lctx_state* make_state(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_newuserdatauv(L, sizeof *S, 1);
  *S = (lctx_state){.alarm_ns = CTX_NEVER,
                    .armed_ns = CTX_NEVER,
                    .end_ns = CTX_NEVER,
                    .driven = LCTX_NOT_DRIVEN,
                    .wake_fd = -1,
                    .poll_fd = -1};
  for (int i = 0; i < LCTX_REF_COUNT; i++) S->ref[i] = LUA_NOREF;
  lctx_list_init(&S->run);
  lctx_list_init(&S->turn);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  S->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  S->afters.ref = LCTX_REF_AFTERS;
  S->nodes.ref = LCTX_REF_NODES;
  ctx_tree_init(&S->tree, &lctx_host, S);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  make_tables(L, S);
  S->luv = lua_newthread(L);
  lctx_setref(L, S, LCTX_REF_LUV);
  return S;
}

/* core.shared(name): the table of this name, one per Lua state, also for a second instance of the
 * module that asks (busted loads modules anew for each file). */
static int core_shared(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  luaL_checkstring(L, 1);
  lctx_pushref(L, S, LCTX_REF_SHARED);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
  return 1;
}

/* core.sentinels(canceled, deadline_exceeded): what c:err() answers. */
static int core_sentinels(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 2);
  S->canceled = lua_topointer(L, 1);
  lctx_setref(L, S, LCTX_REF_DEADLINE_EXCEEDED);
  lctx_setref(L, S, LCTX_REF_CANCELED);
  return 0;
}

/* core.hook(name, fn): a function of the Lua side that C calls by this name. */
static int core_hook(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 2);
  lctx_pushref(L, S, LCTX_REF_HOOKS);
  lua_insert(L, 1);
  lua_rawset(L, 1);
  return 0;
}

/* core.on_main(fn, …) → what fn returns, called on the main thread's stack: luv before 1.45 keeps the
 * thread that loads it, which a collected coroutine would take with it. */
static int core_on_main(lua_State* L) {
  lua_State* main = lctx_upstate(L)->main;
  int nargs = lua_gettop(L) - 1;
  if (!lua_checkstack(main, nargs + LUA_MINSTACK)) return luaL_error(L, "stack overflow");
  lua_xmove(L, main, nargs + 1);
  int base = lua_gettop(main) - nargs - 1;
  int status = lctx_enter_plain(main, nargs, LUA_MULTRET);
  int n = lua_gettop(main) - base;
  luaL_checkstack(L, n, "too many results");
  lua_xmove(main, L, n);
  return status == LUA_OK ? n : lua_error(L);
}

/* Forgets all lines: places are used again, and without debugging nobody would correct them. */
static void forget_lines(lua_State* L, lctx_state* S) {
  static const enum lctx_ref tables[] = {LCTX_REF_LINES, LCTX_REF_SPAWNS};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    lua_newtable(L);
    lctx_setref(L, S, tables[i]);
  }
}

/* core.debug([on]): answers whether debugging was on before. */
static int core_debug(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  bool before = S->debug;
  if (!lua_isnoneornil(L, 1) && before != lua_toboolean(L, 1)) {
    forget_lines(L, S);
    S->debug = !before;
  }
  lua_pushboolean(L, before);
  return 1;
}

/* With room for more fields than there are: for a request of this size glibc merges, once, the small
 * pieces that a wave of coroutines has left. Smaller ones look through ten thousand of these each, half
 * a millisecond, in each of the next dozens of calls. */
enum { ROOM = 40 };

static int core_counters(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  ctx_counters_t counters;
  lctx_live_scan(L, S);
  lctx_reclaim_all(L, S);
  ctx_counters(&S->tree, &counters);
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {
      {"derived", counters.derived},
      {"canceled", counters.canceled},
      {"expired", counters.expired},
      {"linked", counters.linked},
      {"watchers", counters.watchers},
      {"deadlines", counters.deadlines},
      {"lost", S->lost},
      {"tasks", S->tasks},
      {"parked", S->parked},
      {"external", S->external},
      {"failures", S->failures},
  };
  lua_createtable(L, 0, ROOM);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    lua_pushinteger(L, (lua_Integer)rows[i].value);
    lua_setfield(L, -2, rows[i].name);
  }
  return 1;
}

static const luaL_Reg functions[] = {
    {"shared", core_shared},     {"guard", core_guard},     {"sentinels", core_sentinels},
    {"hook", core_hook},         {"debug", core_debug},     {"debugging", core_debug},
    {"counters", core_counters}, {"on_main", core_on_main}, {NULL, NULL}};

/* Of two copies in one Lua state, such as a host program's and a rock's, each would take the other's
 * contexts and coroutines for something strange. */
static void refuse_copy(lua_State* L) {
  static const char name[] = "ctx.core";
  lua_getfield(L, LUA_REGISTRYINDEX, name);
  if (!lua_isnil(L, -1) && lua_touserdata(L, -1) != &lctx_key) {
    luaL_error(L,
               "ctx.core: another copy of this library is open in this Lua state; load one only");
  }
  lua_pushlightuserdata(L, (void*)&lctx_key);
  lua_setfield(L, LUA_REGISTRYINDEX, name);
  lua_pop(L, 1);
}

/* All that has functions or objects in Lua, room by room. Each has a function of this name in its file. */
/* clang-format off */
#define PARTS(PART)                                                                                \
  PART(loop)                                                                                       \
  PART(where) PART(traceback) PART(quiet) PART(live) PART(failure)                                 \
  PART(context) PART(derive) PART(cancel) PART(value)                                              \
  PART(record) PART(sched) PART(turn) PART(wait) PART(await) PART(gone) PART(leave) PART(wrap) PART(drive)     \
  PART(fake)                                                                                       \
  PART(after) PART(task) PART(tasks) PART(queue) PART(semaphore) PART(group)
/* clang-format on */
#define DECLARE(part) void lctx_open_##part(lua_State* L, lctx_state* S);
#define OPEN(part)    lctx_open_##part(L, S);

PARTS(DECLARE)

static void open_state(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lctx_key);
  bool first = lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!first) return;
  refuse_copy(L);
  lctx_state* S = make_state(L);
  lua_newtable(L);
  lctx_register(L, S, functions);
  lua_pushfstring(L, "ctx %d.%d.%d", CTX_VERSION_MAJOR, CTX_VERSION_MINOR, CTX_VERSION_PATCH);
  lua_setfield(L, -2, "_VERSION");
  PARTS(OPEN)
  /* Only a state that is whole goes into the registry. */
  lua_setiuservalue(L, -2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lctx_key);
  S->whole = true;
}

int luaopen_ctx_core(lua_State* L) {
  open_state(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lctx_key);
  lua_getiuservalue(L, -1, 1);
  return 1;
}
