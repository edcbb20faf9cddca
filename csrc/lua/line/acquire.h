/* SPDX-License-Identifier: MIT */
/* May include: task. */
#pragma once

/* A wait for units of a semaphore or for a place in a group, which the core grants in the order of
 * asking. */
#include "task/wait.h"

typedef struct lctx_acquire lctx_acquire;

/* The functions of a class of acquires. */
typedef struct {
  lctx_wait_kind wait; /* its `undo` is lctx_acquire_undo */
  const char* what;
  int (*ask)(lctx_acquire* a);        /* asks the core: returns its answer */
  bool (*stop)(lctx_acquire* a);      /* removes a pending one; false if it is not pending */
  void (*give_back)(lctx_acquire* a); /* releases what was granted */
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

/* Waits for `owner`, which is at stack index 1, until the context `c` at index 2 is done. Leaves the
 * acquire on top of the stack for the function that turns the outcome into results. */
int lctx_acquire_wait(lua_State* L, lctx_state* S, const lctx_acquire_kind* kind, void* owner,
                      lctx_context* c, uint64_t n);
/* The core's answer to a pending acquire. */
void lctx_acquire_granted(lctx_acquire* a, int err);
void lctx_acquire_undo(lua_State* L, lctx_task* t);
