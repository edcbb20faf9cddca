/* SPDX-License-Identifier: MIT */
#include "classes/after.h"

#include "anchor.h"
#include "classes/task.h"
#include "context/context.h"
#include "enter.h"
#include "loop.h"
#include "task/record.h"
#include "task/sched.h"
#include "want.h"

_Static_assert(offsetof(lctx_task, kind) == offsetof(lctx_after, kind), "one queue for both");

static void drop_after(lua_State* L, lctx_after* after) {
  after->pending = false;
  lctx_list_remove(&after->link);
  lctx_unanchor(L, after->S, &after->S->afters, after->slot);
  after->slot = 0;
}

/* Called by the core, where nothing may fail. */
static void on_after_due(ctx_watcher_t* w) {
  lctx_after* after = LCTX_CONTAINER(w, lctx_after, watcher);
  lctx_enqueue(after->S, &after->link);
}

/* Nobody waits for it. */
static void after_over(lua_State* L, lctx_task* t, int nresults) {
  (void)nresults;
  if (!t->failed) return;
  lctx_push_task_error(L, t);
  lctx_hook(L, t->S, "task_failed", 2, 0);
}

/* Makes a task of an after-func that is first in the run queue, in its place. May raise, with nothing
 * changed. */
static void start_after(lua_State* L, lctx_state* S, lctx_link* link) {
  static const lctx_owner_kind kind = {.over = after_over};
  static const lctx_owner owner = {&kind};
  lctx_after* after = LCTX_CONTAINER(link, lctx_after, link);
  (void)lctx_push_anchored(L, S, &S->afters, after->slot);
  lctx_task* t = lctx_task_prepare(L, S, 0);
  if (after->pending) {
    lua_getiuservalue(L, -1, 1);
    lctx_task_start(L, t, &owner, 0);
    drop_after(L, after);
    lctx_list_remove(&t->link);
    lctx_list_prepend(&S->run, &t->link);
  } else { /* a finalizer has taken it back meanwhile */
    lctx_task_free(t);
  }
  lua_pop(L, 1);
}

void lctx_after_forget(lua_State* L, lctx_state* S, uint64_t since) {
  for (uint32_t slot = 1; slot <= S->afters.size; slot++) {
    if (lctx_push_anchored(L, S, &S->afters, slot) == LUA_TUSERDATA) {
      lctx_after* after = (lctx_after*)lua_touserdata(L, -1);
      if (after->serial > since) {
        (void)ctx_unwatch(&after->watcher);
        drop_after(L, after);
      }
    }
    lua_pop(L, 1);
  }
}

/* stop() → true if that kept the function from running */
static int after_stop(lua_State* L) {
  lctx_after* after = (lctx_after*)lua_touserdata(L, lua_upvalueindex(1));
  bool kept = after->pending && !after->S->closed;
  if (kept) {
    (void)ctx_unwatch(&after->watcher);
    drop_after(L, after);
  }
  lua_pushboolean(L, kept);
  return 1;
}

/* ctx.after_func(c, fn) → stop. On a context that is done, fn runs soon; never within this call. On
 * one that can never be, nothing is registered and fn is not kept: stop() tells the truth once. */
static int after_func(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c");
  lctx_checkfn(L, 2, "fn");
  lua_settop(L, 2);
  bool can_end = ctx_can_end(c->c);
  lctx_after* after = (lctx_after*)lua_newuserdatauv(L, sizeof *after, can_end ? 2 : 0);
  *after = (lctx_after){.S = S, .kind = LCTX_AFTER, .serial = ++S->serial, .pending = !can_end};
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, after_stop, 1);
  if (!can_end) return 1;
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, 2);
  after->slot = lctx_anchor(L, S, &S->afters, 3);
  uint64_t alarm_ns = S->alarm_ns;
  int err = ctx_watch(c->c, &after->watcher, on_after_due);
  if (err == 0 && S->alarm_ns < alarm_ns && !lctx_can_turn(L, S)) {
    (void)ctx_unwatch(&after->watcher);
    err = CTX_ENOMEM;
  }
  if (err != 0) {
    drop_after(L, after);
    return luaL_error(L, "cannot register fn: %s", ctx_strerror(err));
  }
  after->pending = true;
  return 1;
}

void lctx_open_after(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"after_func", after_func}, {NULL, NULL}};
  S->start_after = start_after;
  lctx_register(L, S, functions);
}
