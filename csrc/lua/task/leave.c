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
 * finds the record running, and its ticket too high for this wait. */
static __attribute__((noinline)) void forgo(lua_State* L, lctx_task* t) {
  if (t->state == LCTX_PARKED) lctx_unregister(t);
  lctx_list_remove(&t->link); /* it may be ready */
  t->state = LCTX_RUNNING;
  if (t->wait != NULL && t->wait->undo != NULL) t->wait->undo(L, t);
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
