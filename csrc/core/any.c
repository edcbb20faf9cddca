/* SPDX-License-Identifier: MIT */
/* A context that is done with the first of several.
 *
 * It is a root of its own, always linked, with an arm in each source. An arm is a linked child of
 * the source, so the walk that ends the source finds the arm and then ends the arm's owner. The
 * first arm that is done shows which source ended; without one, the `any` itself was cancelled. */
#include "internal.h"

void ctx__any_disarm(ctx_t* any) {
  for (ctx_t* arm = any->arms; arm != NULL; arm = arm->arms) {
    if (!ctx__linked(arm)) continue;
    ctx__unlink(arm);
    ctx__prune(arm->parent);
  }
}

int ctx_any(ctx_t* c, ctx_t* arms, ctx_t* const* sources, size_t n) {
  ctx_tree_t* tree = sources[0]->tree;
  for (size_t i = 0; i < n; i++) {
    if (ctx_err(sources[i]) == 0) continue;
    ctx_with_cancel(c, sources[i]);
    c->parent = NULL;
    for (size_t k = 0; k < n; k++) {
      arms[k].due.status = k == i ? c->due.status : 0;
      if (sources[k]->due.at_ns < c->due.at_ns) c->due.at_ns = sources[k]->due.at_ns;
    }
    return 0;
  }
  if (tree->closed) return CTX_ECLOSED;
  ctx__init(c, tree, NULL, CTX__ANY);
  c->arms = NULL;
  for (size_t i = n; i-- > 0;) {
    ctx_t* arm = &arms[i];
    ctx__init(arm, tree, sources[i], CTX__ARM);
    arm->owner = c;
    arm->arms = c->arms;
    c->arms = arm;
    if (arm->due.at_ns < c->due.at_ns) c->due.at_ns = arm->due.at_ns;
    if (ctx__link(arm) != 0) {
      ctx__any_disarm(c);
      return CTX_ENOMEM;
    }
  }
  tree->counters.derived++;
  /* Cannot fail: not the `any` but the sources of its arms are in the heap. */
  return ctx__link(c);
}
