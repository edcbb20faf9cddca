/* SPDX-License-Identifier: MIT */
/* Contexts that C and scripts share, when Lua calls finalizers late, in any order, or not at all. Memory
 * faults show under AddressSanitizer. */
#include <ctx/lua.h>

#include "lua_bed.h"

/* -- Causes that are freed with their last reference -------------------------------------------- */

typedef struct counted_s {
  ctx_cause_t cause;
  int references;
  char text[64];
} counted_t;

static int counted_alive;

static void counted_retain(ctx_cause_t* cause) {
  ((counted_t*)cause)->references++;
}

static void counted_release(ctx_cause_t* cause) {
  counted_t* counted = (counted_t*)cause;
  if (--counted->references > 0) return;
  memset(counted->text, '!', sizeof counted->text - 1);
  counted_alive--;
  free(counted);
}

static const char* counted_message(const ctx_cause_t* cause) {
  return ((const counted_t*)cause)->text;
}

static ctx_cause_t* counted_new(const char* text) {
  static const ctx_cause_ops_t ops = {counted_retain, counted_release, counted_message};
  counted_t* counted = malloc(sizeof *counted);
  *counted = (counted_t){.cause = {&ops}, .references = 1};
  snprintf(counted->text, sizeof counted->text, "%s", text);
  counted_alive++;
  return &counted->cause;
}

/* Cause: descendants borrow their cause, and the finalizer of the pushed context released it, though
 * finalizers of older objects, which run after it, may still ask. Cure: descendants never have a cause of
 * C's, but the token of a relay in memory that they keep. */
TEST(a_cause_of_c_is_there_for_finalizers_that_run_late) {
  for (int closing = 0; closing < 2; closing++) {
    for (int asked = 0; asked < 2; asked++) {
      bed_t bed;
      bed_open(&bed);
      ctx_t request;
      ctx_with_cancel(&request, ctx_background(ctx_lua_tree(bed.L)));
      bed_do(&bed, "keeper = setmetatable({}, { __gc = function(k)\n"
                   "  local c <close> = select(2, ctx.with_cancel(k.child))\n"
                   "  assert(tostring(k.child:cause()) == 'the client has hung up')\n"
                   "  assert(tostring(ctx.any(k.child):cause()) == 'the client has hung up')\n"
                   "  heard = true end })");
      bed_push(&bed, "c", &request);
      bed_do(&bed, "keeper.child = ctx.with_cancel(ctx.with_value(c, 'a', 1))");
      ctx_cause_t* cause = counted_new("the client has hung up");
      ctx_cancel(&request, cause);
      counted_release(cause);
      if (asked) bed_assert(&bed, "tostring(c:cause()) == 'the client has hung up'");
      ctx_release(&request);
      if (!closing) {
        bed_do(&bed, "c, keeper = nil, nil collectgarbage() collectgarbage()");
        bed_assert(&bed, "heard");
        ASSERT_EQ(counted_alive, 0);
      }
      bed_close(&bed);
      ASSERT_EQ(counted_alive, 0);
    }
  }
}

/* Cause: a context of Lua's borrows its cause also when C cancels it, and the library releases the one
 * that ctx_cancel_async was given. Cure: what C has come by is a relay. */
TEST(a_cause_that_c_gives_to_a_context_of_lua_lives_as_long_as_that) {
  for (int async = 0; async < 2; async++) {
    bed_t bed;
    bed_open(&bed);
    bed_do(&bed, "c, cancel = ctx.with_timeout(ctx.background(), 60000)\n"
                 "d = ctx.with_value(ctx.with_cancel(c), 'a', 1)");
    ctx_t* c = bed_context(&bed, "c");
    ctx_cause_t* cause = counted_new("of C");
    if (async) {
      ctx_flag_t* flag = ctx_share(c);
      ASSERT(ctx_cancel_async(flag, cause));
      ctx_flag_release(flag);
      bed_do(&bed, "ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
    } else {
      ctx_cancel(c, cause);
      counted_release(cause);
    }
    ASSERT_EQ(counted_alive, 1);
    bed_assert(&bed, "tostring(c:cause()) == 'of C' and rawequal(c:cause(), d:cause())");
    bed_do(&bed, "c, cancel = nil, nil collectgarbage() collectgarbage()");
    bed_assert(&bed, "tostring(d:cause()) == 'of C'");
    bed_do(&bed, "d = nil collectgarbage() collectgarbage()");
    ASSERT_EQ(counted_alive, 0);
    bed_close(&bed);
  }
}

/* C asks for the cause that C gave, also of a context of Lua's below. */
TEST(c_sees_its_own_cause_through_lua) {
  bed_t bed;
  bed_open(&bed);
  reason_t reason = reason_of("of C");
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  ctx_cancel(&c, &reason.cause);
  bed_push(&bed, "c", &c);
  bed_do(&bed, "d = ctx.with_cancel(c)");
  ASSERT_PTR_EQ(ctx_cause(bed_context(&bed, "d")), &reason);
  ctx_release(&c);
  bed_close(&bed);
  ASSERT_EQ(reason.references, 0);
}

/* -- Finalizers that are lost -------------------------------------------------------------------- */

/* What makes contexts, in `c`, below the live `parent`. */
static const char* const makers[] = {
    "c = ctx.with_cancel(parent)",
    "c = ctx.with_timeout(parent, 60000, 'too late')",
    "c = ctx.with_value(ctx.with_cancel(parent), 'a', 1)",
    "c = ctx.without_cancel(parent)",
    "c = ctx.any(parent, (ctx.with_cancel(parent)))",
    "c = select(2, require('ctx.errgroup').with_context(parent))",
};

/* Cause: a context of Lua's that has a flag stays linked until its finalizer takes that down. Cure: what
 * C listens to is in memory that is kept until then. */
TEST(a_flag_outlives_its_context_also_without_a_finalizer) {
  for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
    bed_t bed;
    ctx_flag_t* flags[8];
    size_t count = 0;
    bed_open(&bed);
    bed_do(&bed, "lost = dofile('spec/support/lost.lua') warn('@off')\n"
                 "parent, cancel = ctx.with_cancel(ctx.background())");
    for (int round = 0; round < 3; round++) {
      bed_do(&bed, makers[i]);
      flags[count++] = ctx_share(bed_context(&bed, "c"));
      bed_do(&bed, "c = nil lost.at_c_limit(function() collectgarbage() end)");
    }
    bed_do(&bed, "cancel() ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
    for (size_t k = 0; k < count; k++) ctx_flag_release(flags[k]);
    bed_do(&bed, "ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
    bed_close(&bed);
  }
}

static int push_it(lua_State* L) {
  ctx_lua_push(L, (ctx_t*)lua_touserdata(L, 1));
  return 1;
}

TEST(a_pushed_context_may_lose_its_finalizer) {
  bed_t bed;
  bed_open(&bed);
  ctx_t c;
  ctx_with_cancel(&c, ctx_background(ctx_lua_tree(bed.L)));
  lua_pushlightuserdata(bed.L, &c);
  lua_pushcclosure(bed.L, push_it, 0);
  lua_setglobal(bed.L, "push");
  lua_setglobal(bed.L, "request");
  bed_do(&bed, "lost = dofile('spec/support/lost.lua') warn('@off')\n"
               "assert(lost.collect(function() ctx.with_cancel(push(request)) end) > 0)");
  ctx_cancel(&c, NULL);
  ctx_release(&c);
  memset((void*)&c, 0xA5, sizeof c);
  bed_do(&bed, "ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
  bed_close(&bed);
}

/* -- The same seen from both sides --------------------------------------------------------------- */

TEST(a_context_that_c_has_come_by_behaves_as_before) {
  for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
    bed_t bed;
    bed_open(&bed);
    bed_do(&bed, "parent, cancel = ctx.with_cancel(ctx.background())");
    bed_do(&bed, makers[i]);
    bed_do(&bed, "order, before, deadline = {}, ctx.with_cancel(c), c:deadline()\n"
                 "ctx.after_func(c, function() table.insert(order, 'a') end)\n"
                 "ctx.after_func(before, function() table.insert(order, 'c') end)");
    ctx_t* c = bed_context(&bed, "c");
    ASSERT_PTR_EQ(bed_context(&bed, "c"), c);
    bed_do(&bed, "after = ctx.with_cancel(c)\n"
                 "ctx.after_func(c, function() table.insert(order, 'b') end)");
    bed_assert(&bed, "c:deadline() == deadline and not c:done() and c:err() == nil");
    if (!ctx_can_end(c)) {
      bed_close(&bed);
      continue;
    }
    ctx_cancel(c, NULL);
    bed_assert(&bed, "c:done() and before:done() and after:done() and not parent:done()");
    bed_assert(&bed, "c:cause() == ctx.canceled and after:cause() == ctx.canceled");
    bed_do(&bed, "ctx.run(function() ctx.sleep(ctx.background(), 1) end)");
    bed_assert(&bed, "table.concat(order) == 'abc'");
    bed_close(&bed);
  }
}

/* A group's tasks are told by the context that C has, and C by the group. */
TEST(a_group_whose_context_c_has_come_by_ends_it) {
  bed_t bed;
  bed_open(&bed);
  bed_do(&bed, "g, c = require('ctx.errgroup').with_context(ctx.background())\n"
               "g:go(function() c:wait() told = true end)");
  ctx_t* c = bed_context(&bed, "c");
  ctx_flag_t* flag = ctx_share(c);
  bed_do(&bed, "g:go(function() error('failed', 0) end)\n"
               "ctx.run(function() ok, err = g:wait() end)");
  bed_assert(&bed, "told and tostring(err) == 'failed' and tostring(c:cause()) == 'failed'");
  ASSERT_EQ(ctx_flag_err(flag), CTX_CANCELED);
  ctx_flag_release(flag);
  bed_close(&bed);
}
