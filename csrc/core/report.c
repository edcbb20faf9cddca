/* SPDX-License-Identifier: MIT */
/* Reports: the version, counters, and a walk over the linked contexts. */
#include "internal.h"

uint32_t ctx_version(void) {
  return CTX_VERSION_HEX;
}

void ctx_counters(const ctx_tree_t* tree, ctx_counters_t* out) {
  *out = tree->counters;
  out->deadlines = tree->heap_size;
}

/* The next context in pre-order after `c`, below `first` or beside it; NULL at the end. */
static const ctx_t* next(const ctx_t* c, const ctx_t* first, unsigned* depth) {
  if (c->children != NULL) {
    ++*depth;
    return c->children;
  }
  for (; c->parent != NULL; c = c->parent, --*depth) {
    if (c->next != c->parent->children) return c->next;
  }
  /* The two roots of the tree are in no list. */
  if (c->next == NULL || c->next == first) return NULL;
  return c->next;
}

static bool walk_below(const ctx_t* first, ctx_walk_fn fn, void* arg) {
  unsigned depth = 0;
  for (const ctx_t* c = first; c != NULL; c = next(c, first, &depth)) {
    if (c->due.kind < CTX__ARM && !fn(c, depth, arg)) return false;
  }
  return true;
}

void ctx_walk(const ctx_tree_t* tree, ctx_walk_fn fn, void* arg) {
  if (walk_below(&tree->background, fn, arg) && walk_below(&tree->todo, fn, arg)) {
    (void)walk_below(tree->roots, fn, arg);
  }
}
