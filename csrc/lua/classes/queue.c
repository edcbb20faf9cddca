/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task. */
/* Queues of coroutines that wait for one another: what mutexes, channels and wait groups are made
 * of, on the Lua side. The context that ends a wait, and the leaving of the queue, are done here. */
#include "context/context.h"
#include "loop.h"
#include "task/gone.h"
#include "task/leave.h"
#include "task/record.h"
#include "task/results.h"
#include "task/turn.h"
#include "task/wait.h"
#include "want.h"

enum { WAIT_QUEUE = 1, WAIT_C, WAIT_WHAT, WAIT_TOP = WAIT_WHAT, WAIT_OUTSIDE };

typedef struct {
  const void* tag;
  lctx_link waiters;
  unsigned entered; /* so many are about to wait: to make a record may run finalizers, */
  unsigned called;  /* and these have woken so many of them */
} queue_t;

static const char queue_tag = 0;

static queue_t* check_queue(lua_State* L) {
  return (queue_t*)lctx_checkobject(L, 1, sizeof(queue_t), &queue_tag, "queue", "a queue");
}

/* core.queue() → an empty one */
static int queue_new(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  queue_t* q = (queue_t*)lua_newuserdatauv(L, sizeof *q, 0);
  *q = (queue_t){.tag = &queue_tag};
  lctx_list_init(&q->waiters);
  lctx_pushref(L, S, LCTX_REF_QUEUE);
  lua_setmetatable(L, -2);
  return 1;
}

static int queue_waited(lua_State* L, lctx_state* S, enum lctx_outcome outcome) {
  (void)S;
  if (outcome == LCTX_VALUES) return lua_gettop(L) - WAIT_TOP;
  return lctx_pushended(L, S, WAIT_C);
}

/* q:wait(c, what [, outside]) → the values of the wake that took it, or nil and an error. `c` may be
 * nil; `what` is a literal, the public function's name. With `outside` something other than a task
 * wakes it, and core.look_again() may, too, with no values. */
static int queue_wait(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  queue_t* q = check_queue(L);
  lctx_context* c = lua_isnil(L, WAIT_C) ? NULL : lctx_checkcontext(L, WAIT_C, "c");
  const char* what = luaL_checkstring(L, WAIT_WHAT);
  bool outside = lua_toboolean(L, WAIT_OUTSIDE);
  lua_settop(L, WAIT_TOP);
  if (c != NULL && ctx_err(c->c) != 0) return lctx_pushended(L, S, WAIT_C);
  q->entered++;
  lctx_task* t = lctx_waiter(L, S, what);
  if (q->entered > 0) q->entered--; /* 0: a finalizer's wait in here has failed, see queue_empty */
  if (q->called > 0) {
    q->called--;
    lctx_leave(L, t, LCTX_TAKES);
    return 0;
  }
  static const lctx_wait_kind kinds[] = {{.waited = queue_waited},
                                         {.waited = queue_waited, .external = true, .looks = true}};
  lctx_wait wait = {
      .kind = &kinds[outside], .what = what, .c = c, .context = WAIT_C, .list = &q->waiters};
  return lctx_park_task(L, S, t, &wait);
}

/* The first that waits and can go on: what is handed to a coroutine that its owner has closed would
 * be lost. */
static lctx_task* first_of(lua_State* L, queue_t* q) {
  while (!lctx_list_empty(&q->waiters)) {
    lctx_task* t = LCTX_CONTAINER(q->waiters.next, lctx_task, link);
    if (!lctx_is_gone(t)) return t;
    lctx_task_closed(L, t);
  }
  return NULL;
}

/* q:wake(…) → true if it woke the first that waits, and handed it the values: none to one that is
 * about to wait only */
static int queue_wake(lua_State* L) {
  queue_t* q = check_queue(L);
  lctx_task* t = first_of(L, q);
  int n = lua_gettop(L) - 1;
  bool packs = t != NULL && lctx_needs_packing(t, n);
  if (packs) {
    lua_pushnil(L);
    lctx_pack(L, n); /* may run finalizers, which wake, too, or end the wait */
    t = first_of(L, q);
  }
  if (t != NULL) {
    if (packs) {
      lctx_wake_packed(L, t);
    } else {
      lctx_wake_with(L, t, n);
    }
  }
  bool called = t == NULL && q->entered > q->called;
  if (called) q->called++;
  lua_pushboolean(L, t != NULL || called);
  lctx_renew_handles(L, lctx_upstate(L));
  return 1;
}

/* q:empty() → whether nobody waits; nor will one that could not */
static int queue_empty(lua_State* L) {
  queue_t* q = check_queue(L);
  q->entered = q->called = 0;
  lua_pushboolean(L, first_of(L, q) == NULL);
  return 1;
}

void lctx_open_queue(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"queue", queue_new}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"wait", queue_wait}, {"wake", queue_wake}, {"empty", queue_empty}, {NULL, NULL}};
  static const lctx_class class = {
      .name = "ctx.core.Queue", .ref = LCTX_REF_QUEUE, .methods = methods};
  lctx_register(L, S, functions);
  lctx_open_class(L, S, &class);
}
