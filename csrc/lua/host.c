/* SPDX-License-Identifier: MIT */
/* The host of the core under Lua: clocks, wake-ups, memory. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__) && !defined(CTX_PORTABLE)
#include <sys/eventfd.h>
#endif
#include <fcntl.h>

#include "host.h"

#include "loop.h"

/* -- The clock --------------------------------------------------------------------------------- */

static uint64_t read_clock(const lctx_state* S, clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
  return ns + (uint64_t)S->offset_ns;
}

uint64_t lctx_real_ns(const lctx_state* S) {
  return read_clock(S, CLOCK_MONOTONIC);
}

static uint64_t host_now(void* data) {
  const lctx_state* S = (const lctx_state*)data;
  return S->fake ? S->fake_ns : lctx_real_ns(S);
}

#if defined(CLOCK_MONOTONIC_COARSE) && !defined(CTX_PORTABLE)
static uint64_t host_now_coarse(void* data) {
  const lctx_state* S = (const lctx_state*)data;
  return S->fake ? S->fake_ns : read_clock(S, CLOCK_MONOTONIC_COARSE);
}

uint64_t lctx_coarse_ns(const lctx_state* S) {
  return host_now_coarse((void*)S);
}
#else
#define host_now_coarse NULL

uint64_t lctx_coarse_ns(const lctx_state* S) {
  return host_now((void*)S);
}
#endif

enum { TURN_NS = 1000000 };

bool lctx_turn_due(const lctx_state* S) {
  return lctx_coarse_ns(S) - S->turned_ns >= TURN_NS ||
         (S->patience_ns != 0 && lctx_real_ns(S) >= S->patience_ns);
}

/* -- Waking ------------------------------------------------------------------------------------ */

static void host_wake_at(void* data, uint64_t at_ns) {
  lctx_state* S = (lctx_state*)data;
  bool news = S->parked > 0 && (at_ns < S->armed_ns || !S->timed) && at_ns != CTX_NEVER;
  S->alarm_ns = at_ns;
  if (!S->asked && (at_ns == 0 || news)) lctx_ask(S);
}

/* From any thread. A full pipe has been written to already: that is as good. */
static void host_wake_soon(void* data) {
  static const uint64_t one = 1;
  const lctx_state* S = (const lctx_state*)data;
  ssize_t written;
  do {
    written = write(S->wake_fd, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
}

static bool open_fds(lctx_state* S) {
#if defined(__linux__) && !defined(CTX_PORTABLE)
  S->wake_fd = S->poll_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return S->poll_fd >= 0;
#else
  int fds[2];
  if (pipe(fds) != 0) return false;
  for (int i = 0; i < 2; i++) {
    fcntl(fds[i], F_SETFL, O_NONBLOCK);
    fcntl(fds[i], F_SETFD, FD_CLOEXEC);
  }
  S->poll_fd = fds[0];
  S->wake_fd = fds[1];
  return true;
#endif
}

void lctx_open_wake(lua_State* L, lctx_state* S) {
  if (S->poll_fd >= 0 || S->closed) return;
  if (!open_fds(S)) luaL_error(L, "ctx: cannot open a descriptor to be woken by");
  lctx_ask(S);
}

void lctx_close_host(lctx_state* S) {
  if (S->poll_fd < 0) return;
  close(S->poll_fd);
  if (S->wake_fd != S->poll_fd) close(S->wake_fd);
  S->wake_fd = S->poll_fd = -1;
}

/* -- Memory ------------------------------------------------------------------------------------- */

/* Of the tree: Lua's allocator. Of flags (no data): malloc's, since any thread may free them. */
static void* host_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  if (data != NULL) {
    void* lua_data;
    lua_Alloc alloc = lua_getallocf(((lctx_state*)data)->main, &lua_data);
    return alloc(lua_data, block, old_size, new_size);
  }
  if (new_size > 0) return realloc(block, new_size);
  free(block);
  return NULL;
}

const ctx_host_t lctx_host = {host_now, host_now_coarse, host_wake_at, host_wake_soon, host_alloc};
