/* SPDX-License-Identifier: MIT */
#include "line/acquire.h"

#include "task/leave.h"
#include "task/sched.h"

void lctx_acquire_granted(lctx_acquire* a, int err) {
  lctx_wake(a->t, err == 0 ? LCTX_DUE : LCTX_ENDED);
}

/* The coroutine will not go on: what it asked for, or has been given, is for others. */
void lctx_acquire_undo(lua_State* L, lctx_task* t) {
  (void)L;
  lctx_acquire* a = (lctx_acquire*)t->undo_data;
  if (!a->kind->stop(a) && t->outcome == LCTX_DUE) a->kind->give_back(a);
}

int lctx_acquire_wait(lua_State* L, lctx_state* S, const lctx_acquire_kind* kind, void* owner,
                      lctx_context* c, uint64_t n) {
  lctx_acquire* a = (lctx_acquire*)lua_newuserdatauv(L, sizeof *a, 2);
  *a = (lctx_acquire){.kind = kind, .owner = owner, .c = c != NULL ? c->c : NULL, .n = n};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (c != NULL) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 2);
  }
  a->t = lctx_waiter(L, S, kind->what);
  int err = kind->ask(a);
  if (err == CTX_ENOMEM || err == CTX_ECLOSED) return lctx_leave_error(L, a->t, kind->what, err);
  if (err != CTX_PENDING) {
    /* Meanwhile a finalizer has given back what is asked for, or ended the context. */
    lctx_leave(L, a->t, LCTX_TAKES);
    return kind->wait.waited(L, S, err == 0 ? LCTX_DUE : LCTX_ENDED);
  }
  lctx_wait wait = {
      .kind = &kind->wait, .what = kind->what, .context = lua_gettop(L), .undo_data = a};
  return lctx_park_task(L, S, a->t, &wait);
}
