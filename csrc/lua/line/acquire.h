/* SPDX-License-Identifier: MIT */
/* May include: task. */
#pragma once

/* A wait for units of a semaphore or for a place in a group: for what the core hands out in the order
 * of asking. */
#include "task/wait.h"

#pragma GCC visibility push(hidden)

typedef struct lctx_acquire lctx_acquire;

/* What all acquires of a class have in common. */
typedef struct {
  lctx_wait_kind wait; /* its `undo` is lctx_acquire_undo */
  const char* what;
  int (*ask)(lctx_acquire* a);        /* asks the core: returns its answer */
  bool (*stop)(lctx_acquire* a);      /* takes a pending one back; false if it is not pending */
  void (*give_back)(lctx_acquire* a); /* what was handed over */
} lctx_acquire_kind;

/* A userdata. User values: the owner; the context, unless the owner keeps that. */
struct lctx_acquire {
  union {
    ctx_acquire_t units;
    ctx_begin_t place;
  };
  const lctx_acquire_kind* kind;
  void* owner; /* the semaphore or the group */
  ctx_t* c;
  uint64_t n;
  lctx_task* t;
};

/* Waits in the name of `owner`, which is at stack index 1; a context `c` is at index 2. The acquire
 * is left on top of the stack for the function that turns the outcome into results. */
int lctx_acquire_wait(lua_State* L, lctx_state* S, const lctx_acquire_kind* kind, void* owner,
                      lctx_context* c, uint64_t n);
/* The core's answer to a pending acquire. */
void lctx_acquire_granted(lctx_acquire* a, int err);
void lctx_acquire_undo(lua_State* L, lctx_task* t);

#pragma GCC visibility pop
