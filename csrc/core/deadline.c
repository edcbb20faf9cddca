/* SPDX-License-Identifier: MIT */
/* When: the clock, the heap of deadlines and timers, and the host's alarm.
 *
 * The heap is 4-ary: it is shallower than a binary heap, and the four children of a place are side by
 * side, in one or two cache lines. The heap itself has the times, so sifting follows no pointer
 * unless two times are equal. A timing wheel deletes faster among a million entries (9 against 40-80
 * ns), but adding costs the same, it is more code, and it must sort the times of a tick
 * (docs/decisions/0003). */
#include "internal.h"

struct ctx_heap_entry_s {
  uint64_t at_ns;
  ctx_due_t* due;
};
typedef struct ctx_heap_entry_s entry_t;

uint64_t ctx_time_add(uint64_t a_ns, uint64_t b_ns) {
  return a_ns > CTX_NEVER - b_ns ? CTX_NEVER : a_ns + b_ns;
}

static uint64_t seen(ctx_tree_t* tree, uint64_t now_ns) {
  if (now_ns > tree->now_ns) tree->now_ns = now_ns;
  return tree->now_ns;
}

uint64_t ctx_now(ctx_tree_t* tree) {
  return seen(tree, tree->host->now(tree->data));
}

uint64_t ctx__now_coarse(ctx_tree_t* tree) {
  if (tree->host->now_coarse == NULL) return ctx_now(tree);
  return seen(tree, tree->host->now_coarse(tree->data));
}

/* -- The heap: entries 1..heap_size, the children of i at 4i-2..4i+1 ------------------------ */

static bool before(const entry_t* a, const entry_t* b) {
  if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns;
  return a->due->order < b->due->order;
}

static void place(ctx_tree_t* tree, uint32_t i, entry_t e) {
  tree->heap[i] = e;
  e.due->index = i;
}

static void sift_up(ctx_tree_t* tree, uint32_t i, entry_t e) {
  while (i > 1) {
    uint32_t parent = (i + 2) / 4;
    if (!before(&e, &tree->heap[parent])) break;
    place(tree, i, tree->heap[parent]);
    i = parent;
  }
  place(tree, i, e);
}

static void sift_down(ctx_tree_t* tree, uint32_t i, entry_t e) {
  for (;;) {
    uint32_t child = 4 * i - 2;
    if (child > tree->heap_size) break;
    uint32_t end = child + 4 <= tree->heap_size + 1 ? child + 4 : tree->heap_size + 1;
    uint32_t least = child;
    for (uint32_t k = child + 1; k < end; k++) {
      if (before(&tree->heap[k], &tree->heap[least])) least = k;
    }
    if (!before(&tree->heap[least], &e)) break;
    place(tree, i, tree->heap[least]);
    i = least;
  }
  place(tree, i, e);
}

static bool grow_heap(ctx_tree_t* tree) {
  uint32_t old = tree->heap_capacity;
  if (old > UINT32_MAX / 8) return false;
  uint32_t capacity = old == 0 ? 16 : old + old / 2;
  void* heap =
      tree->host->alloc(tree->data, tree->heap, old * sizeof(entry_t), capacity * sizeof(entry_t));
  if (heap == NULL) return false;
  tree->heap = heap;
  tree->heap_capacity = capacity;
  return true;
}

int ctx__heap_push(ctx_tree_t* tree, ctx_due_t* due) {
  if (tree->heap_size + 1 >= tree->heap_capacity && !grow_heap(tree)) return CTX_ENOMEM;
  tree->heap_size++;
  sift_up(tree, tree->heap_size, (entry_t){due->at_ns, due});
  ctx__wake(tree, tree->heap[1].at_ns);
  return 0;
}

void ctx__heap_remove(ctx_tree_t* tree, ctx_due_t* due) {
  uint32_t i = due->index;
  due->index = 0;
  entry_t last = tree->heap[tree->heap_size--];
  if (last.due == due) return;
  if (i > 1 && before(&last, &tree->heap[(i + 2) / 4])) {
    sift_up(tree, i, last);
  } else {
    sift_down(tree, i, last);
  }
}

void ctx__heap_replace(ctx_tree_t* tree, ctx_due_t* due, ctx_due_t* by) {
  tree->heap[due->index].due = by;
  by->index = due->index;
  due->index = 0;
}

uint64_t ctx__heap_first_ns(const ctx_tree_t* tree) {
  return tree->heap_size > 0 ? tree->heap[1].at_ns : CTX_NEVER;
}

void ctx__heap_close(ctx_tree_t* tree) {
  /* Contexts and timers outlive the heap: none may use its place there afterwards. */
  for (uint32_t i = 1; i <= tree->heap_size; i++) tree->heap[i].due->index = 0;
  if (tree->heap != NULL) {
    tree->host->alloc(tree->data, tree->heap, tree->heap_capacity * sizeof(entry_t), 0);
  }
  tree->heap = NULL;
  tree->heap_size = tree->heap_capacity = 0;
}

/* -- Timers --------------------------------------------------------------------------------- */

static void timer_call(ctx_watcher_t* w) {
  ctx_timer_t* t = CTX__CONTAINER(w, ctx_timer_t, ready);
  t->fn(t);
}

int ctx_timer_start(ctx_tree_t* tree, ctx_timer_t* t, uint64_t at_ns, ctx_timer_fn fn) {
  if (tree->closed) return CTX_ECLOSED;
  t->due = (ctx_due_t){.at_ns = at_ns, .order = ++tree->made, .kind = CTX__TIMER};
  t->fn = fn;
  if (at_ns != CTX_NEVER && ctx__heap_push(tree, &t->due) != 0) {
    t->ready.tree = NULL;
    return CTX_ENOMEM;
  }
  t->ready.tree = tree;
  t->ready.fn = timer_call;
  t->ready.next = NULL; /* not in the ready list */
  tree->counters.watchers++;
  return 0;
}

bool ctx_timer_stop(ctx_timer_t* t) {
  ctx_tree_t* tree = t->ready.tree;
  if (tree == NULL) return false;
  t->ready.tree = NULL;
  tree->counters.watchers--;
  if (t->due.index != 0) {
    ctx__heap_remove(tree, &t->due);
  } else if (t->ready.next != NULL) {
    ctx__watcher_remove(&t->ready);
  }
  return true;
}

/* -- What is due ------------------------------------------------------------------------------ */

void ctx__expire_due(ctx_tree_t* tree, uint64_t now_ns) {
  while (tree->heap_size > 0 && tree->heap[1].at_ns <= now_ns) {
    ctx_due_t* due = tree->heap[1].due;
    if (due->kind == CTX__TIMER) {
      ctx__heap_remove(tree, due);
      ctx__ready(tree, &CTX__CONTAINER(due, ctx_timer_t, due)->ready);
      ctx__wake(tree, 0);
    } else {
      ctx__finish(CTX__CONTAINER(due, ctx_t, due), CTX_DEADLINE_EXCEEDED, due->at_ns);
    }
  }
}

void ctx__wake(ctx_tree_t* tree, uint64_t at_ns) {
  /* Within ctx_tree_run, its end sets the alarm. The alarm only moves to earlier times. */
  if (tree->running || tree->closed || at_ns >= tree->woken_at_ns) return;
  tree->woken_at_ns = at_ns;
  tree->host->wake_at(tree->data, at_ns);
}
