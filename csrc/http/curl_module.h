/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of ctx.http.curl share: transfers in pools, over libcurl's multi interface.
 *
 * Callbacks. None of libcurl's callbacks enters Lua or raises: they copy bytes into buffers and write
 * down what libcurl wants. The binding asks for that after each call: pool:timeout(), pool:socket(),
 * pool:event(). What fails in a callback ends the transfer, and has its name in `failure`.
 *
 * Descriptors. On Linux they are gathered in an epoll descriptor of the pool's, and the loop watches
 * that one. It is tempting to let the loop watch each, as elsewhere: but luv prints "EBADF" on stderr
 * for every connection that is refused, since libuv takes POLLERR for a bad descriptor.
 *
 * Memory. Pools and transfers are userdata; each is whole, and closed, before it acquires anything,
 * and its finalizer only frees. Lua may lose a finalizer, near the limits of its stacks or when out of
 * memory, and then frees the object all the same. So what libcurl and the pool's list point to is not
 * the object that Lua code holds, but a second userdata behind it, the block, which the pool's table
 * of blocks keeps until the transfer is closed or the pool is. A lost finalizer leaks a block until the
 * pool is closed.
 *
 * Until a transfer begins its block holds nothing of the program's but the body, or it would keep its
 * own owner alive.
 *
 * Buffers are from Lua's allocator, but are no garbage of Lua's. */

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

/* A descriptor that libcurl wants watched, or no more. */
typedef struct {
  curl_socket_t fd;
  int want;     /* CURL_POLL_IN, _OUT, _INOUT; CURL_POLL_REMOVE: not any more */
  bool dirty;   /* Lua has not been told yet */
  bool renewed; /* libcurl let go of it since: what was watched may be another file by now */
} hcurl_socket;

/* A connection that libcurl has opened. It is found by its descriptor, and by its port. */
struct hcurl_connection {
  hcurl_pool* pool;
  hcurl_connection *next, **at; /* in a list of the pool's, while it is open */
  hcurl_connection* next_restless;
  hcurl_transfer* opener; /* for which it was opened; NULL once a transfer has had it */
  hcurl_connection* next_opened;
  curl_socket_t fd;       /* -1: closed */
  int port;               /* on our side; 0: not known so far, or none */
  unsigned users;         /* transfers that have it */
  bool used;              /* has had one */
  bool wanted;            /* libcurl watches it */
  bool registered;        /* in the epoll descriptor */
  bool idle;              /* nobody has it: whatever comes spoils it */
  bool spoiled;           /* it is not used again; see hcurl_spoil */
  bool restless;          /* in the pool's list of those to settle */
  bool multiplexed;       /* HTTP/2: of several transfers, and bytes may come at any time */
  bool plain;             /* it is known that its bytes are those of HTTP/1 */
  char last;              /* of the bytes that were looked at */
  hcurl_transfer* reader; /* of the response that comes now, on a plain one */
  bool going_away; /* HTTP/2: GOAWAY has come; streams beyond `last_stream` were not processed */
  unsigned last_stream;
};

enum { HCURL_PORTS = 256, HCURL_GUARDED = 128, HCURL_MAX_FIELDS = 1000 };

/* Where libcurl is about to open descriptors for itself: around the lowest free one, as threads that
 * look names up open and close others meanwhile. */
typedef struct {
  int from;                      /* -1: none are expected */
  bool inherited[HCURL_GUARDED]; /* before: those that children shall have */
} hcurl_guard;

/* User value 1: the blocks of its transfers, by slot. A free slot holds the number of the next free
 * one: unlike in a table by address, no key is ever new, so none rebuilds the table. */
struct hcurl_pool {
  bool closed, apart;
  bool loses_zeros; /* this libcurl may: see hcurl_begins_with_zero */
  long max_idle, max_per_host, max_total;
  CURLSH* share; /* the names that are known */
  CURLM* multi;  /* NULL: there is nothing to do */
  int epoll_fd;  /* -1: the loop watches each descriptor */
  hcurl_transfer* transfers;
  lua_Integer slots, free_slot; /* of the table of blocks; 0: none is free */
  hcurl_transfer *changed, **changed_end;
  hcurl_connection** by_fd; /* by descriptor; NULL: not a connection */
  size_t descriptors;
  hcurl_connection *nameless, *by_port[HCURL_PORTS]; /* the open ones */
  hcurl_connection* restless;
  size_t idle, spoiled; /* how many of the open ones */
  hcurl_guard guard;    /* of a lookup's descriptors */
  hcurl_socket* sockets;
  size_t count, capacity;
  size_t dirty;     /* sockets that are */
  long timeout_ms;  /* -1: none */
  bool timeout_new; /* Lua has not been told yet */
  bool lost;        /* no memory for what libcurl wants: nothing in the pool can go on */
  lua_Alloc alloc;
  void* alloc_data;
};

enum hcurl_failure {
  HCURL_FINE,
  HCURL_NO_MEMORY,
  HCURL_HEAD_TOO_LARGE,
  HCURL_BODY_TOO_LARGE,
  HCURL_LOST,      /* a kept connection died with the request */
  HCURL_DROPPED,   /* the same, and libcurl's code tells how */
  HCURL_STALE,     /* a kept connection was spoiled before the request was sent */
  HCURL_REFUSED,   /* the server says that it has not processed the request */
  HCURL_AGAIN,     /* libcurl would send the request once more after a response, a 417 */
  HCURL_NO_LOOKUP, /* it may not look a name up */
  HCURL_WRONG,     /* no response looks like this: strict.reason */
  HCURL_CUT,       /* the connection ended before the response did */
};

/* The object that Lua code holds. */
typedef struct {
  hcurl_transfer* block; /* NULL: there was no memory for it */
} hcurl_handle;
enum { HCURL_HANDLE_POOL = 1, HCURL_HANDLE_OWNER, HCURL_HANDLE_BLOCK, HCURL_HANDLE_VALUES = 3 };

/* User values of a block: whom its events are for, once it has begun; the body that is sent. */
enum { HCURL_BLOCK_OWNER = 1, HCURL_BLOCK_BODY, HCURL_BLOCK_VALUES = 2 };

struct hcurl_transfer {
  hcurl_pool* pool;           /* NULL once the pool has gone */
  hcurl_transfer *next, **at; /* in the pool's list; at == NULL: not there */
  lua_Integer slot;           /* in the pool's table of blocks */
  hcurl_transfer* next_changed;
  CURL* easy; /* NULL: closed */
  struct curl_slist *headers, *connect_to;
  hcurl_buffer head; /* of the final response; then `trailers` */
  hcurl_buffer trailers;
  hcurl_buffer body;   /* that has come and Lua has not taken */
  hcurl_buffer upload; /* that Lua has given and libcurl has not taken */
  size_t uploaded;     /* bytes of `upload` that are gone */
  size_t high_water;   /* of `body`: then the transfer is paused */
  size_t max_head;
  struct http_strict strict;
  hcurl_connection* connection; /* NULL: none so far, or no more */
  hcurl_connection* opened;     /* those that were opened for it, and that no transfer has had */
  unsigned stream;              /* HTTP/2: its number, if libcurl has told; or 0 */
  curl_off_t max_body, received;
  curl_off_t encoded;  /* of a body that libcurl decodes: bytes as they were sent */
  uint32_t last;       /* the last four of them, the last byte first */
  curl_off_t progress; /* bytes moved, by libcurl's count */
  curl_off_t to_send;  /* -1: not known */
  int status;          /* 0: nothing has come */
  int no_socket;       /* the system's errno: why there was no socket for it */
  long passed;         /* the errno of an address that was tried before the one that it has */
  CURLcode code;
  enum hcurl_failure failure;
  bool added, done;
  bool in_changed;  /* in the pool's list of those with news */
  bool connecting;  /* has opened a socket */
  bool handshaking; /* has begun with TLS, where the TLS library tells */
  bool tells_tls;   /* it does */
  bool connected;   /* has a connection to send on */
  bool begun;       /* has sent its request, or a part of it, once */
  bool kept;        /* on a connection that had another before */
  bool refused;     /* libcurl says that the server refused the stream */
  bool decodes;     /* libcurl may decode the body */
  bool shows_raw;   /* libcurl shows the body as it was sent */
  bool secure;      /* the URL says https */
  bool may_look_up; /* a name, in a thread that nobody can stop */
  bool looks_up;    /* has begun with that: that it is over is news */
  bool head_done;   /* the final response's head is there */
  bool receive_paused, send_paused;
  bool wants_upload; /* libcurl has asked for more to send */
  bool upload_ended;
  bool watched; /* each movement of bytes is news */
  char error[CURL_ERROR_SIZE];
};

/* -- Buffers (curl_buffer.c) ------------------------------------------------------------------- */

/* False, and nothing is changed, when there is no memory. */
bool hcurl_append(hcurl_pool* p, hcurl_buffer* b, const void* data, size_t size);

/* Gives the buffer's memory back. */
void hcurl_release(hcurl_pool* p, hcurl_buffer* b);

/* -- Descriptors (curl_sockets.c) -------------------------------------------------------------- */

/* The callback for libcurl; its data is the pool. */
int hcurl_on_socket(CURL* easy, curl_socket_t fd, int what, void* data, void* unused);

/* Gathers the pool's descriptors in one, where the system can; otherwise epoll_fd is -1. */
void hcurl_open_sockets(hcurl_pool* p);

/* Frees what is kept about descriptors. */
void hcurl_close_sockets(hcurl_pool* p);

/* Tells libcurl what has happened on them. */
CURLMcode hcurl_poll(hcurl_pool* p);

/* Watches a connection that libcurl does not watch, if it is idle, and otherwise no more. */
void hcurl_watch_idle(hcurl_pool* p, hcurl_connection* c);

/* -- Connections (curl_connections.c) ---------------------------------------------------------- */

/* The law: a kept connection is used again only if nothing has come on it since. While it is idle it
 * is watched, and right before a request it is looked at; what came, bytes or an end, spoils it, and
 * nothing is sent on it. libcurl 7.88 takes such bytes for the next answer. */

/* The open connection with this descriptor, or NULL. */
hcurl_connection* hcurl_connection_of(const hcurl_pool* p, curl_socket_t fd);

/* Opens a socket for libcurl; CURL_SOCKET_BAD with errno. */
curl_socket_t hcurl_open_connection(hcurl_transfer* t, const struct curl_sockaddr* a);

/* The callback for libcurl; its data is the pool. */
int hcurl_on_close(void* pool, curl_socket_t fd);

/* The transfer is about to send on the connection with this port on our side. False: that one must
 * not be used. */
bool hcurl_take_connection(hcurl_transfer* t, int port);

/* The transfer has no connection any more. */
void hcurl_leave_connection(hcurl_transfer* t);

/* The same, at its end. What was opened for it, and what no transfer has had, is gone: libcurl 7.88
 * closes attempts that it gives up silently, and their descriptors may be anybody's. */
void hcurl_end_connections(hcurl_transfer* t);

/* It is not used again: libcurl closes it when it looks. */
void hcurl_spoil(hcurl_connection* c);

/* Before libcurl reads from it: whether a line of a head begins with a zero byte. libcurl 7.88 loses that
 * and all that came with it. */
bool hcurl_begins_with_zero(hcurl_connection* c);

/* libcurl watches it, or no more. */
void hcurl_wanted(hcurl_connection* c, bool wanted);

/* After each call of libcurl's: watches what has become idle. */
void hcurl_settle(hcurl_pool* p);

/* Lets libcurl close the connections that are spoiled; it does so once a second at most. */
CURLMcode hcurl_sweep(hcurl_pool* p);

/* Ends all of them, and leaves their descriptors open: the loop may watch these. */
void hcurl_shut_connections(hcurl_pool* p);

/* Frees what is kept about them, once libcurl has closed all. */
void hcurl_free_connections(hcurl_pool* p);

/* Before and after libcurl opens descriptors of its own: children must not inherit them. */
void hcurl_expect_descriptors(hcurl_guard* g);
void hcurl_guard_descriptors(hcurl_guard* g);

/* -- Pools (curl.c) ---------------------------------------------------------------------------- */

/* The pool at this index; raises if it is none, or closed. */
hcurl_pool* hcurl_check_pool(lua_State* L, int index);

/* Tells libcurl what has happened on a descriptor, or that time has passed. One that has failed is not
 * looked at first: the system tells an error only once, and libcurl has to hear it. */
CURLMcode hcurl_act(hcurl_pool* p, curl_socket_t fd, int events, bool failed);

/* Notes that Lua should look at this transfer. */
void hcurl_changed(hcurl_transfer* t);

/* -- Transfers (curl_transfer.c) --------------------------------------------------------------- */

/* pool:transfer(owner, options): a transfer that has not begun. */
int hcurl_new_transfer(lua_State* L);

/* The transfer of the handle at this index; raises for anything else. NULL if it could not be made. */
hcurl_transfer* hcurl_check_handle(lua_State* L, int index);

/* Takes it from its pool at once; a connection in use is closed, or its stream is reset. */
void hcurl_stop(hcurl_transfer* t);

/* Stops it and frees all it has but its place among the blocks. Calling it again does nothing. */
void hcurl_free(hcurl_transfer* t);

/* The class. */
void hcurl_open_transfer(lua_State* L);

/* -- What libcurl calls (curl_callbacks.c) ------------------------------------------------------- */

CURLcode hcurl_set_callbacks(hcurl_transfer* t);

/* What came is no response. libcurl need not know, and may wait for more: so the transfer is done. */
void hcurl_refuse(hcurl_transfer* t, enum hcurl_failure failure);

/* libcurl is through with it: looks whether the response is whole, and what the failure means. */
void hcurl_conclude(hcurl_transfer* t);

/* -- Options (curl_options.c) ------------------------------------------------------------------ */

/* Sets up the transfer, whose block is on top, by the table at index 3. Raises for what libcurl refuses. */
void hcurl_set_up(lua_State* L, hcurl_transfer* t);

/* -- For specs (judge.c) ----------------------------------------------------------------------- */

int hcurl_judge(lua_State* L);

/* -- URLs and codes (curl_text.c) -------------------------------------------------------------- */

/* Adds url(), errno_name() and version() to the table on top. */
void hcurl_open_text(lua_State* L);

#pragma GCC visibility pop
