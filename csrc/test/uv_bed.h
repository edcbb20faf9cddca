/* SPDX-License-Identifier: MIT */
#pragma once

/* A real loop with a host on it, and contexts with one watcher that notes its call. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread types in uv.h */
#endif
#include "harness.h"

#include <ctx/uv.h>

#define MS   UINT64_C(1000000)
#define HOUR (3600 * 1000 * MS)

typedef struct bed_s {
  uv_loop_t loop;
  ctx_uv_t host;
  ctx_tree_t* tree;
  ctx_t* root;
  unsigned closed; /* calls of on_closed */
} bed_t;

/* A context with one watcher that notes its call. */
typedef struct probe_s {
  ctx_t c;
  ctx_watcher_t watcher;
  bed_t* bed;
  unsigned calls;
  uint64_t called_ns;
  ctx_flag_t* flag;
} probe_t;

static inline void bed_make(bed_t* bed) {
  *bed = (bed_t){.root = NULL};
  ASSERT_EQ(uv_loop_init(&bed->loop), 0);
  ASSERT_EQ(ctx_uv_init(&bed->host, &bed->loop), 0);
  bed->host.data = bed;
  bed->tree = ctx_uv_tree(&bed->host);
  bed->root = ctx_background(bed->tree);
}

static inline void on_closed(ctx_uv_t* host) {
  ((bed_t*)host->data)->closed++;
}

/* Closes what is open and shows that nothing is left on the loop. */
static inline void bed_end(bed_t* bed) {
  ctx_uv_close(&bed->host, on_closed);
  ASSERT_EQ(uv_run(&bed->loop, UV_RUN_DEFAULT), 0);
  ASSERT_EQ(bed->closed, 1);
  ASSERT_EQ(uv_loop_close(&bed->loop), 0);
}

static inline void probe_note(ctx_watcher_t* w) {
  probe_t* p = (probe_t*)((char*)w - offsetof(probe_t, watcher));
  p->calls++;
  p->called_ns = uv_hrtime();
}

/* Lets go of the loop. */
static inline void probe_note_last(ctx_watcher_t* w) {
  probe_t* p = (probe_t*)((char*)w - offsetof(probe_t, watcher));
  probe_note(w);
  ctx_uv_unref(&p->bed->host);
}

static inline void probe_start(probe_t* p, bed_t* bed, uint64_t at_ns, ctx_watcher_fn fn) {
  *p = (probe_t){.bed = bed};
  ctx_with_deadline(&p->c, bed->root, at_ns, NULL);
  ASSERT_EQ(ctx_watch(&p->c, &p->watcher, fn), 0);
}

static inline uint64_t in_ms(bed_t* bed, uint64_t ms) {
  return ctx_time_add(ctx_now(bed->tree), ms * MS);
}
