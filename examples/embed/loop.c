/* SPDX-License-Identifier: MIT */
/* Contexts on a loop of your own: poll(2), a monotonic clock, and a pipe by which other threads wake
 * it. A watcher of a context ends what waits for its deadline; a thread cancels another context.
 *
 * Usage: loop     (built with the project; exits 0 only if both contexts ended as they must) */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clock_gettime, pipe */
#endif
#include <ctx/ctx.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

/* -- The host: what the tree asks of the loop ---------------------------------------------- */

typedef struct {
  ctx_tree_t tree;
  uint64_t wake_ns; /* when the tree wants its turn */
  int wake[2];      /* a byte in it: a turn soon */
  unsigned open;    /* contexts that are waited for */
} loop_t;

static uint64_t loop_now(void* data) {
  struct timespec t;
  (void)data;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static void loop_wake_at(void* data, uint64_t at_ns) {
  ((loop_t*)data)->wake_ns = at_ns;
}

/* Any thread. A full pipe is a wake-up that is on its way already. */
static void loop_wake_soon(void* data) {
  ssize_t written = write(((loop_t*)data)->wake[1], "", 1);
  (void)written;
}

static void* loop_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  (void)data;
  (void)old_size;
  if (new_size > 0) return realloc(block, new_size);
  free(block);
  return NULL;
}

/* Static, since it must outlive the last flag. */
static const ctx_host_t host = {loop_now, NULL, loop_wake_at, loop_wake_soon, loop_alloc};

/* -- The loop -------------------------------------------------------------------------------- */

/* Milliseconds until the tree wants its turn, rounded up; -1: it does not. */
static int timeout_ms(loop_t* loop) {
  uint64_t now_ns = loop_now(loop);
  if (loop->wake_ns == CTX_NEVER) return -1;
  if (loop->wake_ns <= now_ns) return 0;
  uint64_t ms = (loop->wake_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void loop_run(loop_t* loop) {
  while (loop->open > 0) {
    struct pollfd fd = {.fd = loop->wake[0], .events = POLLIN};
    char bytes[64];
    if (poll(&fd, 1, timeout_ms(loop)) > 0) {
      while (read(loop->wake[0], bytes, sizeof bytes) > 0) {
      }
    }
    ctx_tree_run(&loop->tree); /* too early or too often does no harm */
  }
}

static int loop_open(loop_t* loop) {
  if (pipe(loop->wake) != 0) return 1;
  for (int i = 0; i < 2; i++) fcntl(loop->wake[i], F_SETFL, O_NONBLOCK);
  loop->wake_ns = CTX_NEVER;
  loop->open = 0;
  ctx_tree_init(&loop->tree, &host, loop);
  return 0;
}

static void loop_close(loop_t* loop) {
  ctx_tree_close(&loop->tree);
  close(loop->wake[0]);
  close(loop->wake[1]);
}

/* -- The program ------------------------------------------------------------------------------ */

static const char* hung_up_message(const ctx_cause_t* cause) {
  (void)cause;
  return "the client has hung up";
}
static const ctx_cause_ops_t hung_up_ops = {NULL, NULL, hung_up_message};
static ctx_cause_t hung_up = {&hung_up_ops};

static void on_done(ctx_watcher_t* watcher) {
  loop_t* loop = watcher->data;
  loop->open--;
}

static void* client(void* flag) {
  (void)ctx_cancel_async(flag, &hung_up);
  ctx_flag_release(flag);
  return NULL;
}

int main(void) {
  loop_t loop;
  ctx_t slow, left;
  ctx_watcher_t watchers[2] = {{.data = &loop}, {.data = &loop}};
  pthread_t thread;
  if (loop_open(&loop)) return 1;
  ctx_with_timeout(&slow, ctx_background(&loop.tree), 20 * NS_PER_MS, NULL);
  ctx_with_cancel(&left, ctx_background(&loop.tree));
  if (ctx_watch(&slow, &watchers[0], on_done) || ctx_watch(&left, &watchers[1], on_done)) return 1;
  loop.open = 2;
  ctx_flag_t* flag = ctx_share(&left);
  if (flag == NULL || pthread_create(&thread, NULL, client, flag)) return 1;
  loop_run(&loop);
  pthread_join(thread, NULL);

  bool ok = ctx_err(&slow) == CTX_DEADLINE_EXCEEDED && ctx_cause(&left) == &hung_up;
  printf("slow: %s\nleft: %s\n", ctx_strerror(ctx_err(&slow)), hung_up_message(ctx_cause(&left)));
  ctx_release(&left);
  ctx_release(&slow);
  loop_close(&loop);
  return ok ? 0 : 1;
}
