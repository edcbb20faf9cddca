/* SPDX-License-Identifier: MIT */
#include "classes/group_errors.h"

#include "classes/task.h"
#include "enter.h"

/* Whether a task that is over has failed: raised, or returned nil or false and an error. */
static bool has_failed(lctx_task* t, int nresults) {
  lua_State* co = t->co;
  return t->failed ||
         (nresults >= 2 && !lua_toboolean(co, -nresults) && !lua_isnil(co, 1 - nresults));
}

/* Whether the error of a task that has is ctx.canceled itself: what most return that a failure ended.
 * These errors are all the same, so but for the first of a group they are only counted. */
static bool is_canceled(const lctx_task* t, int nresults) {
  return !t->failed && lua_topointer(t->co, 1 - nresults) == t->S->canceled;
}

/* Pushes the error of a task that has. */
static void push_group_error(lua_State* L, lctx_task* t, int nresults) {
  lua_State* co = t->co;
  if (t->failed) {
    lua_xmove(co, L, 1);
    lctx_push_trace(L, t);
    if (!lctx_hook(L, t->S, "raised", 2, 1)) lua_pushliteral(L, "not enough memory");
  } else {
    lua_pushvalue(co, 1 - nresults);
    lua_xmove(co, L, 1);
  }
}

/* Arguments: the error, the group. The list of the errors after the first is made of pairs: how often
 * ctx.canceled came before it, an error. */
static int append_other(lua_State* L) {
  lctx_group* g = (lctx_group*)lua_touserdata(L, 2);
  if (lua_getiuservalue(L, 2, LCTX_GROUP_OTHERS) == LUA_TNIL) {
    lua_createtable(L, 4, 0);
    /* A finalizer may have ended a task meanwhile, which then made the list. */
    if (lua_getiuservalue(L, 2, LCTX_GROUP_OTHERS) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      lua_setiuservalue(L, 2, LCTX_GROUP_OTHERS);
    }
    lua_replace(L, 3);
    lua_settop(L, 3);
  }
  lua_pushvalue(L, 1);
  lua_rawseti(L, 3, g->listed + 2);
  lua_pushinteger(L, g->canceled);
  lua_rawseti(L, 3, g->listed + 1);
  g->listed += 2; /* only now: without memory, nothing has changed */
  g->canceled = 0;
  return 0;
}

/* Stack: the group, the error. Pops the error. The list of the others may lack one when
 * out of memory. */
static void fail_too(lua_State* L, lctx_group* g, int group) {
  lua_pushcfunction(L, append_other);
  lua_insert(L, -2);
  lua_pushvalue(L, group);
  if (lctx_enter_plain(L, 2, 0) != LUA_OK) lua_pop(L, 1);
  lctx_group_end(g, true, NULL);
}

/* Stack: the group, the failure, or without memory the error; pops that. The first error becomes the
 * context's cause. Nothing in here allocates. */
static void fail_first(lua_State* L, lctx_group* g, int group, lctx_failure* failure) {
  ctx_cause_t* cause = NULL;
  if (g->own != NULL && ctx_err(lctx_group_node(g)) == 0) {
    lua_getiuservalue(L, group, LCTX_GROUP_CONTEXT);
    lua_pushvalue(L, -2);
    lctx_open_up(L, failure, LCTX_FAILURE_ERROR);
    lua_setiuservalue(L, -2, 2);
    lua_pop(L, 1);
    cause = &g->own->base.token;
  }
  g->failure = failure;
  lua_setiuservalue(L, group, LCTX_GROUP_FAILURE);
  lctx_group_end(g, true, cause);
}

/* Stack: the group, the error, which it pops. */
static void fail_group(lua_State* L, lctx_group* g) {
  int group = lua_gettop(L) - 1;
  lctx_state* S = lctx_stateof_group(g);
  if (!g->g.failed) {
    lua_pushnil(L);
    lctx_failure* failure = lctx_push_failure(L, S, "group_failed", group, &g->waiters);
    if (!g->g.failed) {
      fail_first(L, g, group, failure);
      return;
    }
    /* Meanwhile a finalizer has ended another task, which failed. */
    lctx_hear(L, S, failure);
    lctx_open_up(L, failure, LCTX_FAILURE_ERROR);
  }
  fail_too(L, g, group);
}

/* The usual ends first, which make nothing: all is well, or the task was cancelled with its group. */
void lctx_group_task_over(lua_State* L, lctx_task* t, int nresults) {
  lctx_group* g = LCTX_CONTAINER(t->owner, lctx_group, owner);
  if (!has_failed(t, nresults)) {
    lctx_group_end(g, false, NULL);
  } else if (g->g.failed && is_canceled(t, nresults)) {
    g->canceled++;
    lctx_group_end(g, true, NULL);
  } else {
    (void)lctx_pushplace(L, t, LCTX_PLACE_OWNER);
    push_group_error(L, t, nresults);
    fail_group(L, g);
    lua_pop(L, 1);
  }
  lctx_empty(t, LCTX_PLACE_OWNER);
}

void lctx_group_unawaited(lua_State* L, lctx_state* S, lctx_group* g, int index) {
  if (g->failure == NULL) return;
  lua_getiuservalue(L, index, LCTX_GROUP_FAILURE);
  lctx_unawaited(L, S, g->failure);
  lua_pop(L, 1);
}

bool lctx_group_hear(lua_State* L, lctx_group* g, int index) {
  lua_getiuservalue(L, index, LCTX_GROUP_FAILURE);
  lctx_open_up(L, g->failure, LCTX_FAILURE_ERROR);
  bool unheard = g->failure != NULL && !g->failure->heard;
  lctx_hear(L, lctx_stateof_group(g), g->failure);
  return unheard;
}

/* Adds ctx.canceled `count` times to the list at stack index 2, which has `n` errors. Returns how
 * many it has then. */
static lua_Integer add_canceled(lua_State* L, lctx_state* S, lua_Integer n, lua_Integer count) {
  for (lua_Integer end = n + count; n < end;) {
    lctx_pushref(L, S, LCTX_REF_CANCELED);
    lua_rawseti(L, 2, ++n);
  }
  return n;
}

/* g:errors() → a list of all errors, by time */
int lctx_group_errors(lua_State* L) {
  lctx_group* g = lctx_checkgroup(L, 1);
  lctx_state* S = lctx_stateof_group(g);
  lua_settop(L, 1);
  lua_newtable(L);
  if (!g->g.failed) return 1;
  (void)lctx_group_hear(L, g, 1);
  lua_rawseti(L, 2, 1);
  lua_Integer n = 1;
  lua_getiuservalue(L, 1, LCTX_GROUP_OTHERS);
  for (lua_Integer i = 1; i < g->listed; i += 2) {
    lua_rawgeti(L, 3, i);
    n = add_canceled(L, S, n, lua_tointeger(L, -1));
    lua_rawgeti(L, 3, i + 1);
    lua_rawseti(L, 2, ++n);
    lua_pop(L, 1);
  }
  (void)add_canceled(L, S, n, g->canceled);
  lua_settop(L, 2);
  return 1;
}
