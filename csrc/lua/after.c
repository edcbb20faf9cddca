/* SPDX-License-Identifier: MIT */
/* After-funcs: functions that run, each as a task of its own, when a context is done. Where nothing
 * may fail they only take their place in the run queue, between the coroutines that are woken: the
 * order is that of registration. They become tasks when their turn comes. */
#include "lctx.h"

static void anchor(lua_State* L, lctx_state* S, lctx_after* after, int index) {
  lctx_pushref(L, S, LCTX_REF_AFTERS);
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, after);
  lua_pop(L, 1);
}

static void release(lua_State* L, lctx_state* S, lctx_after* after) {
  after->pending = false;
  lctx_list_remove(&after->link);
  lctx_pushref(L, S, LCTX_REF_AFTERS);
  lua_pushnil(L);
  lua_rawsetp(L, -2, after);
  lua_pop(L, 1);
}

/* Called by the core, where nothing may fail. */
static void on_done(ctx_watcher_t* w) {
  lctx_after* after = LCTX_CONTAINER(w, lctx_after, watcher);
  lctx_list_append(&after->S->run, &after->link);
}

void lctx_after_start(lua_State* L, lctx_state* S, lctx_after* after) {
  lctx_task* t = lctx_task_prepare(L, S, 0);
  lctx_pushref(L, S, LCTX_REF_AFTERS);
  lua_rawgetp(L, -1, after);
  lua_getiuservalue(L, -1, 1);
  lctx_task_start(L, t, 0);
  lua_pop(L, 2);
  release(L, S, after);
  lctx_list_remove(&t->link);
  lctx_list_prepend(&S->run, &t->link);
}

void lctx_after_forget(lua_State* L, lctx_state* S, uint64_t since) {
  lctx_pushref(L, S, LCTX_REF_AFTERS);
  int afters = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, afters)) {
    lctx_after* after = (lctx_after*)lua_touserdata(L, -1);
    if (after->serial > since) {
      (void)ctx_unwatch(&after->watcher);
      release(L, S, after);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* stop() → true if that kept the function from running */
static int after_stop(lua_State* L) {
  lctx_after* after = (lctx_after*)lua_touserdata(L, lua_upvalueindex(1));
  bool kept = after->pending && !after->S->closed;
  if (kept) {
    (void)ctx_unwatch(&after->watcher);
    release(L, after->S, after);
  }
  lua_pushboolean(L, kept);
  return 1;
}

/* ctx.after_func(c, fn) → stop. On a context that is done, fn runs soon; never within this call. */
static int after_func(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c");
  lctx_checkfn(L, 2, "fn");
  lua_settop(L, 2);
  lctx_after* after = (lctx_after*)lua_newuserdatauv(L, sizeof *after, 2);
  *after = (lctx_after){.S = S, .kind = LCTX_AFTER, .serial = ++S->serial};
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, 2);
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, after_stop, 1);
  anchor(L, S, after, 3);
  int err = ctx_watch(c->c, &after->watcher, on_done);
  if (err != 0) {
    release(L, S, after);
    return luaL_error(L, "cannot register fn: %s", ctx_strerror(err));
  }
  after->pending = true;
  if (!S->draining) lctx_settle(L, S);
  return 1;
}

void lctx_open_after(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"after_func", after_func}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
