/* SPDX-License-Identifier: MIT */
#include "task/leave.h"

#include "task/alarm.h"
#include "task/record.h"
#include "task/results.h"
#include "task/wait.h"

void lctx_unregister(lctx_task* t) {
  (void)ctx_unwatch(&t->watcher);
  lctx_disarm(t);
  lctx_list_remove(&t->link);
  t->state = LCTX_RUNNING; /* until the caller knows better */
  t->S->parked--;
  if (t->wait->external) t->S->external--;
}

/* Apart, and not inlined, since most leave with what they were woken with. To take back may run Lua, which
 * finds the record running, without a wait, and its ticket too high for this one. So if that resumes the
 * coroutine, it does not leave a second time. */
static __attribute__((noinline)) void forgo(lua_State* L, lctx_task* t) {
  if (t->state == LCTX_PARKED) lctx_unregister(t);
  lctx_list_remove(&t->link); /* it may be ready */
  t->state = LCTX_RUNNING;
  const lctx_wait_kind* wait = t->wait;
  t->wait = NULL;
  if (wait != NULL && wait->undo != NULL) wait->undo(L, t);
  if (lctx_take_packed(L, t)) lctx_drop_packed(L, t->S);
  t->nargs = 0;
}

void lctx_leave(lua_State* L, lctx_task* t, enum lctx_exit how) {
  t->ticket++;
  if (how == LCTX_FORGOES) forgo(L, t);
  t->wait = NULL;
  t->what = NULL;
  lctx_let_go(t);
  if (t->kind != LCTX_TASK) lctx_task_free(t);
}

/* -- Guards -------------------------------------------------------------------------------------- */

/* A userdata. User value: the block of the record. */
typedef struct {
  lctx_task* t;
  uint64_t ticket;
} guard_t;

/* Called when the coroutine is closed; and when it goes on, and the wait is over. */
static int close_guard(lua_State* L) {
  const lctx_state* S = lctx_upstate(L);
  const guard_t* guard = (const guard_t*)lua_touserdata(L, 1);
  if (guard == NULL || !lua_getmetatable(L, 1)) return 0;
  lctx_pushref(L, (lctx_state*)S, LCTX_REF_GUARD);
  if (!lua_rawequal(L, -1, -2) || S->closed || guard->t == NULL) return 0;
  if (guard->t->ticket == guard->ticket) lctx_leave(L, guard->t, LCTX_FORGOES);
  return 0;
}

void lctx_push_guard(lua_State* L, lctx_state* S) {
  guard_t* guard = (guard_t*)lua_newuserdatauv(L, sizeof *guard, 1);
  *guard = (guard_t){0};
  lctx_pushref(L, S, LCTX_REF_GUARD);
  lua_setmetatable(L, -2);
}

void lctx_set_guard(lua_State* L, lctx_task* t) {
  *(guard_t*)lua_touserdata(L, -1) = (guard_t){t, t->ticket};
  lctx_pushblock(L, t);
  lua_setiuservalue(L, -2, 1);
  lua_toclose(L, -1);
}

void lctx_open_leave(lua_State* L, lctx_state* S) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__close", close_guard}, {NULL, NULL}};
  static const lctx_class class = {.name = "ctx.core.Guard",
                                   .ref = LCTX_REF_GUARD,
                                   .methods = methods,
                                   .metamethods = metamethods};
  lctx_open_class(L, S, &class);
}
