/* SPDX-License-Identifier: MIT */
/* Why a context is done: the cause, a Lua value, and where it stands. */
#include "context/cause.h"

#include "context/shelter.h"
#include "enter.h"

/* -- The way up ---------------------------------------------------------------------------------- */

/* Pushes the source that ended the `any` whose shelter is on top, in its place. */
static bool push_source(lua_State* L) {
  const lctx_shelter* s = (const lctx_shelter*)lua_touserdata(L, -1);
  int count = (int)((lua_rawlen(L, -1) - sizeof *s) / sizeof s->arms[0]);
  for (int i = 0; i < count; i++) {
    if (s->arms[i].due.status == 0) continue;
    lua_getiuservalue(L, -1, i + 1);
    lua_replace(L, -2);
    return true;
  }
  lua_pop(L, 1);
  return false;
}

bool lctx_push_way_of_end(lua_State* L, int arg) {
  const lctx_context* c = (const lctx_context*)lua_touserdata(L, arg);
  if (c->kind == LCTX_ANY) return lctx_push_shelter(L, c, arg) != NULL && push_source(L);
  if (c->kind == LCTX_PUSHED) return lctx_push_shelter(L, c, arg) != NULL;
  if (lua_getiuservalue(L, arg, 1) == LUA_TUSERDATA) return true;
  lua_pop(L, 1);
  return false;
}

/* Replaces the context on top by `target`, which stands at or above it. A value is inherited from the
 * parent; a cause is that of a context from which those below have their end. */
static void find_above(lua_State* L, const lctx_context* target) {
  while (lua_touserdata(L, -1) != target) {
    if (target->kind != LCTX_VALUE) {
      if (!lctx_push_way_of_end(L, -1)) return;
    } else if (lua_getiuservalue(L, -1, 1) != LUA_TUSERDATA) {
      lua_pop(L, 1);
      return;
    }
    lua_replace(L, -2);
  }
}

void lctx_know(lua_State* L, int arg) {
  lua_pushvalue(L, arg);
  lua_rawsetp(L, lua_upvalueindex(LCTX_UP_KNOWN), lua_touserdata(L, -1));
}

/* The weak table forgets what is only being finalized: then the way up leads there, too. */
void lctx_pushknown(lua_State* L, int arg, const lctx_context* c) {
  arg = lua_absindex(L, arg);
  if (lua_rawgetp(L, lua_upvalueindex(LCTX_UP_KNOWN), c) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_pushvalue(L, arg);
  find_above(L, c);
}

/* -- Causes -------------------------------------------------------------------------------------- */

/* A cause that C made, which has a text and no owner among the contexts. */
static void push_foreign_cause(lua_State* L, lctx_state* S, int err, ctx_cause_t* cause) {
  const char* text = cause->ops != NULL && cause->ops->message != NULL
                         ? cause->ops->message(cause)
                         : "a cause without a message";
  lua_pushstring(L, text);
  if (!lctx_hook(L, S, "foreign_cause", 1, 1)) lctx_pusherr(L, S, err);
}

void lctx_keep_cause(lua_State* L, lctx_state* S, int shelter) {
  const lctx_shelter* s = (const lctx_shelter*)lua_touserdata(L, shelter);
  ctx_cause_t* given = s->relay.given;
  if (given == NULL) return;
  shelter = lua_absindex(L, shelter);
  if (lua_getiuservalue(L, shelter, 2) == LUA_TNIL) {
    push_foreign_cause(L, S, -(int)s->relay.c.due.status, given);
    lua_setiuservalue(L, shelter, 2);
  }
  lua_pop(L, 1);
}

/* Pushes the context that owns the cause, as far as that can be found, and its user value 2. */
static lctx_context* push_owned(lua_State* L, int arg, ctx_cause_t* cause) {
  lctx_pushknown(L, arg, LCTX_CONTAINER(cause, lctx_context, token));
  const lctx_context* owner = (const lctx_context*)lua_touserdata(L, -1);
  if (owner->kind == LCTX_SHELTER) lctx_keep_cause(L, lctx_stateof(owner), -1);
  lua_getiuservalue(L, -1, 2);
  return (lctx_context*)lua_touserdata(L, -2);
}

void lctx_pushcause(lua_State* L, lctx_state* S, int arg, lctx_context* c) {
  int err = lctx_err(S, c);
  ctx_cause_t* cause = err == 0 ? NULL : c->c->cause;
  if (cause == NULL) {
    lctx_pusherr(L, S, err);
  } else {
    if (push_owned(L, arg, cause)->joined) {
      lua_rawgeti(L, -1, 2); /* what it wraps: the sentinel, the cause */
      lua_replace(L, -2);
    }
    lua_replace(L, -2);
  }
}

/* Replaces the cause on top by the error that is the sentinel and the cause. Without memory for that
 * it is the sentinel. */
static void join(lua_State* L, lctx_state* S, int err) {
  lctx_pusherr(L, S, err);
  lua_insert(L, -2);
  if (!lctx_hook(L, S, "ended", 2, 1)) lctx_pusherr(L, S, err);
}

void lctx_pushend(lua_State* L, lctx_state* S, int arg) {
  lctx_context* c = lctx_tocontext(L, arg);
  int err = lctx_err(S, c);
  ctx_cause_t* cause = err == 0 ? NULL : c->c->cause;
  if (cause == NULL) {
    lctx_pusherr(L, S, err);
    return;
  }
  lctx_context* owner = push_owned(L, arg, cause);
  if (!owner->joined) {
    join(L, S, err);
    bool joined = lua_type(L, -1) == LUA_TTABLE && lua_rawlen(L, -1) == 2;
    if (owner->joined) { /* a finalizer in there has asked first */
      lua_getiuservalue(L, -2, 2);
      lua_replace(L, -2);
    } else if (joined && &owner->token == cause) {
      lua_pushvalue(L, -1);
      lua_setiuservalue(L, -3, 2);
      owner->joined = true;
    }
  }
  lua_replace(L, -2);
}
