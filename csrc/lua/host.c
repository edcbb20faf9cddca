/* SPDX-License-Identifier: MIT */
/* The host of the core under Lua: the clock, and luv's loop.
 *
 * Luv's handles are the Lua side's (lua/ctx/loop.lua): this library links no libuv, since the
 * program may hold another one inside its luv. From here they are told by hooks, and only when
 * what they should do has changed. */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__) && !defined(CTX_PORTABLE)
#include <sys/eventfd.h>
#endif
#include <fcntl.h>

#include "classes/task.h"
#include "enter.h"
#include "fake.h"
#include "task/gone.h"
#include "task/sched.h"
#include "task/turn.h"

/* -- The clock --------------------------------------------------------------------------------- */

static uint64_t read_clock(const lctx_state* S, clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
  return ns + (uint64_t)S->offset_ns;
}

uint64_t lctx_real_ns(const lctx_state* S) {
  return read_clock(S, CLOCK_MONOTONIC);
}

static uint64_t host_now(void* data) {
  const lctx_state* S = (const lctx_state*)data;
  return S->fake ? S->fake_ns : lctx_real_ns(S);
}

#if defined(CLOCK_MONOTONIC_COARSE) && !defined(CTX_PORTABLE)
static uint64_t host_now_coarse(void* data) {
  const lctx_state* S = (const lctx_state*)data;
  return S->fake ? S->fake_ns : read_clock(S, CLOCK_MONOTONIC_COARSE);
}

uint64_t lctx_coarse_ns(const lctx_state* S) {
  return host_now_coarse((void*)S);
}
#else
#define host_now_coarse NULL

uint64_t lctx_coarse_ns(const lctx_state* S) {
  return host_now((void*)S);
}
#endif

enum { TURN_NS = 1000000 };

bool lctx_turn_due(const lctx_state* S) {
  return lctx_coarse_ns(S) - S->turned_ns >= TURN_NS ||
         (S->patience_ns != 0 && lctx_real_ns(S) >= S->patience_ns);
}

/* -- Waking ------------------------------------------------------------------------------------ */

static void host_wake_at(void* data, uint64_t at_ns) {
  ((lctx_state*)data)->alarm_ns = at_ns;
}

/* From any thread. A full pipe has been written to already: that is as good. */
static void host_wake_soon(void* data) {
  static const uint64_t one = 1;
  const lctx_state* S = (const lctx_state*)data;
  ssize_t written;
  do {
    written = write(S->wake_fd, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
}

static bool open_fds(lctx_state* S) {
#if defined(__linux__) && !defined(CTX_PORTABLE)
  S->wake_fd = S->poll_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return S->poll_fd >= 0;
#else
  int fds[2];
  if (pipe(fds) != 0) return false;
  for (int i = 0; i < 2; i++) {
    fcntl(fds[i], F_SETFL, O_NONBLOCK);
    fcntl(fds[i], F_SETFD, FD_CLOEXEC);
  }
  S->poll_fd = fds[0];
  S->wake_fd = fds[1];
  return true;
#endif
}

void lctx_open_wake(lua_State* L, lctx_state* S) {
  if (S->poll_fd >= 0 || S->closed) return;
  if (!open_fds(S)) luaL_error(L, "ctx: cannot open a descriptor to be woken by");
  (void)lctx_settle(L, S);
}

void lctx_close_host(lctx_state* S) {
  if (S->poll_fd < 0) return;
  close(S->poll_fd);
  if (S->wake_fd != S->poll_fd) close(S->wake_fd);
  S->wake_fd = S->poll_fd = -1;
}

/* -- Memory ------------------------------------------------------------------------------------- */

/* Of the tree: Lua's allocator. Of flags (no data): malloc's, since any thread may free them. */
static void* host_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  if (data != NULL) {
    void* lua_data;
    lua_Alloc alloc = lua_getallocf(((lctx_state*)data)->main, &lua_data);
    return alloc(lua_data, block, old_size, new_size);
  }
  if (new_size > 0) return realloc(block, new_size);
  free(block);
  return NULL;
}

const ctx_host_t lctx_host = {host_now, host_now_coarse, host_wake_at, host_wake_soon, host_alloc};

/* -- The loop ------------------------------------------------------------------------------------- */

/* A hook is Lua: it may fail halfway, or run finalizers that change what is wanted and tell so in
 * between. What the handle does then is not known, and it is told again. */
static bool tell(lua_State* L, lctx_state* S, const char* hook, uint8_t* told, bool on) {
  *told = LCTX_UNKNOWN;
  lua_pushboolean(L, on);
  if (!lctx_hook(L, S, hook, 1, 0)) return false;
  *told = *told == LCTX_UNKNOWN ? on : LCTX_UNKNOWN;
  return true;
}

/* What is due now is for the idle handle. A timer that is set to 0 while luv runs its timers would
 * be run again at once, and nothing else would ever be. */
static bool set_alarm(lua_State* L, lctx_state* S, bool* due) {
  while (!S->fake && S->alarm_ns != 0 && S->alarm_ns < S->armed_ns) {
    uint64_t now_ns = ctx_now(&S->tree), at_ns = S->alarm_ns;
    *due = at_ns <= now_ns;
    if (*due) break;
    uint64_t wait_ns = at_ns - now_ns;
    S->armed_ns = CTX_NEVER; /* as in `tell` */
    /* Rounded up: a timer that fires early would only be set again. */
    lua_pushinteger(L, (lua_Integer)(wait_ns / 1000000 + (wait_ns % 1000000 != 0)));
    if (!lctx_hook(L, S, "arm", 1, 0)) return false;
    S->armed_ns = S->armed_ns == CTX_NEVER ? at_ns : CTX_NEVER;
  }
  return true;
}

static bool set_hold(lua_State* L, lctx_state* S) {
  while (S->held != (S->parked > 0)) {
    if (!tell(L, S, "hold", &S->held, S->parked > 0)) return false;
  }
  return true;
}

static bool set_watch(lua_State* L, lctx_state* S) {
  if (S->watching || S->poll_fd < 0) return true;
  lua_pushinteger(L, S->poll_fd);
  if (!lctx_hook(L, S, "watch_fd", 1, 0)) return false;
  S->watching = true;
  return true;
}

bool lctx_settle(lua_State* L, lctx_state* S) {
  if (S->draining || S->closed) return true;
  if (!lua_checkstack(L, 8)) return false;
  bool due = false;
  bool alarm = set_alarm(L, S, &due), hold = set_hold(L, S), watch = set_watch(L, S);
  bool all = alarm && hold && watch;
  /* What could not be set is tried again in the next turn: so there must be one. */
  for (;;) {
    bool idling = S->alarm_ns == 0 || due || !lctx_idle(S) || !all;
    if (S->idling == idling) return all;
    if (!tell(L, S, "soon", &S->idling, idling)) return false;
  }
}

void lctx_rouse(lua_State* L, lctx_state* S) {
  if (S->draining || S->closed || !lua_checkstack(L, 8)) return;
  (void)lctx_hook(L, S, "check", 0, 0);
  lctx_settle(L, S);
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

/* A timer that was set for a deadline that is gone keeps the loop alive: whether anything can happen
 * would be known only then. */
static void disarm(lua_State* L, lctx_state* S) {
  if (S->alarm_ns != CTX_NEVER || S->armed_ns == CTX_NEVER) return;
  if (lctx_hook(L, S, "disarm", 0, 0)) S->armed_ns = CTX_NEVER;
}

/* Nothing is ready. Lets the next thing happen. LCTX_LOOP_EMPTY when nothing can. */
static enum lctx_loop let_happen(lua_State* L, lctx_state* S) {
  if (S->fake) return lctx_let_time_pass(L, S);
  disarm(L, S);
  enum lctx_loop result = lctx_run_loop(L, S, true);
  return result == LCTX_LOOP_EMPTY && lctx_is_ready(S) ? LCTX_LOOP_ALIVE : result;
}

static enum lctx_driven drive(lua_State* L, lctx_state* S, lctx_over_fn over, void* arg) {
  int failures = 0;
  while (failures < LCTX_PATIENCE) {
    bool drained = lctx_drain(L, S);
    bool settled = lctx_settle(L, S);
    if (over(S, arg)) {
      /* Wait after wait may be over as soon as it has begun: the loop must turn all the same. */
      bool due = S->fake || lctx_turn_due(S);
      if (due && lctx_run_loop(L, S, false) != LCTX_LOOP_FAILED) lctx_turned(S);
      return LCTX_OVER;
    }
    enum lctx_loop result = LCTX_LOOP_ALIVE;
    if (!drained || !settled || !lctx_idle(S) || S->alarm_ns == 0) {
      if (lctx_run_loop(L, S, false) == LCTX_LOOP_FAILED) result = LCTX_LOOP_FAILED;
    } else {
      result = let_happen(L, S);
    }
    lctx_turned(S);
    if (result == LCTX_LOOP_EMPTY) {
      /* The last thing that happened may have been what we wait for. */
      if (over(S, arg)) return LCTX_OVER;
      /* Or a coroutine that its owner has closed holds what another waits for. */
      lctx_reclaim_all(L, S);
      if (lctx_idle(S) && S->alarm_ns != 0) return LCTX_ASLEEP;
    }
    failures = drained && settled && result != LCTX_LOOP_FAILED ? 0 : failures + 1;
  }
  return LCTX_FAILED;
}

enum lctx_driven lctx_drive(lua_State* L, lctx_state* S, lctx_over_fn over, void* arg) {
  if (!lua_checkstack(L, 10)) return LCTX_FAILED;
  S->driving++;
  enum lctx_driven driven = drive(L, S, over, arg);
  S->driving--;
  (void)lctx_hook(L, S, "renew", 0, 0);
  return driven;
}

/* -- For the Lua side ------------------------------------------------------------------------------ */

/* core.reserve(): what luv needs to call a callback that calls little itself; or an error. */
static int core_reserve(lua_State* L) {
  return lctx_reserve(L) ? 0 : luaL_error(L, "not enough memory");
}

/* In a loop that we drive ourselves the driver does this, after the loop's turn: were a wait that it
 * drives the loop for over within the turn, the turn might go on to wait for something else. */
static void one_turn(lua_State* L, lctx_state* S) {
  if (S->looping) return;
  S->turned_ns = lctx_coarse_ns(S);
  (void)lctx_drain(L, S);
  (void)lctx_settle(L, S);
}

/* What luv calls back. core.turn(): there is work. The idle handle calls once in each turn. */
static int core_turn(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  if (!S->looping) lctx_turned(S);
  one_turn(L, S);
  return 0;
}

/* core.rang() → whether the loop's turn should end: the timer has fired, before the loop waits for
 * anything else. */
static int core_rang(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  S->armed_ns = CTX_NEVER;
  S->alarm_ns = 0;
  one_turn(L, S);
  lua_pushboolean(L, S->looping);
  return 1;
}

/* core.woken(): another thread has written to the descriptor, which is emptied. */
static int core_woken(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  char bytes[64];
  while (S->poll_fd >= 0 && read(S->poll_fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
  }
  S->alarm_ns = 0;
  one_turn(L, S);
  return 0;
}

/* core.forget_handles(): luv's handles were closed under us; they are made anew when needed. */
static int core_forget_handles(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  S->armed_ns = CTX_NEVER;
  S->idling = S->held = LCTX_OFF;
  S->watching = false;
  lctx_settle(L, S);
  return 0;
}

/* Whether the task is over; or all are, and what their ends have set off, such as after-funcs. */
static bool no_task(lctx_state* S, void* arg) {
  const lctx_handle* h = (const lctx_handle*)arg;
  if (h != NULL) return h->task == NULL;
  return S->tasks == 0 && lctx_list_empty(&S->run) && S->alarm_ns != 0;
}

/* core.may_drive() → whether the loop is free to be run */
static int core_may_drive(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_pushboolean(L, !S->draining && !lctx_in_loop(L, S));
  return 1;
}

/* core.drive([t]) → true once the task is over, or without one all are; false if that can't be */
static int core_drive(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  const lctx_handle* h = lua_isnoneornil(L, 1) ? NULL : lctx_checkhandle(L, 1);
  S->target = h != NULL ? h->task : NULL;
  enum lctx_driven driven = lctx_drive(L, S, no_task, (void*)h);
  S->target = NULL;
  S->patience_ns = 0;
  if (driven == LCTX_FAILED) return luaL_error(L, "%s", lctx_no_loop(L));
  lua_pushboolean(L, driven == LCTX_OVER);
  return 1;
}

/* core.run_ready() → whether tasks are left that something may still wake: for the end of ctx.run, which
 * then waits for them. Runs what is ready, and lets the loop turn once. */
static int core_run_ready(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  (void)lctx_drain(L, S);
  (void)lctx_settle(L, S);
  disarm(L, S);
  bool alive = lctx_run_loop(L, S, false) == LCTX_LOOP_ALIVE;
  lctx_turned(S);
  lua_pushboolean(L, S->tasks > 0 && (alive || !lctx_idle(S) || S->alarm_ns != CTX_NEVER));
  return 1;
}

/* core.driving() → whether the loop is driven by us: then it turns once more before the state ends. */
static int core_driving(lua_State* L) {
  lua_pushboolean(L, lctx_upstate(L)->driving > 0);
  return 1;
}

/* core.last_turn(run): one turn of the loop by luv's run, in which no task runs; for the end of the
 * state. What is wrong by then has nobody to hear of it. */
static int core_last_turn(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lua_settop(L, 1);
  if (S->closed || lctx_in_loop(L, S) || !lctx_reserve(L)) return 0;
  S->looping = true;
  lua_pushliteral(L, "nowait");
  (void)lctx_enter_plain(L, 1, 0);
  S->looping = false;
  return 0;
}

void lctx_open_host(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"turn", core_turn},
                                       {"forget_handles", core_forget_handles},
                                       {"rang", core_rang},
                                       {"reserve", core_reserve},
                                       {"woken", core_woken},
                                       {"may_drive", core_may_drive},
                                       {"drive", core_drive},
                                       {"run_ready", core_run_ready},
                                       {"last_turn", core_last_turn},
                                       {"driving", core_driving},
                                       {NULL, NULL}};
  lctx_register(L, S, functions);
}
