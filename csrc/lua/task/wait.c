/* SPDX-License-Identifier: MIT */
/* How a coroutine waits: parked with everything that may wake it, woken by the first of these.
 *
 * A task and any other coroutine yield, and go on in a continuation; the main thread cannot, and
 * runs the loop instead. The way back is one: a function that turns the outcome into results. */
#include <string.h>

#include "task/wait.h"

#include "enter.h"
#include "loop.h"
#include "report/where.h"
#include "task/alarm.h"
#include "task/drive.h"
#include "task/gone.h"
#include "task/leave.h"
#include "task/results.h"
#include "task/sched.h"
#include "task/turn.h"
#include "task/wrap.h"
#include "want.h"

/* -- The coroutine that waits -------------------------------------------------------------- */

/* While a finalizer runs, Lua refuses everything that is asked of its collector. To look for one on
 * the stack would cost the square of its depth: lua_getstack counts from the top each time. */
static bool in_finalizer(lua_State* L) {
  return lua_gc(L, LUA_GCCOUNT) == -1;
}

static bool is_current(const lua_State* co, const lctx_state* S) {
  return S->current != NULL && S->current->co == co;
}

/* Whether the function of this level is a hook, or one in C that calls back, and so lets nobody yield;
 * pcall and xpcall do let. */
static bool calls_back(lua_State* L, lua_Debug* ar) {
  static const char* const names[] = {"pcall", "xpcall"};
  if (!lua_getinfo(L, "nSf", ar)) return false;
  bool hook = strcmp(ar->namewhat, "hook") == 0, back = *ar->what == 'C';
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  for (int i = 0; i < 2 && back; i++) {
    lua_pushstring(L, names[i]);
    lua_rawget(L, -2);
    back = !lua_rawequal(L, -1, -3);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return back || hook;
}

/* Whether the coroutine, which cannot yield, is being closed: what keeps it from yielding is nothing on
 * its own stack, whose first function is that of a <close> variable. */
static bool is_being_closed(lua_State* L) {
  enum { MOST = 200 }; /* levels: on a deeper stack it is not told */
  lua_Debug ar;
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    if (level == MOST || calls_back(L, &ar)) return false;
  }
  return true;
}

/* Why the running coroutine cannot wait, and what to do; NULL if it can. */
static const char* obstacle(lua_State* L, lctx_state* S) {
  static const char finalizer[] = "in a finalizer (__gc); start a task there with ctx.go";
  lua_State* co = lctx_waiting_coroutine(L, S);
  if (S->closed) return "since the Lua state is closing";
  if (S->starting != NULL && lctx_waits_for(S->starting->co, L, S)) {
    return "in the start function of ctx.await; wait before or after it";
  }
  bool main = co == S->main;
  if (!main && !lua_isyieldable(co)) {
    if (in_finalizer(co)) return finalizer;
    if (is_being_closed(co)) {
      return "in a coroutine that is being closed; what it waits for goes on without it";
    }
    return "inside a C function that calls back (such as table.sort or string.gsub), or "
           "a metamethod; wait before it, or start a task with ctx.go";
  }
  if (!main || is_current(co, S)) return NULL;
  if (in_finalizer(co)) return finalizer;
  if (!S->draining && !lctx_in_loop(L, S)) return NULL;
  return "on the main thread while the loop runs (in a luv callback, for one); start "
         "a task with ctx.go(fn) and wait in that";
}

bool lctx_can_wait(lua_State* L, lctx_state* S) {
  return obstacle(L, S) == NULL;
}

static void check_wait(lua_State* L, lctx_state* S, const char* what) {
  const char* why = obstacle(L, S);
  if (why != NULL) lctx_error(L, S, "%s: cannot wait here, %s", what, why);
}

/* The record of the running coroutine, for a wait in `what`; or an error if it cannot wait. */
lctx_task* lctx_waiter(lua_State* L, lctx_state* S, const char* what) {
  check_wait(L, S, what);
  lua_State* co = lctx_waiting_coroutine(L, S);
  if (is_current(co, S)) return S->current;
  lctx_task* t = lctx_task_new(L, S, co == S->main ? LCTX_MAIN : LCTX_FOREIGN, co);
  if (t->kind == LCTX_MAIN || lctx_can_turn(L, S)) return t;
  lctx_leave(L, t, LCTX_FORGOES);
  luaL_error(L, "%s: %s", what, lctx_no_loop(L));
  return NULL;
}

/* core.check_wait(c, what): raises where the public function of that name could not wait, before it
 * has done anything. With a `c` that is done there is no wait; nil is none. */
static int core_check_wait(lua_State* L) {
  lctx_context* c = lua_isnil(L, 1) ? NULL : lctx_checkcontext(L, 1, "c");
  if (c == NULL || ctx_err(c->c) == 0) check_wait(L, lctx_upstate(L), luaL_checkstring(L, 2));
  return 0;
}

int lctx_leave_error(lua_State* L, lctx_task* t, const char* what, int err) {
  lctx_state* S = t->S;
  lctx_leave(L, t, LCTX_FORGOES);
  return lctx_error(L, S, "%s: %s", what, ctx_strerror(err));
}

/* -- Parking ---------------------------------------------------------------------------------- */

static void on_done(ctx_watcher_t* w) {
  lctx_wake(LCTX_CONTAINER(w, lctx_task, watcher), LCTX_ENDED);
}

static int resumed(lua_State* L, int status, lua_KContext context) {
  (void)status;
  lctx_task* t = (lctx_task*)context;
  lctx_state* S = t->S;
  if (t->state != LCTX_RUNNING || t->wait == NULL) {
    const char* what = t->what;
    lctx_forsake(L, t);
    return lctx_intruded(L, S, what);
  }
  enum lctx_outcome outcome = (enum lctx_outcome)t->outcome;
  lctx_waited_fn waited = t->wait->waited;
  bool packed = lctx_take_packed(L, t);
  lctx_leave(L, t, LCTX_TAKES);
  if (packed) lctx_unpack(L);
  return waited(L, S, outcome);
}

bool lctx_is_woken(lctx_state* S, void* arg) {
  (void)S;
  return ((lctx_task*)arg)->outcome != LCTX_NOTHING;
}

/* The main thread's way: it has run the loop until the record was woken, or nothing could do so. */
static int driven_to(lua_State* L, lctx_state* S, lctx_task* t, enum lctx_driven driven) {
  if (driven != LCTX_OVER) {
    const char* what = t->what;
    lctx_leave(L, t, LCTX_FORGOES);
    if (driven == LCTX_FAILED) {
      /* Without a line, as Lua's own errors of this kind. */
      lua_pushfstring(L, "%s: %s", what, lctx_no_loop(L));
      return lua_error(L);
    }
    if (!lctx_hook(L, S, "asleep", 0, 1)) lua_pushliteral(L, "");
    return lctx_error(L, S, "%s: all tasks are asleep, and nothing can wake this thread\n%s", what,
                      lua_tostring(L, -1));
  }
  lctx_list_remove(&t->link); /* of the run queue, unless that has come to it */
  t->state = LCTX_RUNNING;
  return resumed(L, LUA_YIELD, (lua_KContext)t);
}

/* The same in the body of a generator. If it is the main thread that iterates, that has run the loop
 * meanwhile. */
static int resumed_in_body(lua_State* L, int status, lua_KContext context) {
  lctx_state* S = lctx_upstate(L);
  if (!lctx_is_iterated(S, L)) return lctx_intruded(L, S, "ctx.wrap");
  lctx_task* t = (lctx_task*)context;
  if (S->driven == LCTX_NOT_DRIVEN) return resumed(L, status, context);
  enum lctx_driven driven = (enum lctx_driven)S->driven;
  S->driven = LCTX_NOT_DRIVEN;
  return driven_to(L, S, t, driven);
}

/* Registers the record with what may wake it. 0, or the core's error, with nothing registered. */
static int listen(lctx_state* S, lctx_task* t, const lctx_wait* wait) {
  int err = 0;
  if (wait->c != NULL) err = ctx_watch(wait->c->c, &t->watcher, on_done);
  if (err == 0 && wait->due_ns != 0) {
    err = lctx_arm(t, wait->due_ns);
    if (err != 0) (void)ctx_unwatch(&t->watcher);
  }
  if (err != 0) return err;
  if (wait->list != NULL) lctx_list_append(wait->list, &t->link);
  if (wait->turn) lctx_list_append(&S->turn, &t->link);
  return 0;
}

int lctx_park_task(lua_State* L, lctx_state* S, lctx_task* t, const lctx_wait* wait) {
  bool in_list = wait->list != NULL && wait->context == 1; /* the list's owner is anchored below */
  if ((wait->c != NULL || wait->undo_data != NULL) && !in_list) {
    /* What is watched must not be collected: the stack of a coroutine that its owner closes lets go
     * of it, this table does not. The same below for the list. */
    lua_pushvalue(L, wait->context);
    lctx_put(L, t, LCTX_PLACE_ANCHOR);
    t->anchored = true;
  }
  if (wait->list != NULL) {
    lua_pushvalue(L, 1);
    lctx_put(L, t, LCTX_PLACE_LIST);
    t->listed = true;
  }
  t->outcome = LCTX_NOTHING;
  t->what = wait->what;
  t->wait = wait->kind;
  t->undo_data = wait->undo_data;
  int err = listen(S, t, wait);
  if (err != 0) return lctx_leave_error(L, t, wait->what, err);
  t->state = LCTX_PARKED;
  S->parked++;
  if (wait->kind->external) S->external++;
  if (!S->asked) lctx_ask(S); /* to set the timer, at least */
  if (L == S->main && t->kind == LCTX_MAIN) {
    return driven_to(L, S, t, lctx_drive(L, S, lctx_is_woken, t));
  }
  lctx_generator_waits(L, S, t);
  return lua_yieldk(L, 0, (lua_KContext)t, L == t->co ? resumed : resumed_in_body);
}

int lctx_park(lua_State* L, lctx_state* S, const lctx_wait* wait) {
  bool guarded = wait->kind->guarded && L != S->main && S->generator == NULL && !is_current(L, S);
  if (guarded) lctx_push_guard(L, S);
  lctx_task* t = lctx_waiter(L, S, wait->what);
  if (guarded) lctx_set_guard(L, t);
  return lctx_park_task(L, S, t, wait);
}

/* -- c:wait() and ctx.sleep ---------------------------------------------------------------------- */

static int context_ended(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)outcome;
  lctx_pusherr(L, S, ctx_err(lctx_tocontext(L, 1)->c));
  return lctx_refused(L, S, 1);
}

/* c:wait() → c:err(), once c is done */
static int context_wait(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c (call it as c:wait())");
  lua_settop(L, 1);
  if (ctx_err(c->c) != 0) return context_ended(L, S, LCTX_ENDED);
  static const lctx_wait_kind kind = {.waited = context_ended, .guarded = true};
  lctx_wait wait = {.kind = &kind, .what = "c:wait", .c = c, .context = 1};
  return lctx_park(L, S, &wait);
}

/* A sleep brings nothing but leave to go on, and that does not outlive its context: the loop may have
 * been busy past the end of both. */
static int slept(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  if (outcome == LCTX_DUE && ctx_err(lctx_tocontext(L, 1)->c) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return lctx_pushended(L, S, 1);
}

/* ctx.sleep(c, ms) → true, or nil and c:err(). With 0 it goes on after a turn of the loop. */
static int wait_sleep(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_context* c = lctx_checkcontext(L, 1, "c");
  uint64_t ns = lctx_checkms(L, 2, "ms");
  lua_settop(L, 1);
  if (ctx_err(c->c) != 0) return slept(L, S, LCTX_ENDED);
  static const lctx_wait_kind kind = {.waited = slept, .guarded = true};
  lctx_wait wait = {.kind = &kind, .what = "ctx.sleep", .c = c, .context = 1, .turn = ns == 0};
  if (ns > 0 && ns != CTX_NEVER) wait.due_ns = ctx_time_add(ctx_now(&S->tree), ns);
  return lctx_park(L, S, &wait);
}

void lctx_open_wait(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {
      {"sleep", wait_sleep}, {"check_wait", core_check_wait}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"wait", context_wait}, {NULL, NULL}};
  lctx_register(L, S, functions);
  lctx_add_methods(L, S, LCTX_REF_CONTEXT, methods);
}
