/* SPDX-License-Identifier: MIT */
/* The connections of a pool: in use, kept for later, or not to be used again. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "curl_module.h"

enum { FIRST_DESCRIPTORS = 64, DRAINED = 4096, MOST_DRAINS = 64, LOOKED_AT = 16384 };

static hcurl_connection** chain_of(hcurl_pool* p, int port) {
  return &p->by_port[(unsigned)port % HCURL_PORTS];
}

/* -- Their lists ------------------------------------------------------------------------------- */

hcurl_connection* hcurl_connection_of(const hcurl_pool* p, curl_socket_t fd) {
  return fd >= 0 && (size_t)fd < p->descriptors ? p->by_fd[fd] : NULL;
}

static bool reserve(hcurl_pool* p, size_t fd) {
  size_t count = p->descriptors == 0 ? FIRST_DESCRIPTORS : p->descriptors;
  while (count <= fd) count *= 2;
  if (count == p->descriptors) return true;
  hcurl_connection** grown =
      p->alloc(p->alloc_data, p->by_fd, p->descriptors * sizeof *grown, count * sizeof *grown);
  if (grown == NULL) return false;
  memset(grown + p->descriptors, 0, (count - p->descriptors) * sizeof *grown);
  p->by_fd = grown;
  p->descriptors = count;
  return true;
}

static void link_into(hcurl_connection** head, hcurl_connection* c) {
  c->next = *head;
  if (c->next != NULL) c->next->at = &c->next;
  c->at = head;
  *head = c;
}

static void unlink_one(hcurl_connection* c) {
  *c->at = c->next;
  if (c->next != NULL) c->next->at = c->at;
}

static void free_unused(hcurl_connection* c) {
  hcurl_pool* p = c->pool;
  if (c->fd < 0 && c->users == 0 && !c->restless) (void)p->alloc(p->alloc_data, c, sizeof *c, 0);
}

/* libcurl has begun or ended a transfer on it: see hcurl_settle. */
static void make_restless(hcurl_connection* c) {
  if (c->restless) return;
  c->restless = true;
  c->next_restless = c->pool->restless;
  c->pool->restless = c;
}

static void set_idle(hcurl_connection* c, bool idle) {
  if (c->idle == idle) return;
  c->idle = idle;
  if (idle) c->pool->idle++;
  if (!idle) c->pool->idle--;
}

/* It has a transfer, or is closed: removes it from its opener's list. */
static void leave_opener(hcurl_connection* c) {
  if (c->opener == NULL) return;
  hcurl_connection** at = &c->opener->opened;
  while (*at != c) at = &(*at)->next_opened;
  *at = c->next_opened;
  c->opener = NULL;
}

/* Its descriptor is closed, or will be, or belongs to other code now. */
static void forget(hcurl_connection* c) {
  hcurl_pool* p = c->pool;
  leave_opener(c);
  set_idle(c, false);
  if (c->spoiled) p->spoiled--;
  unlink_one(c);
  p->by_fd[c->fd] = NULL;
  hcurl_watch_idle(p, c);
  c->fd = -1;
  free_unused(c);
}

static bool enter(hcurl_transfer* t, curl_socket_t fd) {
  hcurl_pool* p = t->pool;
  if (!reserve(p, (size_t)fd)) return false;
  hcurl_connection* c = p->alloc(p->alloc_data, NULL, 0, sizeof *c);
  if (c == NULL) return false;
  if (p->by_fd[fd] != NULL) forget(p->by_fd[fd]);
  *c = (hcurl_connection){.pool = p, .fd = fd, .opener = t, .next_opened = t->opened};
  t->opened = c;
  link_into(&p->nameless, c);
  p->by_fd[fd] = c;
  return true;
}

/* -- What libcurl calls ------------------------------------------------------------------------ */

/* As libcurl does it, but children must not inherit the connection. */
curl_socket_t hcurl_open_connection(hcurl_transfer* t, const struct curl_sockaddr* a) {
#if defined(SOCK_CLOEXEC) && !defined(CTX_PORTABLE)
  curl_socket_t fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
#else
  curl_socket_t fd = socket(a->family, a->socktype, a->protocol);
  if (fd >= 0) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
  if (fd < 0 || enter(t, fd)) return fd;
  (void)close(fd);
  errno = ENOMEM;
  return CURL_SOCKET_BAD;
}

int hcurl_on_close(void* data, curl_socket_t fd) {
  hcurl_connection* c = hcurl_connection_of(data, fd);
  if (c != NULL) forget(c);
  return close(fd);
}

/* -- Which one a transfer has ------------------------------------------------------------------ */

/* Sets the ports of new connections. One without a port is of another family. */
static void name_all(hcurl_pool* p) {
  hcurl_connection* next;
  for (hcurl_connection* c = p->nameless; c != NULL; c = next) {
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    next = c->next;
    if (getsockname(c->fd, (struct sockaddr*)&name, &size) != 0) continue;
    if (name.ss_family == AF_INET) c->port = ntohs(((struct sockaddr_in*)&name)->sin_port);
    if (name.ss_family == AF_INET6) c->port = ntohs(((struct sockaddr_in6*)&name)->sin6_port);
    if (c->port == 0 && name.ss_family != AF_UNIX) continue; /* not bound so far */
    unlink_one(c);
    link_into(chain_of(p, c->port), c);
  }
}

/* Closes the reading side, which libcurl notices. The writing side stays open, so that libcurl can end
 * TLS: otherwise its error would become the error of the next request. */
void hcurl_spoil(hcurl_connection* c) {
  char bytes[DRAINED];
  if (c->spoiled) return;
  c->spoiled = true;
  c->pool->spoiled++;
  set_idle(c, false);
  make_restless(c);
  (void)shutdown(c->fd, SHUT_RD);
  for (int i = 0; i < MOST_DRAINS && recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0;) i++;
}

/* RFC 9112, 9.2: bytes that came before the request are not its response. On HTTP/2 they may be a frame
 * for the whole connection. */
static bool is_good(const hcurl_connection* c) {
  char byte;
  if (c->spoiled) return false;
  ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n >= 0) return n > 0 && c->multiplexed;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* libcurl identifies a connection by its local port. Two connections to different peers may have the
 * same port, and sockets in the file system have none: then each candidate must be good. A candidate
 * that another transfer has is not spoiled: that transfer may have ended, or use another one. */
bool hcurl_take_connection(hcurl_transfer* t, int port) {
  hcurl_pool* p = t->pool;
  hcurl_connection *found = NULL, *next;
  bool good = true;
  if (port < 0) port = 0;
  name_all(p);
  hcurl_leave_connection(t);
  for (hcurl_connection* c = *chain_of(p, port); c != NULL; c = next) {
    next = c->next;
    if (c->port != port) continue;
    if (c->used && !is_good(c)) {
      if (c->users == 0) hcurl_spoil(c);
      good = false;
    } else if (found == NULL || c->users == 0) {
      found = c;
    }
  }
  if (found == NULL || !good) return good;
  t->connection = found;
  t->kept = found->used;
  if (!found->used) {
    found->plain = t->tells_tls && !t->handshaking && !t->secure && !t->strict.framed;
  }
  found->reader = found->plain ? t : NULL;
  found->last = '\n';
  leave_opener(found);
  found->users++;
  found->used = true;
  set_idle(found, false);
  return true;
}

void hcurl_leave_connection(hcurl_transfer* t) {
  hcurl_connection* c = t->connection;
  t->connection = NULL;
  if (c == NULL) return;
  if (c->reader == t) c->reader = NULL;
  c->users--;
  if (c->fd >= 0) make_restless(c);
  free_unused(c);
}

bool hcurl_begins_with_zero(hcurl_connection* c) {
  char bytes[LOOKED_AT];
  if (c == NULL || c->reader == NULL || c->reader->head_done) return false;
  ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  if (n <= 0) return false;
  const char *end = bytes + n, *zero = memchr(bytes, 0, (size_t)n);
  char before = c->last;
  c->last = end[-1];
  for (; zero != NULL; zero = memchr(zero + 1, 0, (size_t)(end - zero - 1))) {
    if ((zero == bytes ? before : zero[-1]) == '\n') return true;
  }
  return false;
}

void hcurl_end_connections(hcurl_transfer* t) {
  while (t->opened != NULL) forget(t->opened);
  hcurl_leave_connection(t);
}

/* -- Idle ones --------------------------------------------------------------------------------- */

void hcurl_wanted(hcurl_connection* c, bool wanted) {
  c->wanted = wanted;
  if (wanted) set_idle(c, false);
  if (!wanted) make_restless(c);
}

void hcurl_settle(hcurl_pool* p) {
  while (p->restless != NULL) {
    hcurl_connection* c = p->restless;
    p->restless = c->next_restless;
    c->restless = false;
    if (c->fd >= 0 && !c->wanted) {
      set_idle(c, c->used && c->users == 0 && !c->spoiled);
      hcurl_watch_idle(p, c);
    }
    free_unused(c);
  }
}

/* -- Letting them go --------------------------------------------------------------------------- */

static curl_socket_t open_nothing(void* data, curlsocktype purpose, struct curl_sockaddr* a) {
  (void)data;
  (void)purpose;
  (void)a;
  return CURL_SOCKET_BAD;
}

/* libcurl has no function for this. It checks for dead connections when a request begins, once a second
 * at most. So a request begins that cannot open a socket. */
CURLMcode hcurl_sweep(hcurl_pool* p) {
  int running;
  CURL* e = curl_easy_init();
  if (e == NULL) return CURLM_OUT_OF_MEMORY;
  CURLcode bad = curl_easy_setopt(e, CURLOPT_URL, "http://127.0.0.1:1/");
  if (!bad) bad = curl_easy_setopt(e, CURLOPT_PROXY, "");
  if (!bad) bad = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  if (!bad) bad = curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
  if (!bad) bad = curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_nothing);
  CURLMcode code = bad ? CURLM_OUT_OF_MEMORY : curl_multi_add_handle(p->multi, e);
  if (code == CURLM_OK) {
    code = curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    (void)curl_multi_remove_handle(p->multi, e);
  }
  curl_easy_cleanup(e);
  return code;
}

/* -- Descriptors of libcurl's own -------------------------------------------------------------- */

static bool is_inherited(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* libcurl is about to open descriptors, and does not always mark them as closed on exec. They get the
 * lowest free numbers, which depend on threads that look up other names: so a range is compared. A
 * descriptor that another thread opens in the range meanwhile is marked as well. This is harmless,
 * unless a child should inherit it. */
void hcurl_expect_descriptors(hcurl_guard* g) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  hcurl_guard_descriptors(g); /* of another lookup in the same call */
  if (fd < 0) return;
  (void)close(fd);
  g->from = fd > HCURL_GUARDED / 2 ? fd - HCURL_GUARDED / 2 : 0;
  for (int i = 0; i < HCURL_GUARDED; i++) g->inherited[i] = is_inherited(g->from + i);
}

void hcurl_guard_descriptors(hcurl_guard* g) {
  if (g->from < 0) return;
  for (int i = 0; i < HCURL_GUARDED; i++) {
    int fd = g->from + i;
    if (!g->inherited[i] && is_inherited(fd)) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  g->from = -1;
}

/* Its server notices the end, and so does the loop, which must close its handle before the descriptor is
 * closed. */
void hcurl_shut_connections(hcurl_pool* p) {
  for (size_t fd = 0; fd < p->descriptors; fd++) {
    if (p->by_fd[fd] != NULL) (void)shutdown((curl_socket_t)fd, SHUT_RDWR);
  }
}

void hcurl_free_connections(hcurl_pool* p) {
  for (size_t i = 0; i < p->descriptors; i++) {
    if (p->by_fd[i] != NULL) forget(p->by_fd[i]);
  }
  hcurl_settle(p);
  if (p->by_fd != NULL) {
    (void)p->alloc(p->alloc_data, p->by_fd, p->descriptors * sizeof *p->by_fd, 0);
  }
  p->by_fd = NULL;
  p->descriptors = 0;
}
