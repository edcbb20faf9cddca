/* SPDX-License-Identifier: MIT */
/* The libuv host (ctx/uv.h).
 *
 * The tree says when it wants to run (wake_at), which becomes the state of two handles:
 *   due now:   the idle handle is active; libuv calls it once in every turn, before polling
 *   due later: the timer is active, for that time or an earlier one
 * The timer is started again only for an earlier time. When the deadline goes away, the tree does not
 * tell: the timer then fires once without need, which is cheaper than moving it with every request
 * that ends in time. For this reason the timer is never referenced: it would keep the loop alive.
 *
 * The timer with timeout 0 could replace the idle handle. But libuv before 1.48 calls a timer that
 * starts itself again over and over within one turn, and then no I/O is done (libuv/libuv#4245, where
 * libuv's developers advise an idle handle, too). */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread types in uv.h, CLOCK_MONOTONIC_COARSE */
#endif
#define CTX_BUILD
#include <ctx/uv.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_MS     UINT64_C(1000000)
#define COARSE_MAX_NS (4 * NS_PER_MS) /* how far a coarse clock may lag and still be used */

/* -- The clocks ------------------------------------------------------------------------- */

static uint64_t host_now(void* data) {
  (void)data;
  return uv_hrtime();
}

#if defined(CLOCK_MONOTONIC_COARSE) && !defined(CTX_PORTABLE)
/* uv_hrtime's clock at the kernel's last tick, at a quarter of the price. (uv_now is cheaper still, but
 * stands still in a loop that computes, where ctx_err must see time pass.) */
static uint64_t host_now_coarse(void* data) {
  struct timespec t;
  (void)data;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static bool coarse_is_usable(void) {
  struct timespec tick;
  return clock_getres(CLOCK_MONOTONIC_COARSE, &tick) == 0 && tick.tv_sec == 0 &&
         (uint64_t)tick.tv_nsec <= COARSE_MAX_NS;
}
#else
#define host_now_coarse NULL
static bool coarse_is_usable(void) {
  return false;
}
#endif

static void* host_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  (void)data;
  (void)old_size;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new_size);
}

/* -- Running the tree ------------------------------------------------------------------- */

static void run(ctx_uv_t* h) {
  ctx_tree_run(&h->tree); /* at its end it asks for the next run */
  /* The calls took time, and the loop would poll too long with its old time. */
  uv_update_time(h->timer.loop);
}

static void on_timer(uv_timer_t* timer) {
  ctx_uv_t* h = timer->data;
  h->armed_ns = CTX_NEVER;
  run(h);
}

static void on_idle(uv_idle_t* idle) {
  uv_idle_stop(idle);
  run(idle->data);
}

static void on_async(uv_async_t* async) {
  run(async->data);
}

/* A timer that fired early needs no special case: the tree asks for the same time again. */
static void host_wake_at(void* data, uint64_t at_ns) {
  ctx_uv_t* h = data;
  uv_loop_t* loop = h->timer.loop;
  if (at_ns >= h->armed_ns) return; /* also for CTX_NEVER */
  /* libuv adds a timeout to the loop's time, which may be far behind. The sum below allows for that,
   * but polling would use the old time as the present, and sleep too long. */
  uv_update_time(loop);
  uint64_t at_ms = at_ns / NS_PER_MS + (at_ns % NS_PER_MS != 0);
  uint64_t now_ms = uv_now(loop);
  if (at_ms <= now_ms) {
    uv_idle_start(&h->idle, on_idle);
  } else {
    uv_timer_start(&h->timer, on_timer, at_ms - now_ms, 0);
    h->armed_ns = at_ns;
  }
}

static void host_wake_soon(void* data) {
  ctx_uv_t* h = data;
  uv_async_send(&h->async); /* cannot fail for an open handle */
}

/* Not in ctx_uv_t: flags that outlive it are freed through their host. */
static const ctx_host_t host_fine = {host_now, NULL, host_wake_at, host_wake_soon, host_alloc};
static const ctx_host_t host_coarse = {host_now, host_now_coarse, host_wake_at, host_wake_soon,
                                       host_alloc};

/* -- The public face -------------------------------------------------------------------- */

int ctx_uv_init(ctx_uv_t* h, uv_loop_t* loop) {
  *h = (ctx_uv_t){
      .armed_ns = CTX_NEVER,
      .open_handles = 3,
  };
  int err = uv_async_init(loop, &h->async, on_async); /* the one that can fail comes first */
  if (err) return err;
  uv_timer_init(loop, &h->timer);
  uv_idle_init(loop, &h->idle);
  h->async.data = h->timer.data = h->idle.data = h;
  uv_unref((uv_handle_t*)&h->async);
  uv_unref((uv_handle_t*)&h->timer);
  ctx_tree_init(&h->tree, coarse_is_usable() ? &host_coarse : &host_fine, h);
  return 0;
}

ctx_tree_t* ctx_uv_tree(ctx_uv_t* h) {
  return &h->tree;
}

uv_loop_t* ctx_uv_loop(const ctx_uv_t* h) {
  return h->timer.loop;
}

/* The async handle is active from init to close, so its reference keeps the loop alive. */
void ctx_uv_ref(ctx_uv_t* h) {
  uv_ref((uv_handle_t*)&h->async);
}

void ctx_uv_unref(ctx_uv_t* h) {
  uv_unref((uv_handle_t*)&h->async);
}

static void on_close(uv_handle_t* handle) {
  ctx_uv_t* h = handle->data;
  if (--h->open_handles == 0 && h->close_cb) h->close_cb(h);
}

void ctx_uv_close(ctx_uv_t* h, ctx_uv_close_cb close_cb) {
  if (h->closing) return;
  ctx_tree_close(&h->tree); /* from here on no other thread calls wake_soon */
  h->closing = true;
  h->close_cb = close_cb;
  uv_close((uv_handle_t*)&h->timer, on_close);
  uv_close((uv_handle_t*)&h->idle, on_close);
  uv_close((uv_handle_t*)&h->async, on_close);
}
