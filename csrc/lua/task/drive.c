/* SPDX-License-Identifier: MIT */
#include "task/drive.h"

#include "enter.h"
#include "loop.h"
#include "task/fake.h"
#include "task/gone.h"

/* Lets the next thing happen. EMPTY when nothing can. */
static enum lctx_loop let_happen(lua_State* L, lctx_state* S) {
  enum lctx_loop result = S->fake ? lctx_let_time_pass(L, S) : lctx_run_loop(L, S, S->sound);
  return result == LCTX_LOOP_EMPTY && lctx_is_ready(S) ? LCTX_LOOP_ALIVE : result;
}

static enum lctx_driven drive(lua_State* L, lctx_state* S) {
  lctx_ask(S);
  for (int failures = 0; failures < LCTX_PATIENCE;) {
    if (lctx_is_over(S)) return LCTX_OVER;
    if (lctx_is_ready(S)) lctx_ask(S);
    enum lctx_loop result = let_happen(L, S);
    if (result == LCTX_LOOP_EMPTY && !lctx_is_over(S)) {
      /* A coroutine that its owner has closed may hold what another waits for. */
      lctx_reclaim_all(L, S);
      if (!lctx_is_ready(S)) return LCTX_ASLEEP;
    }
    failures = S->sound && result != LCTX_LOOP_FAILED ? 0 : failures + 1;
    S->sound = failures == 0;
  }
  return LCTX_FAILED;
}

enum lctx_driven lctx_drive(lua_State* L, lctx_state* S, lctx_over_fn over, void* arg) {
  if (!lua_checkstack(L, 10)) return LCTX_FAILED;
  lctx_over_fn outer = S->over;
  void* outer_arg = S->over_arg;
  S->over = over;
  S->over_arg = arg;
  S->sound = true;
  enum lctx_driven driven = drive(L, S);
  S->over = outer;
  S->over_arg = outer_arg;
  (void)lctx_hook(L, S, "renew", 0, 0);
  return driven;
}

/* -- For the Lua side ------------------------------------------------------------------------------ */

/* core.may_drive() → whether the loop is free to be run */
static int core_may_drive(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_pushboolean(L, !S->draining && !lctx_in_loop(L, S));
  return 1;
}

/* core.run_ready() → whether tasks are left that something may still wake: for the end of ctx.run, which
 * then waits for them. Lets the loop turn once. */
static int core_run_ready(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_ask(S);
  bool alive = lctx_run_loop(L, S, false) == LCTX_LOOP_ALIVE;
  lua_pushboolean(L, S->tasks > 0 && (alive || lctx_is_ready(S) || S->alarm_ns != CTX_NEVER));
  return 1;
}

/* core.driving() → whether the loop is driven by us: then it turns once more before the state ends. */
static int core_driving(lua_State* L) {
  lua_pushboolean(L, lctx_upstate(L)->over != NULL);
  return 1;
}

void lctx_open_drive(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"may_drive", core_may_drive},
                                       {"run_ready", core_run_ready},
                                       {"driving", core_driving},
                                       {NULL, NULL}};
  lctx_register(L, S, functions);
}
