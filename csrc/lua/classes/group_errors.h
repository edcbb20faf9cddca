/* SPDX-License-Identifier: MIT */
/* May include: ground, classes. */
#pragma once

/* The errors of a group's tasks. */
#include "classes/group.h"

/* A task of the group has ended, with the values on its stack. */
void lctx_group_task_over(lua_State* L, lctx_task* t, int nresults);
/* Pushes the first error of the failed group at `index`; true if no wait had returned it before. */
bool lctx_group_hear(lua_State* L, lctx_group* g, int index);
/* A waiter of the group at `index` has given up. */
void lctx_group_unawaited(lua_State* L, lctx_state* S, lctx_group* g, int index);
/* g:errors() → a list of all errors, by time */
int lctx_group_errors(lua_State* L);
