/* SPDX-License-Identifier: MIT */
/* Programs that embed Lua (ctx/lua.h): contexts of C in Lua and of Lua in C, and every order in
 * which a state may be closed. */
#include <ctx/lua.h>
#include <pthread.h>
#include <unistd.h>

#include "lua_bed.h"

#define NS_PER_MS UINT64_C(1000000)

/* -- Contexts of C, in Lua ----------------------------------------------------------------------- */

TEST(a_context_of_c_shows_in_lua) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  bed_assert(&bed, "c:err() == nil and not c:done() and c:cause() == nil");
  bed_assert(&bed, "c:deadline() == nil and c:value('key') == nil");
  bed_assert(&bed, "tostring(c) == 'ctx.pushed'");
  bed_do(&bed, "d = ctx.with_value(ctx.with_cancel(c), 'key', 'value')");
  ctx_cancel(&c, NULL);
  bed_assert(&bed, "c:err() == ctx.canceled and c:cause() == ctx.canceled");
  bed_assert(&bed, "d:err() == ctx.canceled and d:value('key') == 'value'");
  ctx_release(&c);
  bed_assert(&bed, "c:err() == ctx.canceled");
  bed_close(&bed);
}

TEST(a_cause_of_c_is_an_error_with_its_message_in_lua) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("the client has left");
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  ctx_cancel(&c, &reason.cause);
  bed_assert(&bed, "c:err() == ctx.canceled");
  bed_assert(&bed, "tostring(c:cause()) == 'the client has left'");
  bed_assert(&bed, "getmetatable(c:cause()).__name == 'ctx.errors.Error'");
  bed_do(&bed, "ok, err = ctx.sleep(c, 1)");
  bed_assert(&bed, "tostring(err) == 'context canceled: the client has left'");
  bed_assert(&bed, "require('ctx.errors').is(err, ctx.canceled)");
  ctx_release(&c);
  bed_close(&bed);
  ASSERT_EQ(reason.references, 0);
}

TEST(lua_keeps_a_cause_as_long_as_it_can_be_seen) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("over");
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  bed_do(&bed, "d = ctx.with_value(ctx.with_cancel(c), 'key', 'value')");
  ctx_cancel(&c, &reason.cause);
  ctx_release(&c);
  memset((void*)&c, 0xA5, sizeof c); /* C's memory is C's again */
  ASSERT_INT(reason.references, >, 0);
  bed_do(&bed, "c = nil collectgarbage() collectgarbage()");
  bed_assert(&bed, "d:err() == ctx.canceled and tostring(d:cause()) == 'over'");
  ASSERT_INT(reason.references, >, 0);
  bed_do(&bed, "d = nil collectgarbage() collectgarbage()");
  ASSERT_EQ(reason.references, 0);
  bed_close(&bed);
}

TEST(a_context_that_c_releases_is_cancelled_in_lua) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  ctx_release(&c);
  memset((void*)&c, 0xA5, sizeof c);
  bed_assert(&bed, "c:err() == ctx.canceled and c:cause() == ctx.canceled");
  bed_close(&bed);
}

TEST(a_pushed_context_that_lua_drops_leaves_nothing_in_c) {
  bed_t bed;
  bed_open(&bed);
  ctx_tree_t* tree = ctx_lua_tree(bed.L);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(tree));
  for (int i = 0; i < 100; i++) bed_push(&bed, "c", &c);
  bed_do(&bed, "c = nil collectgarbage() collectgarbage()");
  ctx_counters_t counters;
  ctx_counters(tree, &counters);
  ASSERT_EQ(counters.linked, 0);
  ctx_cancel(&c, NULL);
  ctx_release(&c);
  bed_close(&bed);
}

TEST(a_deadline_of_c_ends_a_wait_in_lua) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("too late");
  ctx_tree_t* tree = ctx_lua_tree(bed.L);
  ctx_t c;
  uint64_t at_ns = ctx_time_add(ctx_now(tree), 5 * NS_PER_MS);
  ctx_with_deadline(&c, ctx_background(tree), at_ns, &reason.cause);
  bed_push(&bed, "c", &c);
  bed_assert(&bed, "c:deadline() ~= nil and c:remaining() <= 5");
  bed_assert(&bed, "ctx.run(function() return c:wait() end) == ctx.deadline_exceeded");
  bed_assert(&bed, "tostring(c:cause()) == 'too late'");
  ASSERT_INT(ctx_now(tree), >=, at_ns);
  ctx_release(&c);
  bed_close(&bed);
  ASSERT_EQ(reason.references, 0);
}

/* -- Contexts of Lua, in C -------------------------------------------------------------------------- */

static unsigned heard;

static void on_done(ctx_watcher_t* w) {
  (void)w;
  heard++;
}

TEST(a_context_of_lua_is_used_in_c) {
  bed_t bed;
  bed_open(&bed);
  heard = 0;
  bed_do(&bed, "c, cancel = ctx.with_timeout(ctx.background(), 60000)");
  ctx_t* c = bed_context(&bed, "c");
  ASSERT_EQ(ctx_err(c), 0);
  ASSERT(ctx_deadline(c) < CTX_NEVER);
  ctx_watcher_t watcher = {0};
  ASSERT_EQ(ctx_watch(c, &watcher, on_done), 0);
  ctx_t mine;
  ctx_with_cancel(&mine, c);
  bed_do(&bed, "cancel('enough')");
  ASSERT_EQ(ctx_err(&mine), CTX_CANCELED);
  ASSERT_EQ(heard, 0);
  ctx_lua_settle(bed.L);
  bed_do(&bed, "require('luv').run('nowait')");
  ASSERT_EQ(heard, 1);
  ctx_release(&mine);
  bed_close(&bed);
}

/* The pushed context lies below one of Lua's, with a context of C's between them: its cause is then
 * Lua's, and must not go before it. */
TEST(a_cause_of_lua_comes_back_through_c) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, "top, cancel = ctx.with_cancel(ctx.background())");
  ctx_t mine;
  ctx_with_cancel(&mine, bed_context(&bed, "top"));
  bed_push(&bed, "c", &mine);
  bed_do(&bed, "d = ctx.with_cancel(c)");
  bed_do(&bed, "cancel({ 'of Lua' })");
  ctx_release(&mine);
  bed_assert(&bed, "c:cause()[1] == 'of Lua' and d:cause()[1] == 'of Lua'");
  bed_do(&bed, "top, cancel = nil, nil collectgarbage() collectgarbage()");
  bed_do(&bed, "filler = {} for i = 1, 1000 do filler[i] = ctx.with_cancel(ctx.todo()) end");
  bed_assert(&bed, "c:cause()[1] == 'of Lua' and d:cause()[1] == 'of Lua'");
  bed_close(&bed);
}

/* -- What is refused ---------------------------------------------------------------------------------- */

static int push_it(lua_State* L) {
  ctx_lua_push(L, (ctx_t*)lua_touserdata(L, 1));
  return 1;
}

static int check_it(lua_State* L) {
  (void)ctx_lua_check(L, 1);
  return 0;
}

static int tree_of(lua_State* L) {
  (void)ctx_lua_tree(L);
  return 0;
}

/* Calls fn with the value on top: it must raise a message that contains `text`. */
static void assert_raises(lua_State* L, lua_CFunction fn, const char* text) {
  lua_pushcfunction(L, fn);
  lua_insert(L, -2);
  ASSERT_EQ(lua_pcall(L, 1, 0, 0), LUA_ERRRUN);
  if (!strstr(lua_tostring(L, -1), text)) test_fail(text, 0, "got: %s", lua_tostring(L, -1));
  lua_pop(L, 1);
}

TEST(a_context_of_another_tree_is_refused) {
  bed_t one, other;
  bed_open(&one);
  bed_open(&other);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(one.L)));
  lua_pushlightuserdata(other.L, &c);
  assert_raises(other.L, push_it, "belongs to another tree");
  ctx_release(&c);
  bed_close(&other);
  bed_close(&one);
}

TEST(another_value_than_a_context_is_an_argument_error) {
  bed_t bed;
  bed_open(&bed);
  lua_pushinteger(bed.L, 42);
  assert_raises(bed.L, check_it, "a context expected, got number");
  bed_run(&bed, "return select(2, ctx.with_cancel(ctx.background()))", 0);
  assert_raises(bed.L, check_it, "a context expected, got ctx.Cancel");
  bed_close(&bed);
}

TEST(a_state_without_the_library_says_so) {
  bed_t bed;
  bed_open_bare(&bed);
  lua_pushnil(bed.L);
  assert_raises(bed.L, tree_of, "ctx.core is not open");
  bed_close(&bed);
}

TEST(two_states_know_nothing_of_each_other) {
  bed_t one, other;
  bed_open(&one);
  bed_open(&other);
  ASSERT(ctx_lua_tree(one.L) != ctx_lua_tree(other.L));
  const char* code = "c, cancel = ctx.with_cancel(ctx.background())\n"
                     "ctx.go(function() c:wait() woken = true end)";
  bed_do(&one, code);
  bed_do(&other, code);
  bed_do(&one, "cancel() require('luv').run()");
  bed_assert(&one, "woken and c:done()");
  bed_close(&one);
  bed_assert(&other, "not woken and not c:done()");
  bed_do(&other, "cancel() require('luv').run()");
  bed_assert(&other, "woken");
  bed_close(&other);
}

/* -- Other threads -------------------------------------------------------------------------------------- */

static reason_t of_thread;

static void* cancel_soon(void* flag) {
  usleep(10000);
  ASSERT(ctx_cancel_async((ctx_flag_t*)flag, &of_thread.cause));
  return NULL;
}

/* Waits for `c`, a global of Lua's, which another thread cancels meanwhile. */
static void cancel_from_thread(bed_t* bed, ctx_t* c) {
  of_thread = reason_of("of another thread");
  of_thread.references = 1; /* the library's, from the call on */
  ctx_flag_t* flag = ctx_share(c);
  ASSERT(flag != NULL);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, NULL, cancel_soon, flag), 0);
  bed_assert(bed, "ctx.run(function() return c:wait() end) == ctx.canceled");
  bed_assert(bed, "tostring(c:cause()) == 'of another thread'");
  ASSERT_EQ(pthread_join(thread, NULL), 0);
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  ctx_flag_release(flag);
}

TEST(another_thread_wakes_the_loop) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  cancel_from_thread(&bed, &c);
  ctx_release(&c);
  bed_close(&bed);
  ASSERT_EQ(of_thread.references, 0);
}

/* Cause: the descriptor was opened when there was no module yet that could watch it, and nobody was
 * told later. */
TEST(another_thread_wakes_the_loop_also_if_the_tree_was_asked_for_first) {
  bed_t bed;
  bed_open_bare(&bed);
  luaL_requiref(bed.L, "ctx.core", luaopen_ctx_core, 0);
  lua_pop(bed.L, 1);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_do(&bed, "ctx = require('ctx')");
  bed_push(&bed, "c", &c);
  cancel_from_thread(&bed, &c);
  ctx_release(&c);
  bed_close(&bed);
}

/* Cause: only ctx_lua_tree opened the descriptor, and C may have come by a context without it. */
TEST(another_thread_wakes_the_loop_for_a_context_of_lua) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, "c, cancel = ctx.with_cancel(ctx.background())");
  cancel_from_thread(&bed, bed_context(&bed, "c"));
  bed_close(&bed);
}

/* Cause: the ear of a flag is unlinked at the next turn at the earliest, and a context of Lua's could be
 * collected before that, as such had no finalizer. */
TEST(a_flag_leaves_nothing_in_a_context_of_lua_that_is_collected) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, "parent, cancel = ctx.with_cancel(ctx.background())\n"
               "c = ctx.with_value(ctx.with_cancel(parent), 'key', 'value')");
  ctx_flag_t* released = ctx_share(bed_context(&bed, "c"));
  ctx_flag_t* kept = ctx_share(bed_context(&bed, "c"));
  ctx_flag_release(released);
  bed_do(&bed, "c = nil collectgarbage() collectgarbage()");
  ASSERT_EQ(ctx_flag_err(kept), CTX_CANCELED);
  bed_do(&bed, "cancel() ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
  ctx_flag_release(kept);
  bed_close(&bed);
}

TEST(another_thread_wakes_the_loop_also_after_all_handles_were_closed) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  bed_push(&bed, "c", &c);
  bed_do(&bed, "local uv = require('luv') uv.walk(function(h) h:close() end) uv.run()");
  cancel_from_thread(&bed, &c);
  ctx_release(&c);
  bed_close(&bed);
}
