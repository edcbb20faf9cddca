/* SPDX-License-Identifier: MIT */
/* The tree: its two roots, and its turn of the loop. */
#include "internal.h"

void ctx_tree_init(ctx_tree_t* tree, const ctx_host_t* host, void* data) {
  *tree = (ctx_tree_t){.host = host, .data = data, .woken_at_ns = CTX_NEVER};
  tree->ready.next = tree->ready.prev = &tree->ready;
  ctx__init(&tree->background, tree, NULL, CTX__BACKGROUND);
  ctx__init(&tree->todo, tree, NULL, CTX__TODO);
  tree->background.due.flags = tree->todo.due.flags = CTX__LINKED;
}

void ctx_tree_close(ctx_tree_t* tree) {
  if (tree->closed) return;
  tree->closed = true;
  if (tree->inbox != NULL) ctx__inbox_close(tree);
  ctx__heap_close(tree);
}

ctx_t* ctx_background(ctx_tree_t* tree) {
  return &tree->background;
}

ctx_t* ctx_todo(ctx_tree_t* tree) {
  return &tree->todo;
}

/* A call has closed the tree: the remaining watchers stay registered, and are not called. */
static void put_back(ctx_tree_t* tree, ctx_watcher_t* list) {
  list->next->prev = &tree->ready;
  list->prev->next = tree->ready.next;
  tree->ready.next->prev = list->prev;
  tree->ready.next = list->next;
}

/* Calls the watchers that are ready now. A call may take others out of the list, and watchers that it
 * makes ready wait for the next turn. So this is a separate list, with its own sentinel. */
static void call_ready(ctx_tree_t* tree) {
  ctx_watcher_t now = tree->ready;
  if (now.next == &tree->ready) return;
  now.next->prev = now.prev->next = &now;
  tree->ready.next = tree->ready.prev = &tree->ready;
  while (now.next != &now) {
    if (tree->closed) {
      put_back(tree, &now);
      break;
    }
    ctx_watcher_t* w = now.next;
    ctx__watcher_remove(w);
    w->tree = NULL;
    tree->counters.watchers--;
    w->fn(w);
  }
}

void ctx_tree_run(ctx_tree_t* tree) {
  if (tree->running || tree->closed) return;
  tree->running = true;
  tree->woken_at_ns = CTX_NEVER;
  if (tree->inbox != NULL) ctx__inbox_run(tree);
  /* Reading the clock costs as much as the rest of an idle turn. */
  if (tree->heap_size > 0) ctx__expire_due(tree, ctx_now(tree));
  call_ready(tree);
  tree->running = false;
  ctx__wake(tree, tree->ready.next != &tree->ready ? 0 : ctx__heap_first_ns(tree));
}
