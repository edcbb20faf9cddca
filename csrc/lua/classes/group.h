/* SPDX-License-Identifier: MIT */
/* May include: ground, report, context, task, line, classes. */
#pragma once

/* The class of groups (errgroup): shared by its two files. */
#include "context/context.h"
#include "report/failure.h"
#include "task/record.h"

/* User values: the group's context; its failure, with the first error; a list of the other errors, see
 * group_errors.c. */
enum { LCTX_GROUP_CONTEXT = 1, LCTX_GROUP_FAILURE, LCTX_GROUP_OTHERS, LCTX_GROUP_VALUES = 3 };

typedef struct {
  lctx_owner owner;
  ctx_group_t g;
  lctx_link waiters;     /* coroutines in g:wait(), and in the group's __close */
  lctx_node* own;        /* the group's context, or NULL */
  lctx_failure* failure; /* NULL also if there was no memory for one */
  lua_Integer listed;    /* entries in the list of the other errors */
  lua_Integer canceled;  /* errors since the last of these that are ctx.canceled itself */
  bool over;             /* a wait has returned, and no task was started since */
} lctx_group;

lctx_group* lctx_checkgroup(lua_State* L, int arg);
static inline lctx_state* lctx_stateof_group(const lctx_group* g) {
  return lctx_stateof_tree(g->g.tree);
}
/* If no task runs any more, ends the group's context and wakes its waiters; without waiters it changes
 * nothing. It is called after every step that may end the group. There is no join of the core here: it
 * would be one more pointer to the group, to be removed on every way out. */
void lctx_group_wake(lctx_group* g);
static inline void lctx_group_check(lctx_group* g) {
  if (g->g.running == 0 && !lctx_list_empty(&g->waiters)) lctx_group_wake(g);
}
/* The node of its context. It may have changed: a context that C has seen gets another node. */
static inline ctx_t* lctx_group_node(lctx_group* g) {
  g->g.c = g->own != NULL ? g->own->base.c : NULL;
  return g->g.c;
}
/* A task that had begun has ended, or a place is released. */
static inline void lctx_group_end(lctx_group* g, bool failed, ctx_cause_t* cause) {
  (void)lctx_group_node(g);
  ctx_group_end(&g->g, failed, cause);
  lctx_group_check(g);
}
