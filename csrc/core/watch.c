/* SPDX-License-Identifier: MIT */
/* Watchers, the ready list, and the linking of contexts that are watched. */
#include "internal.h"

/* -- Lists of siblings --------------------------------------------------------------------- */

static ctx_t** siblings(ctx_t* c) {
  return c->parent != NULL ? &c->parent->children : &c->tree->roots;
}

static void append_sibling(ctx_t* c) {
  ctx_t** first = siblings(c);
  if (*first == NULL) {
    *first = c->next = c->prev = c;
    return;
  }
  c->next = *first;
  c->prev = (*first)->prev;
  c->prev->next = c;
  (*first)->prev = c;
}

int ctx__link(ctx_t* c) {
  for (ctx_t* x = c; !ctx__linked(x); x = x->parent) {
    bool own = x->due.at_ns != CTX_NEVER && x->due.kind != CTX__ANY &&
               (x->parent == NULL || x->parent->due.at_ns != x->due.at_ns);
    if (own && ctx__heap_push(c->tree, &x->due) != 0) {
      if (x != c) {
        /* Not ctx__prune(c), which leaves arms and ears alone. */
        ctx__unlink(c);
        ctx__prune(c->parent);
      }
      return CTX_ENOMEM;
    }
    append_sibling(x);
    x->due.flags |= CTX__LINKED;
    if (x->due.kind < CTX__ARM) c->tree->counters.linked++;
    if (x->parent == NULL) break;
  }
  return 0;
}

void ctx__unlink(ctx_t* c) {
  ctx_t** first = siblings(c);
  if (c->next == c) {
    *first = NULL;
  } else {
    c->next->prev = c->prev;
    c->prev->next = c->next;
    if (*first == c) *first = c->next;
  }
  c->due.flags &= (uint8_t)~CTX__LINKED;
  if (c->due.kind < CTX__ARM) c->tree->counters.linked--;
  if (c->due.index != 0) ctx__heap_remove(c->tree, &c->due);
}

void ctx__prune(ctx_t* c) {
  while (c != NULL && ctx__linked(c) && c->children == NULL && c->watchers == NULL &&
         c->due.kind > CTX__TODO && c->due.kind < CTX__ANY) {
    ctx__unlink(c);
    /* It is live now, and so are all its ancestors. */
    c->seen = c->tree->epoch;
    c = c->parent;
  }
}

/* -- Lists of watchers ------------------------------------------------------------------------ */

static void insert_before(ctx_watcher_t* place, ctx_watcher_t* w) {
  w->next = place;
  w->prev = place->prev;
  w->prev->next = w;
  place->prev = w;
}

void ctx__ready(ctx_tree_t* tree, ctx_watcher_t* w) {
  w->c = NULL;
  insert_before(&tree->ready, w);
}

void ctx__watcher_ready(ctx_tree_t* tree, ctx_watcher_t* w, ctx_watcher_fn fn) {
  w->tree = tree;
  w->fn = fn;
  tree->counters.watchers++;
  ctx__ready(tree, w);
  ctx__wake(tree, 0);
}

void ctx__ready_all(ctx_t* c) {
  ctx_watcher_t* first = c->watchers;
  ctx_watcher_t* last = first->prev;
  ctx_watcher_t* ready = &c->tree->ready;
  c->watchers = NULL;
  for (ctx_watcher_t* w = first; w != last; w = w->next) w->c = NULL;
  last->c = NULL;
  first->prev = ready->prev;
  ready->prev->next = first;
  last->next = ready;
  ready->prev = last;
}

void ctx__watcher_remove(ctx_watcher_t* w) {
  if (w->c != NULL && w->c->watchers == w) w->c->watchers = w->next == w ? NULL : w->next;
  w->next->prev = w->prev;
  w->prev->next = w->next;
  w->next = w->prev = NULL;
}

int ctx_watch(ctx_t* c, ctx_watcher_t* w, ctx_watcher_fn fn) {
  ctx_tree_t* tree = c->tree;
  if (tree->closed) return CTX_ECLOSED;
  bool done = ctx_err(c) != 0;
  if (!done && ctx__link(c) != 0) return CTX_ENOMEM;
  w->c = c;
  w->tree = tree;
  w->fn = fn;
  tree->counters.watchers++;
  if (done) {
    ctx__ready(tree, w);
    ctx__wake(tree, 0);
  } else if (c->watchers == NULL) {
    c->watchers = w->next = w->prev = w;
  } else {
    insert_before(c->watchers, w);
  }
  return 0;
}

bool ctx_unwatch(ctx_watcher_t* w) {
  ctx_tree_t* tree = w->tree;
  if (tree == NULL) return false;
  ctx_t* c = w->c;
  ctx__watcher_remove(w);
  w->tree = NULL;
  tree->counters.watchers--;
  if (c != NULL) ctx__prune(c);
  return true;
}
