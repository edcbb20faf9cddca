/* SPDX-License-Identifier: MIT */
#include "task/gone.h"

#include "task/record.h"
#include "task/results.h"
#include "task/sched.h"
#include "task/wait.h"

void lctx_reclaim(lua_State* L, lctx_task* t) {
  if (t->state == LCTX_PARKED && lctx_is_gone(t)) lctx_task_closed(L, t);
}

void lctx_reclaim_all(lua_State* L, lctx_state* S) {
  if (S->parked > 0) lctx_each_record(L, S, lctx_reclaim);
}

static void look_again(lua_State* L, lctx_task* t) {
  lctx_reclaim(L, t);
  if (t->kind == LCTX_FREE || t->state != LCTX_PARKED || !t->wait->looks) return;
  lctx_wake_with(L, t, 0);
}

/* core.look_again(): wakes all that wait in a queue for something outside. They look again for
 * it: luv's handle that was to bring it may have been closed by others. */
static int core_look_again(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  luaL_checkstack(L, 8, "ctx");
  lua_settop(L, 0);
  lctx_each_record(L, S, look_again);
  return 0;
}

void lctx_open_gone(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"look_again", core_look_again}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
