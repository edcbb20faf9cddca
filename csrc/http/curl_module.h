/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by the files of ctx.http.curl: transfers in pools, over libcurl's multi interface.
 *
 * Callbacks. No callback of libcurl enters Lua or raises. Callbacks copy bytes into buffers and write
 * down what libcurl needs. After each call of libcurl, Lua asks for it: pool:timeout(), pool:socket(),
 * pool:event(). An error in a callback ends the transfer, and has a name in `failure`.
 *
 * Descriptors. On Linux they are in an epoll descriptor of the pool, and the loop watches only that
 * one. If the loop watched each descriptor, as on other systems, luv would print "EBADF" on stderr
 * for every connection that is refused, since libuv takes POLLERR for a bad descriptor.
 *
 * Memory. Pools and transfers are userdata. Each is complete, and closed, before it acquires anything,
 * and its finalizer only frees. Near the limits of its stacks or without memory, Lua may lose a
 * finalizer, and then frees the object. So libcurl and the pool's list do not point to the object of
 * Lua code, but to a second userdata, the block. The pool's table of blocks keeps the block until the
 * transfer or the pool is closed. A lost finalizer leaks a block until the pool is closed.
 *
 * Until a transfer begins, its block refers to no object of the program but the body. Otherwise it
 * would keep its own owner alive.
 *
 * Buffers are from Lua's allocator, but the garbage collector does not know them. */

#include <curl/curl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "strict.h"

#pragma GCC visibility push(hidden)

#define HCURL_POOL     "ctx.http.curl.Pool"
#define HCURL_TRANSFER "ctx.http.curl.Transfer"

typedef struct hcurl_pool hcurl_pool;
typedef struct hcurl_transfer hcurl_transfer;
typedef struct hcurl_connection hcurl_connection;

typedef struct {
  char* data;
  size_t size, capacity;
} hcurl_buffer;

/* A descriptor that libcurl wants to be watched, or not to be watched any more. */
typedef struct {
  curl_socket_t fd;
  int want;     /* CURL_POLL_IN, _OUT, _INOUT; CURL_POLL_REMOVE: no events any more */
  bool dirty;   /* Lua has not been told yet */
  bool renewed; /* libcurl has removed it since: the descriptor may be another file now */
} hcurl_socket;

/* A connection that libcurl has opened. It is found by its descriptor, and by its port. */
struct hcurl_connection {
  hcurl_pool* pool;
  hcurl_connection *next, **at; /* in a list of the pool, while it is open */
  hcurl_connection* next_restless;
  hcurl_transfer* opener; /* its first transfer to be; NULL once a transfer has had it */
  hcurl_connection* next_opened;
  curl_socket_t fd;       /* -1: closed */
  int port;               /* of our side; 0: not known yet, or none */
  unsigned users;         /* transfers that have it */
  bool used;              /* has had one */
  bool wanted;            /* libcurl watches it */
  bool registered;        /* in the epoll descriptor */
  bool idle;              /* no transfer has it: any byte that comes spoils it */
  bool spoiled;           /* it is not used again; see hcurl_spoil */
  bool restless;          /* in the pool's list for hcurl_settle */
  bool multiplexed;       /* HTTP/2: of several transfers, and bytes may come at any time */
  bool plain;             /* it is known that its bytes are those of HTTP/1 */
  char last;              /* the last byte that was looked at */
  hcurl_transfer* reader; /* on a plain one: the transfer whose response comes now */
  bool going_away; /* HTTP/2: GOAWAY has come; streams beyond `last_stream` were not processed */
  unsigned last_stream;
};

enum { HCURL_PORTS = 256, HCURL_GUARDED = 128, HCURL_MAX_FIELDS = 1000 };

/* The range in which libcurl will open descriptors for itself: around the lowest free one, since
 * threads that look up names open and close others meanwhile. */
typedef struct {
  int from;                      /* -1: none are expected */
  bool inherited[HCURL_GUARDED]; /* before: the descriptors that children shall inherit */
} hcurl_guard;

/* User value 1: the blocks of its transfers, by slot. A free slot holds the number of the next free
 * slot. No key is ever new, as it would be in a table by address, so the table is never rebuilt. */
struct hcurl_pool {
  bool closed, apart;
  bool loses_zeros; /* this version of libcurl may: see hcurl_begins_with_zero */
  long max_idle, max_per_host, max_total;
  CURLSH* share; /* the cache of names */
  CURLM* multi;  /* NULL: no transfer and no connection */
  int epoll_fd;  /* -1: the loop watches each descriptor */
  hcurl_transfer* transfers;
  lua_Integer slots, free_slot; /* of the table of blocks; 0: none is free */
  hcurl_transfer *changed, **changed_end;
  hcurl_connection** by_fd; /* by descriptor; NULL: not a connection */
  size_t descriptors;
  hcurl_connection *nameless, *by_port[HCURL_PORTS]; /* the open ones */
  hcurl_connection* restless;
  size_t idle, spoiled; /* numbers of open connections */
  hcurl_guard guard;    /* of a lookup's descriptors */
  hcurl_socket* sockets;
  size_t count, capacity;
  size_t dirty;     /* number of dirty sockets */
  long timeout_ms;  /* -1: none */
  bool timeout_new; /* Lua has not been told yet */
  bool lost;        /* no memory for a request of libcurl: no transfer of the pool can go on */
  lua_Alloc alloc;
  void* alloc_data;
};

enum hcurl_failure {
  HCURL_FINE,
  HCURL_NO_MEMORY,
  HCURL_HEAD_TOO_LARGE,
  HCURL_BODY_TOO_LARGE,
  HCURL_LOST,      /* a kept connection died with the request */
  HCURL_DROPPED,   /* the same; libcurl's code says how */
  HCURL_STALE,     /* a kept connection was spoiled before the request was sent */
  HCURL_REFUSED,   /* the server says that it has not processed the request */
  HCURL_AGAIN,     /* libcurl would send the request once more after a response, a 417 */
  HCURL_NO_LOOKUP, /* it must not look up a name now */
  HCURL_WRONG,     /* the response is invalid: strict.reason */
  HCURL_CUT,       /* the connection ended before the response did */
};

/* The object that Lua code has. */
typedef struct {
  hcurl_transfer* block; /* NULL: there was no memory for it */
} hcurl_handle;
enum { HCURL_HANDLE_POOL = 1, HCURL_HANDLE_OWNER, HCURL_HANDLE_BLOCK, HCURL_HANDLE_VALUES = 3 };

/* User values of a block: the owner that gets its events, once it has begun; the body to send. */
enum { HCURL_BLOCK_OWNER = 1, HCURL_BLOCK_BODY, HCURL_BLOCK_VALUES = 2 };

struct hcurl_transfer {
  hcurl_pool* pool;           /* NULL once the pool is freed */
  hcurl_transfer *next, **at; /* in the pool's list; at == NULL: not there */
  lua_Integer slot;           /* in the pool's table of blocks */
  hcurl_transfer* next_changed;
  CURL* easy; /* NULL: closed */
  struct curl_slist *headers, *connect_to;
  hcurl_buffer head; /* of the final response; then `trailers` */
  hcurl_buffer trailers;
  hcurl_buffer body;   /* received, and not yet taken by Lua */
  hcurl_buffer upload; /* given by Lua, and not yet taken by libcurl */
  size_t uploaded;     /* bytes of `upload` that libcurl has taken */
  size_t high_water;   /* of `body`: then the transfer is paused */
  size_t max_head;
  struct http_strict strict;
  hcurl_connection* connection; /* NULL: not yet, or no longer */
  hcurl_connection* opened;     /* opened for it, and not yet had by a transfer */
  unsigned stream;              /* HTTP/2: its number, if libcurl has told; or 0 */
  curl_off_t max_body, received;
  curl_off_t encoded;  /* of a body that libcurl decodes: bytes as they were sent */
  uint32_t last;       /* the last four of them, the last byte first */
  curl_off_t progress; /* bytes moved, by libcurl's count */
  curl_off_t to_send;  /* -1: not known */
  int status;          /* 0: no response so far */
  int no_socket;       /* the errno of a socket that could not be made */
  long passed;         /* the errno of an address that was tried before */
  CURLcode code;
  enum hcurl_failure failure;
  bool added, done;
  bool in_changed;  /* in the pool's list of changed transfers */
  bool connecting;  /* has opened a socket */
  bool handshaking; /* has begun with TLS, if the TLS library says so */
  bool tells_tls;   /* the TLS library says so */
  bool connected;   /* has a connection to send on */
  bool begun;       /* has sent its request, or a part of it, once */
  bool kept;        /* on a connection that had a transfer before */
  bool refused;     /* libcurl says that the server refused the stream */
  bool decodes;     /* libcurl may decode the body */
  bool shows_raw;   /* libcurl shows the body as it was sent */
  bool secure;      /* the URL says https */
  bool may_look_up; /* a name, in a thread that cannot be stopped */
  bool looks_up;    /* has begun to: its end changes the transfer */
  bool head_done;   /* the final response's head is complete */
  bool receive_paused, send_paused;
  bool wants_upload; /* libcurl has asked for more to send */
  bool upload_ended;
  bool watched; /* each movement of bytes changes the transfer */
  char error[CURL_ERROR_SIZE];
};

/* -- Buffers (curl_buffer.c) ------------------------------------------------------------------- */

/* False, with nothing changed, when there is no memory. */
bool hcurl_append(hcurl_pool* p, hcurl_buffer* b, const void* data, size_t size);

/* Frees the buffer's memory. */
void hcurl_release(hcurl_pool* p, hcurl_buffer* b);

/* -- Descriptors (curl_sockets.c) -------------------------------------------------------------- */

/* The callback for libcurl; its data is the pool. */
int hcurl_on_socket(CURL* easy, curl_socket_t fd, int what, void* data, void* unused);

/* Makes one descriptor for all of the pool's, where the system can; otherwise epoll_fd is -1. */
void hcurl_open_sockets(hcurl_pool* p);

/* Frees the records of descriptors. */
void hcurl_close_sockets(hcurl_pool* p);

/* Tells libcurl the events on them. */
CURLMcode hcurl_poll(hcurl_pool* p);

/* Watches a connection that libcurl does not watch while it is idle; else stops watching it. */
void hcurl_watch_idle(hcurl_pool* p, hcurl_connection* c);

/* -- Connections (curl_connections.c) ---------------------------------------------------------- */

/* The law: a kept connection is used again only if no byte has come on it since. It is watched while
 * it is idle, and checked right before a request. Bytes, or its end, spoil it, and nothing more is
 * sent on it. libcurl 7.88 takes such bytes for the next response. */

/* The open connection with this descriptor, or NULL. */
hcurl_connection* hcurl_connection_of(const hcurl_pool* p, curl_socket_t fd);

/* Opens a socket for libcurl; CURL_SOCKET_BAD with errno. */
curl_socket_t hcurl_open_connection(hcurl_transfer* t, const struct curl_sockaddr* a);

/* The callback for libcurl; its data is the pool. */
int hcurl_on_close(void* pool, curl_socket_t fd);

/* The transfer is about to send on the connection with this local port. False: the connection must
 * not be used. */
bool hcurl_take_connection(hcurl_transfer* t, int port);

/* The transfer has no connection any more. */
void hcurl_leave_connection(hcurl_transfer* t);

/* The same, at its end. Connections that were opened for it, and that no transfer has had, are
 * forgotten: libcurl 7.88 silently closes attempts that it gives up, and their descriptors may belong
 * to other code. */
void hcurl_end_connections(hcurl_transfer* t);

/* The connection is not used again: libcurl closes it at its next check. */
void hcurl_spoil(hcurl_connection* c);

/* Before libcurl reads from it: whether a line of a head begins with a zero byte. libcurl 7.88 loses
 * that byte and all bytes of the same read after it. */
bool hcurl_begins_with_zero(hcurl_connection* c);

/* Notes whether libcurl watches it. */
void hcurl_wanted(hcurl_connection* c, bool wanted);

/* After each call of libcurl: watches connections that have become idle. */
void hcurl_settle(hcurl_pool* p);

/* Lets libcurl close the spoiled connections; libcurl does so once a second at most. */
CURLMcode hcurl_sweep(hcurl_pool* p);

/* Ends all connections, and leaves their descriptors open: the loop may watch these. */
void hcurl_shut_connections(hcurl_pool* p);

/* Frees the records of connections, once libcurl has closed all. */
void hcurl_free_connections(hcurl_pool* p);

/* Before and after libcurl opens descriptors of its own: children must not inherit them. */
void hcurl_expect_descriptors(hcurl_guard* g);
void hcurl_guard_descriptors(hcurl_guard* g);

/* -- Pools (curl.c) ---------------------------------------------------------------------------- */

/* The pool at this index; raises for another value, or a closed pool. */
hcurl_pool* hcurl_check_pool(lua_State* L, int index);

/* Tells libcurl the events on a descriptor, or that time has passed. A descriptor with an error is not
 * checked first: the system reports an error only once, and libcurl must get it. */
CURLMcode hcurl_act(hcurl_pool* p, curl_socket_t fd, int events, bool failed);

/* Notes that Lua should look at this transfer. */
void hcurl_changed(hcurl_transfer* t);

/* -- Transfers (curl_transfer.c) --------------------------------------------------------------- */

/* pool:transfer(owner, options): a transfer that has not begun. */
int hcurl_new_transfer(lua_State* L);

/* The transfer of the handle at this index; raises for anything else. NULL if it could not be made. */
hcurl_transfer* hcurl_check_handle(lua_State* L, int index);

/* Removes it from its pool at once; a connection in use is closed, or its stream is reset. */
void hcurl_stop(hcurl_transfer* t);

/* Stops it and frees everything but its place among the blocks. Calling it again does nothing. */
void hcurl_free(hcurl_transfer* t);

/* The class. */
void hcurl_open_transfer(lua_State* L);

/* -- What libcurl calls (curl_callbacks.c) ------------------------------------------------------- */

CURLcode hcurl_set_callbacks(hcurl_transfer* t);

/* The response is invalid. libcurl does not know, and may wait for more; so the transfer ends here. */
void hcurl_refuse(hcurl_transfer* t, enum hcurl_failure failure);

/* libcurl has finished it: checks whether the response is complete, and what a failure means. */
void hcurl_conclude(hcurl_transfer* t);

/* -- Options (curl_options.c) ------------------------------------------------------------------ */

/* Sets up the transfer, whose block is on top, by the table at index 3. Raises if libcurl refuses an
 * option. */
void hcurl_set_up(lua_State* L, hcurl_transfer* t);

/* -- For specs (judge.c) ----------------------------------------------------------------------- */

int hcurl_judge(lua_State* L);

/* -- URLs and codes (curl_text.c) -------------------------------------------------------------- */

/* Adds url(), errno_name() and version() to the table on top. */
void hcurl_open_text(lua_State* L);

#pragma GCC visibility pop
