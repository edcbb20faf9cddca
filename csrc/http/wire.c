/* SPDX-License-Identifier: MIT */
/* The Lua module ctx.http.wire: reads requests from bytes, writes heads of responses, and has functions
 * on descriptors of sockets that luv lacks. It is only for lua/ctx/http: wrong types raise, but the
 * messages name no public function. */
#include "wire.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#if defined(__linux__) && !defined(CTX_PORTABLE)
#include <linux/filter.h>
#include <sys/epoll.h>
#include <unistd.h>
#endif

#include "message.h"

#define READER "ctx.http.wire.Reader"

/* RFC 9293, 3.1. */
enum { TCP_FLAGS_AT = 13, TCP_SYN = 0x02, TCP_ACK = 0x10 };

static struct http_message* check_reader(lua_State* L) {
  return (struct http_message*)luaL_checkudata(L, 1, READER);
}

/* ---- a head as a table ----------------------------------------------------------------------- */

static void push_bytes(lua_State* L, const struct http_message* m, uint32_t at, uint32_t size) {
  lua_pushlstring(L, size > 0 ? m->bytes + at : "", size);
}

/* Several Cookie fields are joined by a semicolon (RFC 6265, 5.4), all others by a comma. */
static const char* separator_of(const struct http_message* m, const struct http_field* field) {
  int cookie = field->name_size == 6 && memcmp(m->bytes + field->name, "cookie", 6) == 0;
  return cookie ? "; " : ", ";
}

/* Pushes a table: name -> value; several values of one name are joined. */
static void push_fields(lua_State* L, const struct http_message* m, uint32_t first, uint32_t last) {
  lua_createtable(L, 0, (int)(last - first));
  for (uint32_t i = first; i < last; i++) {
    const struct http_field* field = &m->fields[i];
    push_bytes(L, m, field->name, field->name_size);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
      lua_pop(L, 1);
      push_bytes(L, m, field->value, field->value_size);
    } else {
      lua_pushstring(L, separator_of(m, field));
      push_bytes(L, m, field->value, field->value_size);
      lua_concat(L, 3);
    }
    lua_rawset(L, -3);
  }
}

static void set_flag(lua_State* L, const char* name, int value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

/* The target, and, of one in origin-form (RFC 9112, 3.2.1), its path and its query, as they came. */
static void set_target(lua_State* L, const struct http_message* m) {
  uint32_t size = m->target_size;
  push_bytes(L, m, 0, size);
  lua_setfield(L, -2, "target");
  if (size == 0 || m->bytes[0] != '/') return;
  const char* fragment = (const char*)memchr(m->bytes, '#', size);
  if (fragment) size = (uint32_t)(fragment - m->bytes);
  const char* mark = (const char*)memchr(m->bytes, '?', size);
  uint32_t path = mark ? (uint32_t)(mark - m->bytes) : size;
  push_bytes(L, m, 0, path);
  lua_setfield(L, -2, "raw_path");
  if (path + 1 < size) {
    push_bytes(L, m, path + 1, size - path - 1);
    lua_setfield(L, -2, "raw_query");
  }
}

static void push_head(lua_State* L, struct http_message* m) {
  lua_createtable(L, 0, 16);
  lua_pushstring(L, llhttp_method_name((llhttp_method_t)llhttp_get_method(&m->parser)));
  lua_setfield(L, -2, "method");
  set_target(L, m);
  push_fields(L, m, 0, m->head_fields);
  lua_setfield(L, -2, "_fields");
  lua_pushinteger(L, llhttp_get_http_minor(&m->parser));
  lua_setfield(L, -2, "minor");
  set_flag(L, "keep_alive", m->keep_alive);
  if (m->upgrade) set_flag(L, "upgrade", 1);
  if (m->chunked) set_flag(L, "chunked", 1);
  if (m->length >= 0) {
    lua_pushinteger(L, (lua_Integer)m->length);
    lua_setfield(L, -2, "length");
  }
}

/* ---- the reader ------------------------------------------------------------------------------ */

/* reader(target, head, fields, body): the four limits. */
static int new_reader(lua_State* L) {
  struct http_limits limits = {
      .target = (uint32_t)luaL_checkinteger(L, 1),
      .head = (uint32_t)luaL_checkinteger(L, 2),
      .fields = (uint32_t)luaL_checkinteger(L, 3),
      .body = (uint64_t)luaL_checkinteger(L, 4),
  };
  void* data;
  lua_Alloc alloc = lua_getallocf(L, &data);
  struct http_message* m = (struct http_message*)lua_newuserdatauv(L, sizeof *m, 0);
  http_message_init(m, &limits, alloc, data);
  luaL_setmetatable(L, READER);
  return 1;
}

/* feed(bytes, from): reads on at byte `from`. Returns where it stopped, the head or nil, bytes of the
 * body or nil, and whether the message is complete; or nil, status, reason after a failure. */
static int feed(lua_State* L) {
  struct http_message* m = check_reader(L);
  size_t size;
  const char* bytes = luaL_checklstring(L, 2, &size);
  size_t from = (size_t)luaL_checkinteger(L, 3) - 1;
  luaL_argcheck(L, from <= size, 3, "past the end");
  from += http_message_read(m, bytes + from, size - from);
  if (m->events & MESSAGE_FAILED) {
    lua_pushnil(L);
    lua_pushinteger(L, m->status);
    lua_pushstring(L, m->reason);
    return 3;
  }
  lua_pushinteger(L, (lua_Integer)from + 1);
  if (m->events & MESSAGE_HEAD) {
    push_head(L, m);
  } else {
    lua_pushnil(L);
  }
  if (m->events & MESSAGE_BODY) {
    lua_pushlstring(L, m->body.at, m->body.size);
  } else {
    lua_pushnil(L);
  }
  lua_pushboolean(L, (m->events & MESSAGE_END) != 0);
  return 4;
}

/* trailers(): nil, or the fields that came after the body. */
static int trailers(lua_State* L) {
  struct http_message* m = check_reader(L);
  if (!(m->events & MESSAGE_END) || m->field_count == m->head_fields) return 0;
  push_fields(L, m, m->head_fields, m->field_count);
  return 1;
}

/* next(): begins the next message. */
static int next_message(lua_State* L) {
  http_message_next(check_reader(L));
  return 0;
}

/* began(): whether a message has begun and is incomplete. */
static int began(lua_State* L) {
  lua_pushboolean(L, http_message_began(check_reader(L)));
  return 1;
}

static int close_reader(lua_State* L) {
  http_message_close(check_reader(L));
  return 0;
}

/* methods(): a table with a key for each method that the parser accepts. */
static int methods(lua_State* L) {
  lua_newtable(L);
#define METHOD(number, name, text) set_flag(L, #text, 1);
  HTTP_METHOD_MAP(METHOD)
#undef METHOD
  return 1;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* hangup(fd): a descriptor, closed on exec, that luv can watch for the hangup of a socket while the
 * socket's stream does not read, and the event to watch for; nil if no descriptor is left. It is an
 * epoll and not a second descriptor of the socket: for a socket that was reset, luv 1.44 would print
 * that the descriptor is bad. */
static int hangup_fd(lua_State* L) {
  int of = (int)luaL_checkinteger(L, 1);
#if defined(__linux__) && !defined(CTX_PORTABLE)
  int fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLRDHUP};
  if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, of, &event)) {
    close(fd);
    fd = -1;
  }
  const char* events = "r";
#else
  int fd = fcntl(of, F_DUPFD_CLOEXEC, 3);
  const char* events = "d";
#endif
  if (fd < 0) return 0;
  lua_pushinteger(L, fd);
  lua_pushstring(L, events);
  return 2;
}

/* accept(fd): a connection that the kernel has established, closed on exec; nil if there is none. It does
 * not wait, since luv has made the listening socket non-blocking. */
static int accept_fd(lua_State* L) {
  int fd = accept((int)luaL_checkinteger(L, 1), NULL, NULL);
  if (fd < 0) return 0;
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* our own descriptor: cannot fail */
  lua_pushinteger(L, fd);
  return 1;
}

/* deafen(fd): lets no new connection begin on the listening socket; handshakes that have begun go on.
 * Without it, connections that the kernel establishes between the last accept and the close would be
 * reset. Returns true if some handshakes may be unfinished: their clients consider the connection
 * established, and the kernel waits for the last packet. Where this filter does not exist, or only for
 * root, a gap of microseconds remains. */
static int deafen_fd(lua_State* L) {
  int fd = (int)luaL_checkinteger(L, 1);
  bool under_way = false;
  struct sockaddr_storage address = {0};
  socklen_t size = sizeof address;
  bool local =
      getsockname(fd, (struct sockaddr*)&address, &size) == 0 && address.ss_family == AF_UNIX;
  if (local) (void)shutdown(fd, SHUT_RD); /* local sockets connect in one step */
#if defined(__linux__) && !defined(CTX_PORTABLE)
  struct sock_filter no_syn[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_SYN | TCP_ACK),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_SYN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  struct sock_fprog program = {.len = sizeof no_syn / sizeof no_syn[0], .filter = no_syn};
  under_way = !local && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
#endif
  lua_pushboolean(L, under_way);
  return 1;
}

static const luaL_Reg METHODS[] = {
    {"feed", feed}, {"trailers", trailers}, {"next", next_message}, {"began", began}, {NULL, NULL}};

static const luaL_Reg FUNCTIONS[] = {{"reader", new_reader},      {"head", http_head},
                                     {"trailers", http_trailers}, {"methods", methods},
                                     {"hangup", hangup_fd},       {"accept", accept_fd},
                                     {"deafen", deafen_fd},       {NULL, NULL}};

__attribute__((visibility("default"))) LUAMOD_API int luaopen_ctx_http_wire(lua_State* L) {
  if (luaL_newmetatable(L, READER)) {
    lua_pushcfunction(L, close_reader);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, METHODS);
    lua_setfield(L, -2, "__index");
  }
  luaL_newlib(L, FUNCTIONS);
  return 1;
}
