/* SPDX-License-Identifier: MIT */
/* The scheduler: the run queue, and the only place that resumes any.
 *
 * Nothing is resumed from within a task or from within a cancel: whatever wakes a coroutine puts it
 * into the run queue, and lctx_drain, called from the bottom of the loop, takes it from there. */
#include <string.h>

#include "task/sched.h"

#include "enter.h"
#include "host.h"
#include "loop.h"
#include "report/failure.h"
#include "report/traceback.h"
#include "report/where.h"
#include "task/check.h"
#include "task/gone.h"
#include "task/leave.h"
#include "task/turn.h"

/* A hand-moved clock stands still while tasks run: then so many rounds of the run queue, the same in
 * each run of a test, before the loop has its turn. */
enum { FAKE_ROUNDS = 64 };

/* -- Tasks -------------------------------------------------------------------------------------- */

/* The traceback of a task that raises is taken where it raises, and kept by its slot. */
static int on_error(lua_State* co) {
  lctx_state* S = (lctx_state*)lua_touserdata(co, lua_upvalueindex(1));
  lctx_task* t = S->current;
  if (t == NULL || t->co != co) return 1;
  lctx_owned_traceback(co, S, 1);
  lctx_set_at(co, S, LCTX_REF_TRACES, t->slot);
  return 1;
}

/* On the coroutine: [on_error, results…], or [on_error, error]. */
static int after_task(lua_State* co, int status, lua_KContext context) {
  lctx_task* t = (lctx_task*)context;
  t->failed = status != LUA_OK && status != LUA_YIELD;
  return lua_gettop(co) - 1;
}

/* The body of every task: on_error, the function, its arguments. The function runs under a
 * protected call inside the coroutine, so that its <close> variables may wait also after an error. */
static int task_body(lua_State* co) {
  lctx_state* S = (lctx_state*)lua_touserdata(co, lua_upvalueindex(1));
  lctx_task* t = S->current;
  lua_KContext context = (lua_KContext)t;
  int status = lua_pcallk(co, lua_gettop(co) - 2, LUA_MULTRET, 1, context, after_task);
  return after_task(co, status, context);
}

/* A debug hook belongs to one coroutine. So that tools that count lines, debuggers and limits see what
 * runs in tasks, a task has that of the coroutine that starts it. Those of Lua are told apart by their
 * thread, which is the debug library's business. */
void lctx_inherit_hook(lua_State* L, lctx_state* S, lua_State* co) {
  lua_sethook(co, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L));
  lua_pushthread(L);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  (void)lctx_hook(L, S, "inherit_hook", 2, 0);
}

lctx_task* lctx_task_prepare(lua_State* L, lctx_state* S, int nargs) {
  enum { OURS = 4 }; /* below the arguments */
  lctx_task* t = lctx_task_new(L, S, LCTX_TASK, NULL);
  if (nargs + OURS > LUA_MINSTACK && !lua_checkstack(t->co, nargs + OURS)) {
    lctx_task_free(t);
    luaL_error(L, "too many arguments for a task");
  }
  if (lua_gethook(L) != NULL) lctx_inherit_hook(L, S, t->co);
  return t;
}

/* Protected. */
static int put_spawn(lua_State* L) {
  lctx_task* t = (lctx_task*)lua_touserdata(L, 1);
  lctx_pushwhere(L, t->S);
  lctx_set_at(L, t->S, LCTX_REF_SPAWNS, t->slot);
  t->spawned = true;
  return 0;
}

/* Keeps the line that starts the task. */
static void note_spawn(lua_State* L, lctx_task* t) {
  lua_pushcfunction(L, put_spawn);
  lua_pushlightuserdata(L, t);
  /* Without memory a line is not worth a failure. */
  if (lctx_enter_plain(L, 1, 0) != LUA_OK) lua_pop(L, 1);
}

lctx_task* lctx_task_prepare_here(lua_State* L, lctx_state* S, int nargs) {
  lctx_task* t = lctx_task_prepare(L, S, nargs);
  if (S->debug) note_spawn(L, t);
  if (!lctx_can_turn(L, S)) {
    lctx_task_free(t);
    luaL_error(L, "%s", lctx_no_loop(L));
  }
  return t;
}

void lctx_task_start(lua_State* L, lctx_task* t, const lctx_owner* owner, int nargs) {
  lctx_state* S = t->S;
  t->owner = owner;
  lctx_pushref(t->co, S, LCTX_REF_TASK_BODY);
  lctx_pushref(t->co, S, LCTX_REF_ON_ERROR);
  lua_xmove(L, t->co, nargs + 1);
  t->nargs = nargs + 2;
  t->state = LCTX_NEW;
  S->tasks++;
  S->young++; /* as the number of each new one is higher than any before */
  lctx_enqueue(S, &t->link);
}

/* Whether the error on top is Lua's own of this kind, which may come from any depth. */
static bool lacked_memory(lua_State* co) {
  return lua_type(co, -1) == LUA_TSTRING && strcmp(lua_tostring(co, -1), "not enough memory") == 0;
}

/* What a task does at its end, so that others go on, it may have had no memory for. Those that wait for
 * something from outside look again; what they then see is the task's status. */
static void tell_starved(lua_State* L, lctx_state* S) {
  if (S->starved && lctx_hook(L, S, "starved", 0, 0)) S->starved = false;
}

/* Brings what a task returned, or raised, to its handle and those that wait for it. */
static void finish(lua_State* L, lctx_task* t, int nresults) {
  lctx_state* S = t->S;
  if (t->failed && lacked_memory(t->co)) S->starved = true;
  S->tasks--;
  if (t->serial > S->since) S->young--;
  if (t == S->target) lctx_end_soon(S);
  t->owner->kind->over(L, t, nresults);
  lua_settop(t->co, 0);
  lctx_task_free(t);
  tell_starved(L, S);
}

/* -- Turns ------------------------------------------------------------------------------------- */

void lctx_wake(lctx_task* t, enum lctx_outcome outcome) {
  if (t->outcome != LCTX_NOTHING) return;
  if (t->state == LCTX_STARTING) {
    t->outcome = (uint8_t)outcome;
  } else if (t->state == LCTX_PARKED) {
    lctx_unregister(t);
    t->outcome = (uint8_t)outcome;
    t->state = LCTX_READY;
    lctx_enqueue(t->S, &t->link);
  }
}

/* An error that leaves a coroutine that is not a task: there is nobody to hand it to. Stack of L: the
 * coroutine. */
static void foreign_error(lua_State* L, lctx_state* S, lua_State* co) {
  lua_pushvalue(L, -1);
  lua_xmove(co, L, 1);
  lctx_hook(L, S, "foreign_error", 2, 0);
  (void)lctx_close_thread(L, co);
  lua_settop(co, 0); /* less the error: with one, Lua would take it for suspended */
}

/* The record of a coroutine that is no task goes as soon as that runs on; the stack of L anchors
 * the coroutine meanwhile. */
static void resume_foreign(lua_State* L, lctx_task* t) {
  lctx_state* S = t->S;
  lua_State* co = t->co;
  int nresults = 0, nargs = t->nargs;
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  t->state = LCTX_RUNNING;
  if (lua_resume(co, L, nargs, &nresults) > LUA_YIELD) {
    foreign_error(L, S, co);
  } else {
    if (nresults > 0 && lua_status(co) == LUA_YIELD) {
      lua_pushvalue(L, -1);
      lctx_hook(L, S, "dropped", 1, 0);
    }
    lua_pop(co, nresults);
  }
  lua_pop(L, 1);
}

static void resume_task(lua_State* L, lctx_task* t) {
  lctx_state* S = t->S;
  int nresults = 0, nargs = t->nargs;
  t->nargs = 0;
  t->state = LCTX_RUNNING;
  S->current = t;
  int status = lua_resume(t->co, L, nargs, &nresults);
  S->current = NULL;
  if (status == LUA_OK) {
    finish(L, t, nresults);
  } else if (status != LUA_YIELD) {
    t->failed = true; /* not even the protected call held: out of memory, or out of stack */
    finish(L, t, 1);
  } else if (t->state == LCTX_RUNNING) {
    /* A plain coroutine.yield(): lets the others have a turn. */
    if (nresults > 0) lua_pop(t->co, nresults);
    t->state = LCTX_READY;
    lctx_enqueue(S, &t->link);
  }
}

void lctx_end_task(lua_State* L, lctx_task* t) {
  lua_settop(t->co, 0);
  lua_xmove(L, t->co, 1);
  t->failed = true;
  finish(L, t, 1);
}

/* Whether the coroutine is as its wait or lctx_task_start has left it. Its thread is pooled, so also
 * before a task begins there may be somebody who knows it. */
static bool is_intact(const lctx_task* t) {
  if (t->state != LCTX_NEW) return !lctx_is_gone(t);
  return lua_status(t->co) == LUA_OK && lua_gettop(t->co) == t->nargs + 1;
}

static void run_one(lua_State* L, lctx_task* t) {
  t->S->refusals = 0;
  if (t->kind == LCTX_MAIN) {
    t->state = LCTX_RUNNING; /* the loop that it runs looks at its outcome */
  } else if (!is_intact(t)) {
    lctx_task_closed(L, t);
  } else if (t->kind == LCTX_TASK) {
    resume_task(L, t);
  } else {
    resume_foreign(L, t);
  }
}

/* Runs what is in the queue now, up to a mark at its end: what becomes ready meanwhile waits for
 * the next round. Should an error end the round, the rest is still in the queue; and so it is when
 * the loop should have its turn: then false. */
static bool run_round(lua_State* L, lctx_state* S) {
  lctx_list_remove(&S->mark);
  lctx_list_append(&S->run, &S->mark);
  bool turn_due = false;
  while (S->run.next != &S->mark && !turn_due) {
    lctx_task* t = LCTX_CONTAINER(S->run.next, lctx_task, link);
    if (t->kind == LCTX_AFTER) {
      S->start_after(L, S, &t->link);
    } else {
      lctx_list_remove(&t->link);
      run_one(L, t);
    }
    turn_due = lctx_turn_due(S);
  }
  lctx_list_remove(&S->mark);
  return !turn_due;
}

static void run_due(lua_State* L, lctx_state* S) {
  if (S->alarm_ns != CTX_NEVER || S->tree.inbox != NULL) {
    S->alarm_ns = CTX_NEVER;
    ctx_tree_run(&S->tree);
  }
  if (S->failures_due) lctx_tell_failures(L, S, false);
  tell_starved(L, S);
}

static int drain(lua_State* L) {
  lctx_state* S = (lctx_state*)lua_touserdata(L, 1);
  run_due(L, S);
  /* Behind what else is ready. Those that wait for a turn from now on wait for the next one. */
  lctx_wake_turn(S);
  for (int rounds = 0; !lctx_list_empty(&S->run); run_due(L, S)) {
    S->ran = true;
    if ((S->fake && ++rounds > FAKE_ROUNDS) || !run_round(L, S)) break;
  }
  return 0;
}

bool lctx_drain(lua_State* L, lctx_state* S) {
  if (S->draining || S->closed) return true;
  if (!lua_checkstack(L, 8)) return false;
  bool asked = S->asked;
  S->draining = S->asked = true;
  S->ran = S->nested = false;
  lua_pushcfunction(L, drain);
  lua_pushlightuserdata(L, S);
  bool whole = lctx_enter(L, S, 1, 0) == LUA_OK;
  if (!whole) lctx_report(L, S, "scheduler");
  S->draining = false;
  S->stirred = S->stirred || S->ran;
  S->asked = asked && !S->nested;
  if (lctx_is_ready(S)) lctx_ask(S);
  lctx_check_records(S);
  return whole;
}

void lctx_open_sched(lua_State* L, lctx_state* S) {
  S->drain = lctx_drain;
  lua_pushlightuserdata(L, S);
  lua_pushcclosure(L, task_body, 1);
  lctx_setref(L, S, LCTX_REF_TASK_BODY);
  lua_pushlightuserdata(L, S);
  lua_pushcclosure(L, on_error, 1);
  lctx_setref(L, S, LCTX_REF_ON_ERROR);
}
