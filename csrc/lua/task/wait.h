/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context, task. */
#pragma once

/* How a coroutine waits: see wait.c. */
#include "context/context.h"
#include "task/record.h"

/* Turns the outcome of a wait into results, on the stack of the coroutine that waited. */
typedef int (*lctx_waited_fn)(lua_State* L, lctx_state* S, enum lctx_outcome outcome);

/* Takes back what a coroutine waits for, or has been given. Raises no error. */
typedef void (*lctx_undo_fn)(lua_State* L, lctx_task* t);

/* What all waits in one function have in common. */
typedef struct lctx_wait_kind {
  lctx_waited_fn waited;
  lctx_undo_fn undo;    /* called if the coroutine forgoes it; may be NULL */
  bool joins;           /* what is waited for is the end of tasks */
  bool external, looks; /* on neither a context nor a task; woken without a value, it looks again */
  bool guarded;         /* by lctx_park: what stands on top is of no use to `waited` */
} lctx_wait_kind;

typedef struct {
  const lctx_wait_kind* kind;
  const char* what; /* for reports and errors: the function's name */
  lctx_context* c;  /* ends the wait; may be NULL */
  int context;      /* where on the stack that is */
  uint64_t due_ns;  /* ends it, too; 0: there is none */
  lctx_link* list;  /* to stand in meanwhile, in the userdata at stack index 1; may be NULL */
  bool turn;        /* ends it, too: one turn of the loop */
  void* undo_data;
} lctx_wait;

/* Whether the running coroutine could wait now. */
bool lctx_can_wait(lua_State* L, lctx_state* S);
/* Parks the running coroutine; use as `return lctx_park(…)`. Raises where it cannot wait. */
int lctx_park(lua_State* L, lctx_state* S, const lctx_wait* wait);
/* The same in two steps: the record of the running coroutine, and its parking; or lctx_leave, if there is
 * nothing to wait for any more; or lctx_leave_error, which raises the core's error. */
lctx_task* lctx_waiter(lua_State* L, lctx_state* S, const char* what);
int lctx_park_task(lua_State* L, lctx_state* S, lctx_task* t, const lctx_wait* wait);
bool lctx_is_woken(lctx_state* S, void* arg); /* whether the record is */
int lctx_leave_error(lua_State* L, lctx_task* t, const char* what, int err);
