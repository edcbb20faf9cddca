/* SPDX-License-Identifier: MIT */
#include "task/wrap.h"

#include "enter.h"
#include "report/traceback.h"
#include "report/where.h"
#include "task/drive.h"
#include "task/gone.h"
#include "task/record.h"
#include "task/sched.h"
#include "task/wait.h"
#include "want.h"

static const char generator_tag = 0;

enum { UP_GENERATOR = LCTX_UP_STATE + 1 }; /* of the function that iterates */
enum { BODY = 1, ITERATOR }; /* user values of a generator; the second while it waits */

lua_State* lctx_find_iterator(lua_State* L, lctx_state* S) {
  lctx_generator* g = S->generator;
  for (; g != NULL && g->co == L && lua_isyieldable(L); g = g->outer) L = g->iterator;
  return L;
}

bool lctx_waits_for(const lua_State* L, const lua_State* co, const lctx_state* S) {
  for (const lctx_generator* g = S->generator; g != NULL && co != L && g->co == co; g = g->outer) {
    co = g->iterator;
  }
  return co == L;
}

void lctx_generator_waits(lua_State* L, lctx_state* S, lctx_task* t) {
  if (!lctx_is_iterated(S, L)) return;
  lctx_generator* g = S->generator;
  g->waiting = true;
  g->t = t;
}

/* The body has raised. Raises its error in the iterator, with the traceback of the body: see the hook. */
static int failed(lua_State* L, lctx_state* S, lctx_generator* g) {
  lua_settop(L, 0);
  lctx_traceback(L, g->co, NULL, 0);
  (void)lctx_close_thread(L, g->co); /* its <close> variables, which may change the error */
  lua_xmove(g->co, L, 1);
  lua_settop(g->co, 0);
  lua_insert(L, 1);
  lua_pushvalue(L, 1);
  lua_insert(L, 1);
  if (!lctx_hook(L, S, "generator_failed", 2, 1)) lua_settop(L, 1);
  return lua_error(L);
}

/* Keeps the coroutine that iterates while the body waits, or lets go of it. Only in functions that have
 * the generator as an upvalue. */
static void keep_iterator(lua_State* L, bool keep) {
  lua_pushvalue(L, lua_upvalueindex(UP_GENERATOR));
  if (keep) {
    lua_pushthread(L);
  } else {
    lua_pushnil(L);
  }
  lua_setiuservalue(L, -2, ITERATOR);
  lua_pop(L, 1);
}

/* Resumes the body with the `nargs` values that are the stack of L. */
static int resume_body(lua_State* L, lctx_state* S, lctx_generator* g, int nargs, int* nresults) {
  lua_xmove(L, g->co, nargs);
  g->iterator = L;
  g->outer = S->generator;
  g->waiting = false;
  S->generator = g;
  int status = lua_resume(g->co, L, nargs, nresults);
  S->generator = g->outer;
  return status;
}

/* The same where the body waits, with what has woken its record. Somebody may have resumed the body
 * meanwhile, or closed it: then nobody has left the record, or takes what that brings. The block is
 * kept, since it may be given back with the last record in it. */
static int wake_body(lua_State* L, lctx_state* S, lctx_generator* g, int nargs, int* nresults) {
  lctx_task* t = g->t;
  uint64_t ticket = t->ticket;
  bool closed = lua_status(g->co) != LUA_YIELD;
  lctx_pushblock(L, t);
  lua_insert(L, 1);
  keep_iterator(L, false);
  int status = closed ? LUA_OK : resume_body(L, S, g, nargs, nresults);
  if (t->ticket == ticket) lctx_forsake(L, t);
  S->driven = LCTX_NOT_DRIVEN;
  if (!closed) return status;
  g->busy = g->waiting = false;
  return lctx_error(L, S, "ctx.wrap: the body was closed by someone else while it waited");
}

/* The body cannot take what it is resumed with, and so does not go on. */
static int overfull(lua_State* L, lctx_state* S, lctx_generator* g) {
  if (g->waiting) {
    lctx_forsake(L, g->t);
    S->driven = LCTX_NOT_DRIVEN;
    (void)lctx_close_thread(L, g->co);
    lua_settop(g->co, 0);
  }
  g->busy = g->waiting = false;
  return luaL_error(L, "ctx.wrap: too many values, or not enough memory");
}

static int relayed(lua_State* L, int status, lua_KContext context);

/* Resumes the body with the `nargs` values on the stack; returns what it yields, or returns. While it
 * waits the iterator does: on the main thread by running the loop. */
static int go_on(lua_State* L, lctx_state* S, lctx_generator* g, int nargs) {
  for (;; nargs = 0) {
    int nresults = 0;
    if (!lua_checkstack(g->co, nargs + LUA_MINSTACK)) return overfull(L, S, g);
    int status =
        g->waiting ? wake_body(L, S, g, nargs, &nresults) : resume_body(L, S, g, nargs, &nresults);
    if (status == LUA_YIELD && g->waiting) {
      lua_settop(L, 0);
      keep_iterator(L, true);
      if (L == S->main) {
        S->driven = (int8_t)lctx_drive(L, S, lctx_is_woken, g->t);
        continue;
      }
      g->nested = lctx_is_iterated(S, L);
      lctx_generator_waits(L, S, g->t);
      return lua_yieldk(L, 0, (lua_KContext)g, relayed);
    }
    g->busy = false;
    if (status > LUA_YIELD) return failed(L, S, g);
    luaL_checkstack(L, nresults, "too many results");
    lua_xmove(g->co, L, nresults);
    return nresults;
  }
}

static int relayed(lua_State* L, int status, lua_KContext context) {
  (void)status;
  lctx_generator* g = (lctx_generator*)context;
  lctx_state* S = lctx_upstate(L);
  if (g->nested && !lctx_is_iterated(S, L)) return lctx_intruded(L, S, "ctx.wrap");
  return go_on(L, S, g, lua_gettop(L));
}

/* What ctx.wrap returns first: the function that the generic `for` calls. */
static int generator_next(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_generator* g = (lctx_generator*)lua_touserdata(L, lua_upvalueindex(UP_GENERATOR));
  if (g->busy) {
    return lctx_error(L, S, "ctx.wrap: this generator %s already",
                      g->waiting ? "waits for another coroutine" : "is running");
  }
  if (lua_status(g->co) == LUA_OK && lua_gettop(g->co) == 0) {
    return lctx_error(L, S, "ctx.wrap: this generator is over");
  }
  int nargs = lua_gettop(L);
  if (!lua_checkstack(g->co, nargs + LUA_MINSTACK)) return luaL_error(L, "too many arguments");
  g->busy = true;
  return go_on(L, S, g, nargs);
}

/* Closes the body, as coroutine.close does. While it waits only the end of the iterator does so: that
 * one would be left alone with a wait that is nobody's. */
static int generator_close(lua_State* L) {
  lctx_generator* g = (lctx_generator*)lua_touserdata(L, 1);
  if (g == NULL || lua_rawlen(L, 1) < sizeof *g || g->tag != &generator_tag) {
    lctx_typeerror(L, 1, "generator", "a generator of ctx.wrap");
  }
  bool iterated = g->busy && (!g->waiting || lua_status(g->iterator) == LUA_YIELD);
  if (iterated) return lctx_error(L, lctx_upstate(L), "ctx.wrap: this generator is running");
  g->busy = g->waiting = false;
  int status = lctx_close_thread(L, g->co);
  if (status != LUA_OK) lua_xmove(g->co, L, 1);
  lua_settop(g->co, 0);
  return status == LUA_OK ? 0 : lua_error(L);
}

/* ctx.wrap(fn) → a function, nil, nil, and what closes the generator: for the generic `for` */
static int core_wrap(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_checkfn(L, 1, "fn");
  lua_settop(L, 1);
  lua_pushlightuserdata(L, S);
  lctx_generator* g = (lctx_generator*)lua_newuserdatauv(L, sizeof *g, ITERATOR);
  *g = (lctx_generator){.tag = &generator_tag};
  g->co = lua_newthread(L);
  lua_setiuservalue(L, 3, BODY);
  if (lua_gethook(L) != NULL) lctx_inherit_hook(L, S, g->co);
  lua_pushvalue(L, 1);
  lua_xmove(L, g->co, 1);
  lctx_pushref(L, S, LCTX_REF_GENERATOR);
  lua_setmetatable(L, 3);
  lua_pushvalue(L, 3);
  lua_insert(L, 2);
  lua_pushcclosure(L, generator_next, 2);
  lua_insert(L, 2);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_rotate(L, 3, 2);
  return 4;
}

void lctx_open_wrap(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"wrap", core_wrap}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__close", generator_close}, {NULL, NULL}};
  static const lctx_class class = {.name = "ctx.Generator",
                                   .ref = LCTX_REF_GENERATOR,
                                   .methods = methods,
                                   .metamethods = metamethods};
  lctx_register(L, S, functions);
  lctx_open_class(L, S, &class);
}
