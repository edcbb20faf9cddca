/* SPDX-License-Identifier: MIT */
/* May include: ground. */
/* Which of this process's sockets can bring nothing by themselves: for ctx.testing, whose clock stands
 * still only for what comes from outside. Those are the sockets that listen, and those whose other end
 * is in this process, too: what came for them was there as soon as it was sent. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "state.h"

/* An address of IPv6, or of IPv4 mapped into that, with its port. */
typedef struct {
  uint8_t host[16];
  uint16_t port;
} address_t;

enum kind { LISTENS, NAMED, PATH, EPOLL };
enum state { UNKNOWN, BUSY, QUIET };

typedef struct {
  address_t local, peer; /* of one that is NAMED */
  int fd;
  enum kind kind;
  enum state state;
  bool
      sending; /* what it sent has not all arrived, as far as is known; or something has that nobody
                 * has read: a callback may have sent it in this very turn of the loop */
} end_t;

static bool is_same(const address_t* a, const address_t* b) {
  return a->port == b->port && memcmp(a->host, b->host, sizeof a->host) == 0;
}

static bool is_any(const address_t* a) {
  static const uint8_t zeros[16] = {0}, mapped[16] = {[10] = 0xff, [11] = 0xff};
  return memcmp(a->host, zeros, sizeof zeros) == 0 || memcmp(a->host, mapped, sizeof mapped) == 0;
}

static bool to_address(const struct sockaddr_storage* from, address_t* to) {
  memset(to, 0, sizeof *to);
  if (from->ss_family == AF_INET) {
    const struct sockaddr_in* in = (const struct sockaddr_in*)(const void*)from;
    to->host[10] = to->host[11] = 0xff;
    memcpy(to->host + 12, &in->sin_addr, 4);
    to->port = in->sin_port;
  } else if (from->ss_family == AF_INET6) {
    const struct sockaddr_in6* in6 = (const struct sockaddr_in6*)(const void*)from;
    memcpy(to->host, &in6->sin6_addr, 16);
    to->port = in6->sin6_port;
  } else {
    return false;
  }
  return true;
}

static int option_of(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

/* Of two ends in the file system only one has a name: whether the other one was made by this process.
 * Those that listen are quiet, too. */
static bool is_quiet_path(int fd) {
  struct sockaddr_un name;
  socklen_t size = sizeof name, peer_size = sizeof name;
  if (getsockname(fd, (struct sockaddr*)&name, &size) != 0) return false;
  if (option_of(fd, SO_ACCEPTCONN) != 0) return true;
#ifdef SO_PEERCRED
  struct ucred peer;
  socklen_t ucred_size = sizeof peer;
  bool named = size > sizeof(sa_family_t);
  if (getpeername(fd, (struct sockaddr*)&name, &peer_size) != 0) return false;
  return (named || peer_size > sizeof(sa_family_t)) &&
         getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &ucred_size) == 0 && peer.pid == getpid();
#else
  (void)peer_size;
  return false;
#endif
}

/* Whether there is something to read or to accept. */
static bool is_readable(int fd) {
  struct pollfd look = {.fd = fd, .events = POLLIN};
  return poll(&look, 1, 0) > 0;
}

/* Of an IP stream. */
static bool look_at_socket(end_t* end, const struct sockaddr_storage* local) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (option_of(end->fd, SO_TYPE) != SOCK_STREAM || !to_address(local, &end->local)) return false;
  end->kind = option_of(end->fd, SO_ACCEPTCONN) != 0 ? LISTENS : NAMED;
  if (end->kind == LISTENS) return true;
#ifdef TIOCOUTQ
  int unsent = 0;
  end->sending = end->sending || (ioctl(end->fd, TIOCOUTQ, &unsent) == 0 && unsent > 0);
#endif
  return getpeername(end->fd, (struct sockaddr*)&peer, &size) == 0 && to_address(&peer, &end->peer);
}

static bool is_epoll(int fd) {
  static const char wanted[] = "anon_inode:[eventpoll]";
  char path[32], target[sizeof wanted];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(path, target, sizeof target);
  return length == sizeof wanted - 1 && memcmp(target, wanted, sizeof wanted - 1) == 0;
}

/* Whether the descriptor may turn out to be quiet. */
static bool look_at(int fd, end_t* end) {
  struct sockaddr_storage local;
  socklen_t size = sizeof local;
  *end = (end_t){.fd = fd};
  if (getsockname(fd, (struct sockaddr*)&local, &size) != 0) {
    end->kind = EPOLL;
    return is_epoll(fd);
  }
  end->kind = PATH;
  end->sending = is_readable(fd);
  return local.ss_family == AF_UNIX ? is_quiet_path(fd) : look_at_socket(end, &local);
}

static bool is_other_end(const end_t* a, const end_t* b) {
  if (b->kind == LISTENS) {
    /* Nobody has accepted it yet. */
    return a->peer.port == b->local.port && (is_any(&b->local) || is_same(&a->peer, &b->local));
  }
  return b->kind == NAMED && is_same(&a->peer, &b->local) && is_same(&a->local, &b->peer);
}

static enum state state_of(const end_t* end, const end_t* ends, size_t n) {
  if (end->kind == EPOLL) return UNKNOWN;
  if (end->kind != NAMED) return end->sending ? BUSY : QUIET;
  enum state state = UNKNOWN;
  for (size_t i = 0; i < n; i++) {
    if (!is_other_end(end, &ends[i])) continue;
    state = end->sending || ends[i].sending ? BUSY : QUIET;
    if (ends[i].kind == NAMED) break;
  }
  return state;
}

/* libcurl's sockets are in a set of epoll's, which is as quiet as all of them are. */
static enum state state_of_set(int set, const end_t* ends, size_t n) {
  char line[256];
  int fd;
  (void)snprintf(line, sizeof line, "/proc/self/fdinfo/%d", set);
  FILE* info = fopen(line, "re");
  if (info == NULL) return UNKNOWN;
  enum state state = QUIET;
  while (state != UNKNOWN && fgets(line, sizeof line, info) != NULL) {
    if (sscanf(line, "tfd: %d", &fd) != 1) continue;
    enum state found = UNKNOWN;
    for (size_t i = 0; i < n && found == UNKNOWN; i++) {
      if (ends[i].fd == fd) found = ends[i].state;
    }
    if (found < state) state = found;
  }
  (void)fclose(info);
  return state;
}

/* Looks at every descriptor; with no array, only counts them. */
static size_t find_ends(end_t* ends, size_t most) {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == NULL) folder = opendir("/dev/fd");
  if (folder == NULL) return 0;
  size_t n = 0;
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    if (ends == NULL || (n < most && look_at(atoi(entry->d_name), &ends[n]))) n++;
  }
  closedir(folder);
  return n;
}

/* core.quiet_sockets() → { [fd] = true, … }; false where bytes may be under way */
static int core_quiet_sockets(lua_State* L) {
  size_t most = find_ends(NULL, 0);
  end_t* ends = (end_t*)lua_newuserdatauv(L, (most + 1) * sizeof *ends, 0);
  size_t n = find_ends(ends, most);
  for (size_t i = 0; i < n; i++) ends[i].state = state_of(&ends[i], ends, n);
  lua_newtable(L);
  for (size_t i = 0; i < n; i++) {
    if (ends[i].kind == EPOLL) ends[i].state = state_of_set(ends[i].fd, ends, n);
    if (ends[i].state == UNKNOWN) continue;
    lua_pushboolean(L, ends[i].state == QUIET);
    lua_rawseti(L, -2, ends[i].fd);
  }
  return 1;
}

void lctx_open_quiet(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"quiet_sockets", core_quiet_sockets}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
