/* SPDX-License-Identifier: MIT */
#include "task/turn.h"

#include "context/cause.h"
#include "context/context.h"
#include "enter.h"
#include "host.h"
#include "report/where.h"
#include "task/record.h"
#include "task/sched.h"
#include "task/wait.h"

void lctx_end_soon(lctx_state* S) {
  enum { SOON_NS = 100000000 };
  S->patience_ns = ctx_time_add(lctx_real_ns(S), SOON_NS);
}

void lctx_wake_turn(lctx_state* S) {
  while (!lctx_list_empty(&S->turn)) {
    lctx_wake(LCTX_CONTAINER(S->turn.next, lctx_task, link), LCTX_DUE);
  }
}

static int no_results(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)L, (void)S, (void)outcome;
  return 0;
}

/* core.breathe(): for a function that has much to do, between two pieces of it: waits for a turn of the
 * loop, if that is due. By a hand-moved clock it always is, as that stands still meanwhile. */
static int core_breathe(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  static const lctx_wait_kind kind = {.waited = no_results};
  if ((!S->fake && !lctx_turn_due(S)) || !lctx_can_wait(L, S)) return 0;
  lctx_wait wait = {.kind = &kind, .what = "the next turn of the loop", .turn = true};
  return lctx_park(L, S, &wait);
}

/* -- Answers without a wait ------------------------------------------------------------------- */

enum { REFUSALS = 100 };

static int one_result(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)L, (void)S, (void)outcome;
  return 1;
}

static int two_results(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)L, (void)S, (void)outcome;
  return 2;
}

static int all_results(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)S, (void)outcome;
  return lua_gettop(L);
}

/* Protected. Tells, once for each line, that it does not look at what its waits return. */
static int tell_refusals(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_touserdata(L, 1);
  lctx_pushwhere(L, S);
  (void)lctx_hook(L, S, "refusals", 1, 0);
  return 0;
}

static int refused(lua_State* L, lctx_state* S, int nresults, const lctx_wait_kind* kind) {
  if (++S->refusals < REFUSALS) return nresults;
  S->refusals = 0;
  if (!lctx_can_wait(L, S)) return nresults;
  lua_pushcfunction(L, tell_refusals);
  lua_pushlightuserdata(L, S);
  if (lctx_enter_plain(L, 1, 0) != LUA_OK) lua_pop(L, 1);
  lctx_wait wait = {.kind = kind, .what = "the next turn, as what it asks has ended", .turn = true};
  return lctx_park(L, S, &wait);
}

int lctx_refused(lua_State* L, lctx_state* S, int nresults) {
  static const lctx_wait_kind kinds[] = {{.waited = one_result}, {.waited = two_results}};
  return refused(L, S, nresults, &kinds[nresults - 1]);
}

int lctx_pushended(lua_State* L, lctx_state* S, int arg) {
  arg = lua_absindex(L, arg);
  lua_pushnil(L);
  lctx_pushend(L, S, arg);
  return lctx_refused(L, S, 2);
}

/* c:ended() → the error of a wait that ends with c; nil while it lives */
static int method_ended(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c (call it as c:ended())");
  if (lctx_err(S, c) == 0) {
    lua_pushnil(L);
    return 1;
  }
  lctx_pushend(L, S, 1);
  return lctx_refused(L, S, 1);
}

/* core.refused(…) → …: the same, for what the Lua side makes */
static int core_refused(lua_State* L) {
  static const lctx_wait_kind kind = {.waited = all_results};
  return refused(L, lctx_upstate(L), lua_gettop(L), &kind);
}

void lctx_open_turn(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {
      {"breathe", core_breathe}, {"refused", core_refused}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"ended", method_ended}, {NULL, NULL}};
  lctx_register(L, S, functions);
  lctx_add_methods(L, S, LCTX_REF_CONTEXT, methods);
}
