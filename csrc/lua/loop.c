/* SPDX-License-Identifier: MIT */
/* luv's loop: see loop.h.
 *
 * The handles are luv's, made by the Lua side (lua/ctx/loop.lua): this library links no libuv, since the
 * program may hold another one inside its luv. */
#include <string.h>
#include <unistd.h>

#include "loop.h"

#include "enter.h"
#include "host.h"

/* -- Telling luv ---------------------------------------------------------------------------------- */

/* The stack of S->luv, a thread of its own, holds luv's functions and our handles. So they are at hand
 * where no other stack is, and to call one allocates nothing: what they look up in the registry is
 * there, as are the references that timer_start gives back and takes. */
enum {
  LUV_REF = 1,
  LUV_UNREF,
  LUV_IS_CLOSING,
  LUV_STOP,
  LUV_LOOP_MODE,
  LUV_UPDATE_TIME,
  LUV_TIMER_START,
  LUV_PREPARE,
  LUV_TIMER,
  LUV_RANG
};

/* Calls the function with a handle, or without, and `nargs` values that are on top. 1 if it answers with
 * something, 0 if with nothing; -1 if it raised. */
static int call_luv(lctx_state* S, int fn, int handle, int nargs) {
  lua_State* luv = S->luv;
  lua_pushvalue(luv, fn);
  lua_insert(luv, -nargs - 1);
  if (handle != 0) {
    lua_pushvalue(luv, handle);
    lua_insert(luv, -nargs - 1);
    nargs++;
  }
  int answer = lctx_enter_plain(luv, nargs, 1) == LUA_OK ? lua_toboolean(luv, -1) : -1;
  lua_pop(luv, 1);
  return answer;
}

static bool has_handles(const lctx_state* S) {
  return lua_gettop(S->luv) >= LUV_RANG;
}

void lctx_ask(lctx_state* S) {
  if (S->asked || S->closed || !has_handles(S)) return;
  S->asked = call_luv(S, LUV_REF, LUV_PREPARE, 0) >= 0;
}

/* -- The turn ------------------------------------------------------------------------------------- */

/* When the timer should ring. */
static uint64_t next_turn(const lctx_state* S) {
  if (lctx_is_ready(S)) return 0;
  return S->fake ? CTX_NEVER : S->alarm_ns;
}

/* Timers count from the loop's own time, which stands still while Lua runs. Rounded up: one that rings
 * early would only be set again. */
static bool arm_timer(lua_State* L, lctx_state* S, uint64_t at_ns) {
  uint64_t now_ns = ctx_now(&S->tree), wait_ns = at_ns > now_ns ? at_ns - now_ns : 0;
  (void)call_luv(S, LUV_UPDATE_TIME, 0, 0);
  lua_pushinteger(S->luv, (lua_Integer)(wait_ns / 1000000 + (wait_ns % 1000000 != 0)));
  lua_pushinteger(S->luv, 0);
  lua_pushvalue(S->luv, LUV_RANG);
  S->armed_ns = at_ns;
  if (call_luv(S, LUV_TIMER_START, LUV_TIMER, 3) > 0) return true;
  S->armed_ns = CTX_NEVER;
  if (!lctx_hook(L, S, "check", 0, 1)) return false;
  bool anew = lua_toboolean(L, -1); /* it was closed: there is another one */
  lua_pop(L, 1);
  return anew;
}

static bool set_hold(lua_State* L, lctx_state* S) {
  bool on = S->parked > 0;
  lua_pushboolean(L, on);
  if (!lctx_hook(L, S, "hold", 1, 0)) return false;
  S->held = on;
  return true;
}

static bool set_watch(lua_State* L, lctx_state* S) {
  lua_pushinteger(L, S->poll_fd);
  S->watching = lctx_hook(L, S, "watch_fd", 1, 0);
  return S->watching;
}

/* Tells the handles what they should do from now on. A hook is Lua: it may run finalizers that change
 * what is wanted, so this goes on until nothing differs. False when out of memory. */
static bool tell_all(lua_State* L, lctx_state* S) {
  for (bool done = true; done;) {
    uint64_t at_ns = next_turn(S);
    bool timed = S->parked > 0 && S->alarm_ns != CTX_NEVER && !S->fake;
    if (at_ns < S->armed_ns) {
      done = arm_timer(L, S, at_ns);
    } else if (S->timed != timed) {
      done = call_luv(S, timed ? LUV_REF : LUV_UNREF, LUV_TIMER, 0) >= 0;
      S->timed = done ? timed : S->timed;
    } else if (S->held != (S->parked > 0)) {
      done = set_hold(L, S);
    } else if (!S->watching && S->poll_fd >= 0) {
      done = set_watch(L, S);
    } else {
      return true;
    }
  }
  return false;
}

/* Whether the program runs the loop for one turn. In that luv waits unless there was something to do, and
 * for luv a coroutine that ran is nothing. */
static bool is_one_turn(lctx_state* S) {
  if (S->looping) return false;
  lua_pushvalue(S->luv, LUV_LOOP_MODE);
  bool once = lctx_enter_plain(S->luv, 0, 1) == LUA_OK && lua_type(S->luv, -1) == LUA_TSTRING &&
              strcmp(lua_tostring(S->luv, -1), "once") == 0;
  lua_pop(S->luv, 1);
  return once;
}

/* A turn has failed, and should be tried again soon: luv must not wait until then for other events. */
static void turn_again(lua_State* L, lctx_state* S) {
  enum { PAUSE_NS = 10000000 };
  S->sound = false;
  lctx_ask(S);
  if (S->looping) {
    (void)call_luv(S, LUV_STOP, 0, 0); /* the driver counts failures */
    return;
  }
  uint64_t at_ns = ctx_time_add(ctx_now(&S->tree), PAUSE_NS);
  if (at_ns < S->armed_ns) (void)arm_timer(L, S, at_ns);
}

/* What the prepare handle calls. Refuses to nest: a task may run the loop, which then waits for other
 * handles only, and ends if there are none. */
static void take_turn(lua_State* L, lctx_state* S) {
  if (S->closed || !has_handles(S) || !lua_checkstack(L, LUA_MINSTACK)) return;
  if (S->draining) {
    S->nested = call_luv(S, LUV_UNREF, LUV_PREPARE, 0) >= 0;
    return;
  }
  S->turned_ns = lctx_coarse_ns(S);
  bool drained = S->drain(L, S), whole = tell_all(L, S) && drained;
  /* The driver of the loop goes on now: luv must not wait for other events. */
  if (lctx_is_over(S) || (S->ran && is_one_turn(S))) (void)call_luv(S, LUV_STOP, 0, 0);
  if (!whole) {
    turn_again(L, S);
  } else if (S->asked && !lctx_is_ready(S)) {
    S->asked = call_luv(S, LUV_UNREF, LUV_PREPARE, 0) < 0;
  }
}

/* -- Running the loop ------------------------------------------------------------------------------ */

bool lctx_open_handles(lua_State* L, lctx_state* S) {
  bool open = has_handles(S) && call_luv(S, LUV_IS_CLOSING, LUV_PREPARE, 0) == 0 &&
              call_luv(S, LUV_IS_CLOSING, LUV_TIMER, 0) == 0;
  return open || lctx_hook(L, S, "check", 0, 0);
}

bool lctx_in_loop(lua_State* L, lctx_state* S) {
  if (S->looping) return true;
  if (!lctx_hook(L, S, "in_loop", 0, 1)) return false;
  bool in = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return in;
}

enum lctx_loop lctx_run_loop(lua_State* L, lctx_state* S, bool block) {
  if (!lctx_reserve(L)) return LCTX_LOOP_FAILED;
  enum lctx_loop result = LCTX_LOOP_FAILED;
  S->looping = true;
  lua_pushboolean(L, block);
  if (lctx_hook(L, S, "turn", 1, 1)) {
    result = lua_toboolean(L, -1) ? LCTX_LOOP_ALIVE : LCTX_LOOP_EMPTY;
    lua_pop(L, 1);
  }
  S->looping = false;
  return result;
}

/* -- For the Lua side ------------------------------------------------------------------------------ */

/* core.handles(ref, unref, is_closing, stop, loop_mode, update_time, timer_start, prepare, timer, rang): luv's functions, and
 * our handles, which were made anew: they do nothing yet. */
static int core_handles(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, LUV_RANG);
  lua_settop(S->luv, 0);
  lua_xmove(L, S->luv, LUV_RANG);
  S->armed_ns = CTX_NEVER;
  S->asked = S->timed = S->watching = false; /* not `held`, which is about handles of others */
  /* The first call of all allocates what a call takes; later ones do not. */
  if (call_luv(S, LUV_LOOP_MODE, 0, 0) < 0) {
    lua_settop(S->luv, 0);
    return luaL_error(L, "not enough memory");
  }
  lctx_ask(S);
  return 0;
}

/* core.reserve(): what luv needs to call a callback that calls little itself; or an error. */
static int core_reserve(lua_State* L) {
  return lctx_reserve(L) ? 0 : luaL_error(L, "not enough memory");
}

/* core.turn(): for the prepare handle */
static int core_turn(lua_State* L) {
  take_turn(L, lctx_upstate(L));
  return 0;
}

/* core.rang(): the timer has. Nothing is run here: while luv runs its timers it would run one that is set
 * to 0 again at once, and nothing else would ever be. */
static int core_rang(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  S->armed_ns = CTX_NEVER;
  S->alarm_ns = 0;
  lctx_ask(S);
  return 0;
}

/* core.woken(): another thread has written to the descriptor, which is emptied. */
static int core_woken(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  char bytes[64];
  while (S->poll_fd >= 0 && read(S->poll_fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
  }
  S->alarm_ns = 0;
  lctx_ask(S);
  return 0;
}

/* core.last_turn(run): one turn of the loop by luv's run, in which no task runs; for the end of the
 * state. What is wrong by then has nobody to hear of it. */
static int core_last_turn(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 1);
  if (S->closed || lctx_in_loop(L, S) || !lctx_reserve(L)) return 0;
  lua_settop(S->luv, 0); /* luv may free the handles from here on */
  S->looping = true;
  lua_pushliteral(L, "nowait");
  (void)lctx_enter_plain(L, 1, 0);
  S->looping = false;
  return 0;
}

void lctx_open_loop(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"turn", core_turn},   {"handles", core_handles},
                                       {"rang", core_rang},   {"reserve", core_reserve},
                                       {"woken", core_woken}, {"last_turn", core_last_turn},
                                       {NULL, NULL}};
  lctx_register(L, S, functions);
}
