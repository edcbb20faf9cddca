/* SPDX-License-Identifier: MIT */
/* Lua states that end, at any moment, and Lua states whose memory fails while they begin. */
#include <ctx/lua.h>
#include <pthread.h>

#include "lua_bed.h"

/* -- Contexts of C, when the state goes ---------------------------------------------------------- */

TEST(contexts_of_c_may_be_released_before_the_state_is_closed) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("over");
  ctx_t parent, child;
  ctx_with_cancel(&parent, ctx_background(ctx_lua_tree(bed.L)));
  ctx_with_cancel(&child, &parent);
  bed_push(&bed, "c", &child);
  bed_do(&bed, "ctx.go(function() c:wait() end) require('luv').run('nowait')");
  ctx_cancel(&parent, &reason.cause);
  ctx_release(&child);
  ctx_release(&parent);
  bed_close(&bed);
  ASSERT_EQ(reason.references, 0);
}

static void never(ctx_watcher_t* w) {
  (void)w;
  ASSERT(!"called by a state that was closed");
}

TEST(contexts_of_c_that_nobody_released_go_with_the_state) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_watcher_t watcher = {0};
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  ASSERT_EQ(ctx_watch(&c, &watcher, never), 0);
  bed_do(&bed, "d = ctx.with_timeout(c, 1) ctx.after_func(d, print)");
  bed_close(&bed);
}

TEST(a_flag_outlives_its_state) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("too late");
  ctx_t live, done;
  ctx_tree_t* tree = ctx_lua_tree(bed.L);
  ctx_with_cancel(&live, ctx_background(tree));
  ctx_with_cancel(&done, ctx_background(tree));
  ctx_flag_t *of_live = ctx_share(&live), *of_done = ctx_share(&done);
  ASSERT(of_live != NULL && of_done != NULL);
  ctx_cancel(&done, NULL);
  ctx_release(&done);
  bed_close(&bed);
  ASSERT_EQ(ctx_flag_err(of_live), 0);
  ASSERT_EQ(ctx_flag_err(of_done), CTX_CANCELED);
  ASSERT(!ctx_cancel_async(of_live, &reason.cause));
  ctx_flag_release(of_live);
  ctx_flag_release(of_done);
  ASSERT_EQ(reason.references, 0);
}

TEST(a_cancel_that_was_on_its_way_lets_go_of_its_cause) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("on its way");
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  ctx_flag_t* flag = ctx_share(&c);
  reason.references = 1;
  ASSERT(ctx_cancel_async(flag, &reason.cause));
  bed_close(&bed);
  ASSERT_EQ(reason.references, 0);
  ctx_flag_release(flag);
}

enum { HAMMERS = 4 };

static void* hammer(void* flag) {
  while (ctx_flag_err((ctx_flag_t*)flag) == 0 && ctx_cancel_async((ctx_flag_t*)flag, NULL)) {
  }
  return NULL;
}

TEST(other_threads_may_cancel_while_the_state_is_closed) {
  for (unsigned round = test_rounds(20); round > 0; round--) {
    bed_t bed;
    bed_open(&bed);
    ctx_t c[HAMMERS];
    ctx_flag_t* flags[HAMMERS];
    pthread_t threads[HAMMERS];
    for (int i = 0; i < HAMMERS; i++) {
      ctx_with_cancel(&c[i], ctx_background(ctx_lua_tree(bed.L)));
      flags[i] = ctx_share(&c[i]);
      ASSERT_EQ(pthread_create(&threads[i], NULL, hammer, flags[i]), 0);
    }
    bed_close(&bed);
    for (int i = 0; i < HAMMERS; i++) {
      ASSERT_EQ(pthread_join(threads[i], NULL), 0);
      ctx_flag_release(flags[i]);
    }
  }
}

/* -- Waits of every kind, when the state goes ------------------------------------------------------ */

/* `park(fn)` starts fn in a coroutine that parks. */
static const char waits[] =
    "local uv, errgroup = require('luv'), require('ctx.errgroup')\n"
    "local c, cancel = ctx.with_timeout(ctx.background(), 60000)\n"
    "keep = { cancel }\n"
    "local sem = require('ctx.semaphore').new(1)\n"
    "assert(sem:acquire(c))\n"
    "local function park(fn)\n"
    "  ctx.go(fn)\n"
    "  coroutine.wrap(fn)()\n"
    "end\n"
    "park(function() ctx.sleep(c, 50000) end)\n"
    "park(function() c:wait() end)\n"
    "park(function() ctx.await(c, function() return uv.new_timer() end) end)\n"
    "park(function() ctx.await(c, function(r) return uv.fs_stat('.', r) end) end)\n"
    "park(function() ctx.await(c, function(r)\n"
    "  local t = uv.new_timer() t:start(60000, 0, r) return t end) end)\n"
    "park(function() sem:acquire(c) end)\n"
    "park(function() ctx.any(c, ctx.background()):wait() end)\n"
    "local sleeper = ctx.go(function() c:wait() end)\n"
    "park(function() sleeper:wait(c) end)\n"
    "park(function()\n"
    "  local g, gctx = errgroup.with_context(c)\n"
    "  g:set_limit(1)\n"
    "  g:go(function() gctx:wait() end)\n"
    "  g:go(function() end)\n"
    "end)\n"
    "park(function()\n"
    "  local closer <close> = setmetatable({}, { __close = function() ctx.sleep(c, 1) end })\n"
    "  c:wait()\n"
    "end)\n"
    "ctx.after_func(c, print)\n"
    "setmetatable({}, { __gc = function() keep[1]('late') ctx.background():err() end })\n";

/* The state is closed after so many turns of the loop. */
static void close_after(int turns, const char* last) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, waits);
  for (int i = 0; i < turns; i++) bed_do(&bed, "require('luv').run('nowait')");
  bed_do(&bed, last);
  bed_close(&bed);
}

TEST(a_state_may_be_closed_with_coroutines_in_every_kind_of_wait) {
  for (int turns = 0; turns < 4; turns++) close_after(turns, "return");
}

TEST(a_state_may_be_closed_when_they_have_just_been_woken) {
  for (int turns = 0; turns < 4; turns++) close_after(turns, "keep[1]('over')");
}

TEST(a_state_may_be_closed_when_all_of_luvs_handles_were) {
  /* With a turn, since luv 1.44 does not survive a state that is closed before its handles are. */
  const char* close_all = "local uv = require('luv')\n"
                          "uv.walk(function(h) if not h:is_closing() then h:close() end end)\n"
                          "uv.run('nowait') keep[1]('over') uv.run('nowait')";
  for (int turns = 0; turns < 4; turns++) close_after(turns, close_all);
}

TEST(finalizers_may_use_contexts_while_the_state_is_closed) {
  bed_t bed;
  bed_open(&bed);
  /* luv's handles are made before: luv does not free those that are made while a state is closed. */
  bed_do(&bed, "ctx.run(function(c) ctx.sleep(c, 1) end)");
  bed_do(&bed, "local c, cancel = ctx.with_timeout(ctx.background(), 1000)\n"
               "local d = ctx.with_value(c, 'key', 'value')\n"
               "local ok = {}\n"
               "for i = 1, 10 do setmetatable({}, { __gc = function()\n"
               "  cancel('late') tostring(d) d:err() d:cause() d:value('key') d:deadline()\n"
               "  pcall(ctx.go, print) pcall(ctx.sleep, d, 1) pcall(ctx.after_func, d, print)\n"
               "  pcall(ctx.with_timeout, d, 5) pcall(ctx.any, c, d) ctx.counters()\n"
               "end }) end\n"
               "keep = { c, d, cancel }");
  bed_close(&bed);
}

/* -- Memory that fails while a state begins ---------------------------------------------------------- */

static int open_core(lua_State* L) {
  luaL_requiref(L, "ctx.core", luaopen_ctx_core, 0);
  return 1;
}

static int require_ctx(lua_State* L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "ctx");
  lua_call(L, 1, 1);
  return 1;
}

/* A program that needs all of it. */
static const char program[] =
    "local ctx = require('ctx')\n"
    "local task\n"
    "ctx.run(function(root)\n"
    "  local c, cancel <close> = ctx.with_timeout(root, 60000)\n"
    "  task = ctx.go(function() return c:wait(), c:cause() end)\n"
    "  assert(ctx.sleep(c, 0))\n"
    "  cancel('enough')\n"
    "  local err, cause = task:wait()\n"
    "  assert(err == ctx.canceled and cause == 'enough')\n"
    "end)\n"
    "local counters = ctx.counters()\n"
    "assert(counters.tasks == 0 and counters.parked == 0 and counters.linked == 0)\n";

static size_t bytes_now(bed_t* bed) {
  lua_gc(bed->L, LUA_GCCOLLECT);
  lua_gc(bed->L, LUA_GCCOLLECT);
  return bed->bytes;
}

/* Lets the n-th request within `fn` fail; true if fn had that many. */
static bool fails_at(bed_t* bed, lua_CFunction fn, unsigned n) {
  lua_pushcfunction(bed->L, fn);
  bed->count = 0;
  bed->fail = n;
  int status = lua_pcall(bed->L, 0, 0, 0);
  bool failed = bed->count >= n;
  bed->fail = 0;
  if (status != LUA_OK) {
    ASSERT(failed);
    lua_pop(bed->L, 1);
  }
  return failed;
}

/* Calls the function of luv's that is the first upvalue; no request fails meanwhile. */
static int spared(lua_State* L) {
  bed_t* bed = (bed_t*)lua_touserdata(L, lua_upvalueindex(2));
  unsigned fail = bed->fail;
  bed->fail = 0;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  bed->fail = fail;
  return lua_gettop(L);
}

/* luv loses the handle that it has made if Lua then has no memory for its userdata. */
static void spare_luv(bed_t* bed) {
  static const char* const names[] = {"new_prepare", "new_timer"};
  bed_do(bed, "luv = require('luv')");
  lua_getglobal(bed->L, "luv");
  for (int i = 0; i < 2; i++) {
    lua_getfield(bed->L, -1, names[i]);
    lua_pushlightuserdata(bed->L, bed);
    lua_pushcclosure(bed->L, spared, 2);
    lua_setfield(bed->L, -2, names[i]);
  }
  lua_pop(bed->L, 1);
}

/* CTX_EVERY=23: under valgrind, which takes a hundred times as long, each 23rd n. */
static unsigned step(void) {
  const char* every = getenv("CTX_EVERY");
  return every != NULL ? (unsigned)strtoul(every, NULL, 10) : 1;
}

/* fn is tried in a new state for each n; then everything must work, and leave nothing. */
static void fail_each(lua_CFunction fn, bool core_first) {
  bool more = true;
  for (unsigned n = 1; more; n += step()) {
    bed_t bed;
    bed_open_bare(&bed);
    test_note("the %u. request fails", n);
    spare_luv(&bed); /* luv itself does not survive this while it is opened, either */
    if (core_first) ASSERT(!fails_at(&bed, open_core, 0xFFFFFFFF));
    more = fails_at(&bed, fn, n);
    bed_open_library(&bed);
    bed_do(&bed, program);
    bed_close(&bed);
  }
}

TEST(the_core_can_be_opened_again_after_any_failed_allocation) {
  fail_each(open_core, false);
}

TEST(ctx_can_be_required_again_after_any_failed_allocation) {
  fail_each(require_ctx, true);
}

/* How many requests it takes to open the core. */
static unsigned requests_to_open(void) {
  bed_t bed;
  bed_open_bare(&bed);
  (void)fails_at(&bed, open_core, 0xFFFFFFFF);
  unsigned requests = bed.count;
  bed_close(&bed);
  return requests;
}

TEST(attempts_that_fail_to_open_the_core_leave_nothing) {
  /* Late, when much has been made; not at the end, since later attempts find strings made. */
  unsigned last = requests_to_open() / 3;
  bed_t bed;
  bed_open_bare(&bed);
  size_t before = 0;
  for (int round = 0; round < 10; round++) {
    for (unsigned n = last - 20; n < last; n++) ASSERT(fails_at(&bed, open_core, n));
    size_t now = bytes_now(&bed);
    if (round == 1) before = now;
    if (round > 1) ASSERT_INT(now, <=, before + 256);
  }
  bed_close(&bed);
}

/* Contexts of each kind, which nobody cancels. */
static const char making[] = "local core = ctx_core\n"
                             "local c = core.with_cancel(core.background())\n"
                             "local any = core.any(c, (core.with_timeout(c, 1000)))\n"
                             "core.any(any)\n";

static int make_contexts(lua_State* L) {
  lua_getglobal(L, "make");
  lua_call(L, 0, 0);
  return 0;
}

/* Of a context that could not be made whole the finalizer runs all the same. */
TEST(what_a_failed_allocation_leaves_half_made_is_collected) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, "ctx_core = require('ctx.core')");
  if (luaL_loadstring(bed.L, making) != LUA_OK) test_fail(making, 0, "%s", "does not load");
  lua_setglobal(bed.L, "make");
  bool more = true;
  for (unsigned n = 1; more; n++) {
    test_note("the %u. request fails", n);
    more = fails_at(&bed, make_contexts, n);
    for (int i = 0; i < 3; i++) (void)bytes_now(&bed); /* of those that hang together, one each */
  }
  bed_do(&bed, program);
  bed_close(&bed);
}
