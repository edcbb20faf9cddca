/* SPDX-License-Identifier: MIT */
/* The clock that is moved by hand, for ctx.testing. It jumps to the next deadline as soon as nothing
 * else can happen, and stands still while something from outside may come. */
#include "task/fake.h"

#include "enter.h"
#include "host.h"
#include "report/where.h"
#include "task/drive.h"
#include "task/sched.h"
#include "want.h"

/* -- When it jumps --------------------------------------------------------------------------------- */

/* Whether the hand-moved clock stands still, since something that luv has open may still answer. When
 * nothing else can happen, `last`, that is anything. The hook, ctx.testing's, sees to it that the loop
 * turns now and then: if it fails, the loop must not wait. */
static enum lctx_loop is_awaited(lua_State* L, lctx_state* S, bool last) {
  lua_pushboolean(L, last);
  lua_pushboolean(L, S->external > 0);
  lua_pushboolean(L, S->stirred);
  S->stirred = false;
  if (!lctx_hook(L, S, "may_answer", 3, 1)) return LCTX_LOOP_FAILED;
  bool awaited = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return awaited ? LCTX_LOOP_ALIVE : LCTX_LOOP_EMPTY;
}

/* With a hand-moved clock the next thing is what luv brings at once; then what it may bring, as long
 * as time must not jump for that; then the next deadline, and time jumps there. */
enum lctx_loop lctx_let_time_pass(lua_State* L, lctx_state* S) {
  enum lctx_loop result = lctx_run_loop(L, S, false);
  if (result == LCTX_LOOP_FAILED) return LCTX_LOOP_FAILED;
  if (lctx_is_ready(S) || lctx_is_over(S)) return LCTX_LOOP_ALIVE;
  bool due = S->alarm_ns != CTX_NEVER && S->alarm_ns <= S->end_ns;
  bool last = S->alarm_ns == CTX_NEVER && S->end_ns == CTX_NEVER;
  if (result == LCTX_LOOP_ALIVE && (!due || S->alarm_ns > S->jump_ns)) {
    enum lctx_loop awaited = is_awaited(L, S, last);
    if (awaited == LCTX_LOOP_FAILED) return LCTX_LOOP_FAILED;
    if (awaited == LCTX_LOOP_ALIVE) {
      result = lctx_run_loop(L, S, true);
      return result == LCTX_LOOP_EMPTY ? LCTX_LOOP_ALIVE : result;
    }
  }
  if (!due) return LCTX_LOOP_EMPTY;
  if (S->alarm_ns > S->fake_ns) S->fake_ns = S->alarm_ns;
  S->alarm_ns = 0;
  lctx_ask(S);
  return LCTX_LOOP_ALIVE;
}

/* -- The end of a test ------------------------------------------------------------------------------ */

/* What core.drive_young waits for. */
typedef struct {
  uint64_t patience_ns;
  size_t fewest;
  int rounds; /* since there were so few */
  bool gave_up;
} grace_t;

/* Whether no young task is left, and nothing that could start one is due; or it is no use to wait. By
 * the system's clock, as a hand-moved one stands still while tasks only yield; but a machine may be slow,
 * and one task may compute for long, so the others have a few rounds in any case. */
static bool grace_over(lctx_state* S, void* arg) {
  grace_t* grace = (grace_t*)arg;
  uint64_t now_ns = lctx_real_ns(S);
  enum { ROUNDS = 3 };
  grace->rounds++;
  if (S->young < grace->fewest) {
    grace->fewest = S->young;
    grace->rounds = 0;
    S->patience_ns = ctx_time_add(now_ns, grace->patience_ns);
  }
  if (S->young == 0 && lctx_list_empty(&S->run) && S->alarm_ns != 0) return true;
  grace->gave_up = now_ns >= S->patience_ns && grace->rounds > ROUNDS;
  return grace->gave_up;
}

/* core.drive_young(ms, patience_ms) → whether all young tasks are over. Drives the loop until then;
 * and no longer than nothing else can happen, or until a hand-moved clock has come `ms` further, or
 * none of them has ended for so many ms of real time. Something must turn the loop until then. */
static int core_drive_young(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  uint64_t end_ns = ctx_time_add(S->fake_ns, lctx_checkms(L, 1, "ms"));
  grace_t grace = {.patience_ns = lctx_checkms(L, 2, "ms"), .fewest = S->young};
  S->end_ns = end_ns;
  S->patience_ns = ctx_time_add(lctx_real_ns(S), grace.patience_ns);
  enum lctx_driven driven = lctx_drive(L, S, grace_over, &grace);
  S->end_ns = CTX_NEVER;
  S->patience_ns = 0;
  if (driven == LCTX_FAILED) return luaL_error(L, "%s", lctx_no_loop(L));
  lua_pushboolean(L, S->young == 0 && !grace.gave_up);
  return 1;
}

/* -- For the Lua side ------------------------------------------------------------------------------- */

/* core.fake_clock(on) → whether it was on. A clock that is moved by hand begins now; a real one
 * goes on from there. */
static int core_fake_clock(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  bool on = lua_toboolean(L, 1);
  lua_pushboolean(L, S->fake);
  if (on && !S->fake) {
    /* Whole milliseconds, which are exact in Lua's numbers. */
    S->fake_ns = (ctx_now(&S->tree) / 1000000 + 1) * 1000000;
  } else if (!on && S->fake) {
    S->fake = false;
    S->offset_ns += (int64_t)(S->fake_ns - lctx_real_ns(S));
  }
  S->fake = on;
  S->jump_ns = 0;
  lctx_ask(S); /* one clock needs the timer, the other does not */
  return 1;
}

/* The time on the hand-moved clock in as many ms as the first argument says, or an error. */
static uint64_t time_ahead(lua_State* L, lctx_state* S) {
  uint64_t at_ns = ctx_time_add(S->fake_ns, lctx_checkms(L, 1, "ms"));
  if (!S->fake) lctx_error(L, S, "advance: the clock is real; install a fake one first");
  if (at_ns == CTX_NEVER) lctx_error(L, S, "advance: the clock would never get there");
  return at_ns;
}

/* core.jump(ms): from now on, and for as long, time moves also while something outside is waited
 * for: a task that says how long it sleeps does not mean to wait for a socket. */
static int core_jump(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  uint64_t end_ns = time_ahead(L, S);
  if (end_ns > S->jump_ns) S->jump_ns = end_ns;
  return 0;
}

/* core.advance(ms): lets time pass, and everything that is due until then happen, in order. */
static int core_advance(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  uint64_t end_ns = time_ahead(L, S);
  if (S->draining) {
    S->fake_ns = end_ns;
    return 0;
  }
  for (int failures = 0;;) {
    S->turned_ns = lctx_coarse_ns(S); /* the loop has no turn meanwhile */
    failures = lctx_drain(L, S) ? 0 : failures + 1;
    if (failures == LCTX_PATIENCE) return luaL_error(L, "%s", lctx_no_loop(L));
    if (!lctx_idle(S) || S->alarm_ns == 0) continue;
    if (S->alarm_ns > end_ns) break;
    if (S->alarm_ns > S->fake_ns) S->fake_ns = S->alarm_ns;
  }
  S->fake_ns = end_ns;
  lctx_ask(S);
  return 0;
}

void lctx_open_fake(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"fake_clock", core_fake_clock},
                                       {"jump", core_jump},
                                       {"advance", core_advance},
                                       {"drive_young", core_drive_young},
                                       {NULL, NULL}};
  lctx_register(L, S, functions);
}
