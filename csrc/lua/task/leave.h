/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* The one way out of a wait. Every path takes it: for a coroutine that was woken, that other code has
 * resumed, that its owner has closed or that is given up; for a main thread that nothing can wake; and for
 * a wait that could not begin. */
#include "state.h"

enum lctx_exit {
  LCTX_TAKES,  /* it runs, and goes on with what it was woken with */
  LCTX_FORGOES /* what it asks for, or was given, is taken back */
};

/* Undoes all that was registered for the wait of `t`, if it is in one: the watcher, the alarm, the place
 * in a list or in the run queue; takes back what it forgoes; lets go of what was anchored. What was meant
 * for the wait comes too late from here on. A record that was taken for this wait only is free afterwards.
 * Raises no error. */
void lctx_leave(lua_State* L, lctx_task* t, enum lctx_exit how);
/* Takes a parked record out of everything that could wake it; nothing of Lua's runs. */
void lctx_unregister(lctx_task* t);

/* Lua tells nobody when the owner of a coroutine closes it in a wait, but it runs what is to be closed. So
 * a guard stands on the stack of a coroutine that is not a task, and leaves the wait. Without memory to
 * call it the wait stays until somebody meets the coroutine: see gone.h. */
void lctx_push_guard(lua_State* L, lctx_state* S); /* may raise */
/* The guard on top is that of the wait in which `t` is about to park. */
void lctx_set_guard(lua_State* L, lctx_task* t);
