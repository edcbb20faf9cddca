/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task, line. */
/* The class of semaphores, over the core's. */
#include "context/context.h"
#include "line/acquire.h"
#include "loop.h"
#include "task/gone.h"
#include "task/record.h"
#include "task/turn.h"
#include "want.h"

enum { ARG_S = 1, ARG_C, ARG_N };

typedef struct {
  const void* tag;
  ctx_semaphore_t s;
} semaphore_t;

static const char semaphore_tag = 0;

static semaphore_t* check_semaphore(lua_State* L) {
  return (semaphore_t*)lctx_checkobject(L, 1, sizeof(semaphore_t), &semaphore_tag, "s",
                                        "a semaphore");
}

/* Coroutines at the front that their owners have closed go: until somebody looks, they would hold up
 * those behind them. */
static void bury(lua_State* L, semaphore_t* s) {
  for (ctx_acquire_t* a; (a = s->s.queue.first) != NULL;) {
    lctx_task* t = LCTX_CONTAINER(a, lctx_acquire, units)->t;
    if (!lctx_is_gone(t)) break;
    lctx_task_closed(L, t);
  }
}

/* A count of units, `least` or more. A negative weight would take what is not there. */
static uint64_t check_units(lua_State* L, int arg, const char* name, lua_Integer least) {
  int exact;
  lua_Integer n = lua_tointegerx(L, arg, &exact);
  if (lua_type(L, arg) != LUA_TNUMBER || !exact || n < least) {
    /* No text of an object's own, which may raise. */
    const char* got =
        lua_type(L, arg) == LUA_TNUMBER ? lua_tostring(L, arg) : luaL_typename(L, arg);
    lua_pushfstring(L, "%s: a whole number of %I or more expected, got %s", name,
                    (LUAI_UACINT)least, got);
    luaL_argerror(L, arg, lua_tostring(L, -1));
  }
  return (uint64_t)n;
}

static uint64_t opt_units(lua_State* L, int arg) {
  return lua_isnoneornil(L, arg) ? 1 : check_units(L, arg, "k", 0);
}

/* semaphore.new(n) */
static int semaphore_new(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  uint64_t n = check_units(L, 1, "n", 0);
  semaphore_t* s = (semaphore_t*)lua_newuserdatauv(L, sizeof *s, 0);
  s->tag = &semaphore_tag;
  ctx_semaphore_init(&s->s, &S->tree, n);
  lctx_pushref(L, S, LCTX_REF_SEMAPHORE);
  lua_setmetatable(L, -2);
  return 1;
}

static int acquired(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  lctx_context* c = lctx_tocontext(L, ARG_C);
  if (outcome == LCTX_DUE && ctx_err(c->c) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  /* Both in one turn: the context's end counts, and the units go back. */
  if (outcome == LCTX_DUE) {
    (void)ctx_semaphore_release(&check_semaphore(L)->s, (uint64_t)lua_tointeger(L, ARG_N));
  }
  return lctx_pushended(L, S, ARG_C);
}

static void units_granted(ctx_acquire_t* units, int err) {
  lctx_acquire_granted(LCTX_CONTAINER(units, lctx_acquire, units), err);
}

static int ask_units(lctx_acquire* a) {
  return ctx_semaphore_acquire((ctx_semaphore_t*)a->owner, a->c, &a->units, a->n, units_granted);
}

static bool stop_units(lctx_acquire* a) {
  return ctx_acquire_stop(&a->units);
}

static void release_units(lctx_acquire* a) {
  (void)ctx_semaphore_release((ctx_semaphore_t*)a->owner, a->n);
}

static const lctx_acquire_kind acquire_kind = {
    .wait = {.waited = acquired, .undo = lctx_acquire_undo},
    .what = "semaphore:acquire",
    .ask = ask_units,
    .stop = stop_units,
    .give_back = release_units};

/* s:acquire(c [, k]) → true, or nil and an error */
static int semaphore_acquire(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  semaphore_t* s = check_semaphore(L);
  lctx_context* c = lctx_checkcontext(L, ARG_C, "c");
  uint64_t n = opt_units(L, ARG_N);
  if (n > s->s.size && !ctx_can_end(c->c)) {
    return luaL_argerror(L, ARG_N,
                         "k: more than the semaphore's size, and c can never be done: "
                         "this would wait for ever");
  }
  lua_settop(L, ARG_C);
  lua_pushinteger(L, (lua_Integer)n);
  if (ctx_err(c->c) != 0) return lctx_pushended(L, S, ARG_C);
  bury(L, s);
  if (ctx_semaphore_try_acquire(&s->s, n)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return lctx_acquire_wait(L, S, &acquire_kind, &s->s, c, n);
}

/* s:try_acquire([k]) → true, or false: not enough is free, or others are waiting */
static int semaphore_try_acquire(lua_State* L) {
  semaphore_t* s = check_semaphore(L);
  uint64_t n = opt_units(L, 2);
  bury(L, s);
  lua_pushboolean(L, ctx_semaphore_try_acquire(&s->s, n));
  return 1;
}

/* s:release([k]) */
static int semaphore_release(lua_State* L) {
  semaphore_t* s = check_semaphore(L);
  uint64_t n = opt_units(L, 2);
  if (ctx_semaphore_release(&s->s, n) != 0) {
    return luaL_error(L, "semaphore:release: %I released, but only %I held", (LUAI_UACINT)n,
                      (LUAI_UACINT)s->s.held);
  }
  bury(L, s);
  lctx_renew_handles(L, lctx_upstate(L));
  return 0;
}

/* s:resize(n): with fewer than are held, nobody gets any until enough has come back */
static int semaphore_resize(lua_State* L) {
  semaphore_t* s = check_semaphore(L);
  ctx_semaphore_resize(&s->s, check_units(L, 2, "n", 0));
  bury(L, s);
  lctx_renew_handles(L, lctx_upstate(L));
  return 0;
}

/* s:held() → units held, size */
static int semaphore_held(lua_State* L) {
  const semaphore_t* s = check_semaphore(L);
  lua_pushinteger(L, (lua_Integer)s->s.held);
  lua_pushinteger(L, (lua_Integer)s->s.size);
  return 2;
}

void lctx_open_semaphore(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"semaphore", semaphore_new}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"acquire", semaphore_acquire}, {"try_acquire", semaphore_try_acquire},
      {"release", semaphore_release}, {"resize", semaphore_resize},
      {"held", semaphore_held},       {NULL, NULL}};
  static const lctx_class class = {
      .name = "ctx.semaphore.Semaphore", .ref = LCTX_REF_SEMAPHORE, .methods = methods};
  lctx_register(L, S, functions);
  lctx_open_class(L, S, &class);
}
