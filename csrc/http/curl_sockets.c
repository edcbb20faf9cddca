/* SPDX-License-Identifier: MIT */
/* The descriptors that libcurl wants to be watched. */
#include "curl_module.h"

#if defined(__linux__) && !defined(CTX_PORTABLE)
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>
#endif

enum { FIRST_SOCKETS = 8, EVENTS = 64 };

/* -- One by one -------------------------------------------------------------------------------- */

static hcurl_socket* find_socket(hcurl_pool* p, curl_socket_t fd) {
  for (size_t i = 0; i < p->count; i++) {
    if (p->sockets[i].fd == fd) return &p->sockets[i];
  }
  return NULL;
}

/* A place for one more; NULL: no memory. */
static hcurl_socket* add_socket(hcurl_pool* p, curl_socket_t fd) {
  if (p->count == p->capacity) {
    size_t capacity = p->capacity == 0 ? FIRST_SOCKETS : 2 * p->capacity;
    hcurl_socket* grown =
        p->alloc(p->alloc_data, p->sockets, p->capacity * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL) return NULL;
    p->sockets = grown;
    p->capacity = capacity;
  }
  hcurl_socket* s = &p->sockets[p->count++];
  *s = (hcurl_socket){.fd = fd, .want = CURL_POLL_REMOVE};
  return s;
}

static void write_down(hcurl_pool* p, curl_socket_t fd, int what) {
  hcurl_socket* s = find_socket(p, fd);
  if (s == NULL) {
    if (what == CURL_POLL_REMOVE) return;
    s = add_socket(p, fd);
    if (s == NULL) {
      p->lost = true;
      return;
    }
    s->renewed = true;
  }
  if (what == CURL_POLL_REMOVE) s->renewed = true;
  s->want = what;
  if (!s->dirty) p->dirty++;
  s->dirty = true;
}

/* -- In one ------------------------------------------------------------------------------------ */

#if defined(__linux__) && !defined(CTX_PORTABLE)
static void change(hcurl_pool* p, hcurl_connection* c, uint32_t events) {
  struct epoll_event e = {.data.fd = c->fd, .events = events};
  int how = events == 0 ? EPOLL_CTL_DEL : c->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (events == 0 && !c->registered) return;
  if (epoll_ctl(p->epoll_fd, how, c->fd, &e) != 0 && events != 0) p->lost = true;
  c->registered = events != 0;
}

static void gather(hcurl_pool* p, curl_socket_t fd, int what) {
  struct epoll_event e = {.data.fd = fd};
  hcurl_connection* c = hcurl_connection_of(p, fd);
  if (what & CURL_POLL_IN) e.events |= EPOLLIN;
  if (what & CURL_POLL_OUT) e.events |= EPOLLOUT;
  if (c != NULL) {
    hcurl_wanted(c, what != CURL_POLL_REMOVE);
    if (what != CURL_POLL_REMOVE) change(p, c, e.events);
    return;
  } else if (what == CURL_POLL_REMOVE) {
    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, &e);
    return;
  }
  int bad = epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, fd, &e);
  if (bad && errno == ENOENT) bad = epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &e);
  if (bad) p->lost = true;
}

void hcurl_open_sockets(hcurl_pool* p) {
  p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
}

CURLMcode hcurl_poll(hcurl_pool* p) {
  struct epoll_event events[EVENTS];
  int n = epoll_wait(p->epoll_fd, events, EVENTS, 0);
  CURLMcode code = CURLM_OK;
  for (int i = 0; i < n && code == CURLM_OK; i++) {
    int bits = 0;
    hcurl_connection* c = hcurl_connection_of(p, events[i].data.fd);
    if (c != NULL && c->idle) {
      hcurl_spoil(c);
      continue;
    }
    if (events[i].events & (EPOLLIN | EPOLLHUP)) bits |= CURL_CSELECT_IN;
    if (events[i].events & EPOLLOUT) bits |= CURL_CSELECT_OUT;
    if (events[i].events & EPOLLERR) bits |= CURL_CSELECT_ERR;
    code = hcurl_act(p, events[i].data.fd, bits, events[i].events & (EPOLLERR | EPOLLHUP));
  }
  return code;
}
#else
static void gather(hcurl_pool* p, curl_socket_t fd, int what) {
  write_down(p, fd, what);
}

void hcurl_open_sockets(hcurl_pool* p) {
  p->epoll_fd = -1;
}

CURLMcode hcurl_poll(hcurl_pool* p) {
  (void)p;
  return CURLM_OK;
}
#endif

/* -- Both -------------------------------------------------------------------------------------- */

/* An error of this callback would end all transfers of the pool, and libcurl would not say why; so
 * `lost` is set. */
int hcurl_on_socket(CURL* easy, curl_socket_t fd, int what, void* data, void* unused) {
  hcurl_pool* p = data;
  (void)easy;
  (void)unused;
  if (p->epoll_fd >= 0) {
    gather(p, fd, what);
    return 0;
  }
  hcurl_connection* c = hcurl_connection_of(p, fd);
  if (c != NULL) hcurl_wanted(c, what != CURL_POLL_REMOVE);
  if (c == NULL || c->wanted) write_down(p, fd, what);
  return 0;
}

/* Bytes on an idle HTTP/2 connection are for libcurl, at its next use; only its end counts here. */
void hcurl_watch_idle(hcurl_pool* p, hcurl_connection* c) {
#if defined(__linux__) && !defined(CTX_PORTABLE)
  if (p->epoll_fd >= 0) {
    change(p, c, !c->idle ? 0 : c->multiplexed ? EPOLLRDHUP : EPOLLIN | EPOLLRDHUP);
    return;
  }
#endif
  write_down(p, c->fd, c->idle && !c->multiplexed ? CURL_POLL_IN : CURL_POLL_REMOVE);
}

void hcurl_close_sockets(hcurl_pool* p) {
#if defined(__linux__) && !defined(CTX_PORTABLE)
  if (p->epoll_fd >= 0) (void)close(p->epoll_fd);
#endif
  p->epoll_fd = -1;
  if (p->sockets != NULL) {
    (void)p->alloc(p->alloc_data, p->sockets, p->capacity * sizeof *p->sockets, 0);
  }
  p->sockets = NULL;
  p->count = p->capacity = p->dirty = 0;
}
