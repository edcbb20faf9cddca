/* SPDX-License-Identifier: MIT */
#pragma once

/* The responses of one connection, checked byte by byte as they come (RFC 9112). It uses neither
 * libcurl nor Lua, and allocates nothing: the struct has room for everything that it remembers.
 *
 * The law: no library decides what a response says and where it ends. Each line ends with CR LF and has
 * no other control characters. A name is a token, followed at once by its colon. A body has one length,
 * or is chunked and nothing else. A response has ended only when its last byte has come. A response that
 * two readers may understand differently is refused.
 *
 * Bytes are fed as they come from the connection. If a library reads the connection, the caller feeds the
 * bytes that the library shows: complete lines of the head, and then the body as it was sent. The result
 * does not depend on how the bytes are cut into pieces. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_strict_event {
  STRICT_HEAD = 1,  /* the final head is complete: status, body, length and keep are known */
  STRICT_BODY = 2,  /* bytes of the body, at `at` */
  STRICT_END = 4,   /* the response is complete; later bytes are not part of it */
  STRICT_FAILED = 8 /* no more is taken: see `fault` and `reason` */
};

enum http_strict_fault {
  STRICT_FINE,
  STRICT_WRONG,     /* the response is invalid */
  STRICT_TOO_LARGE, /* more than the limits allow */
  STRICT_CUT        /* the connection ended before the response did */
};

enum http_strict_body {
  STRICT_NO_BODY,
  STRICT_LENGTH,  /* `length` bytes */
  STRICT_CHUNKED, /* followed by trailers */
  STRICT_CLOSE,   /* up to the end of the connection */
  STRICT_FRAMED   /* by HTTP/2 itself: the bytes after the head are lines of trailers */
};

struct http_strict {
  /* Of the request, by http_strict_begin. */
  uint32_t max_head;   /* bytes of all heads, interim ones too; of the trailers the same again */
  uint32_t max_fields; /* lines of a head, and of the trailers */
  bool no_body;        /* HEAD */
  bool framed;         /* also accepts status lines of HTTP/2, as libcurl writes them */
  /* Of the response. */
  int status; /* of the last status line, or 0 */
  int major, minor;
  enum http_strict_body body;
  int64_t length; /* of Content-Length, or -1 */
  bool keep;      /* the connection may carry another request afterwards */
  bool began;     /* the first byte of the status line has come */
  bool over;      /* the last byte of the response has come */
  unsigned events;
  const char* at; /* of STRICT_BODY: in the bytes that were fed */
  size_t size;
  enum http_strict_fault fault;
  const char* reason;
  /* Inside. */
  unsigned char state, kind, candidates;
  bool ended_head; /* the final head is complete */
  bool digits;     /* a digit of a number has come */
  bool spaced;     /* a number or a token has ended; more characters would be another one */
  bool chunked, closes, persists;
  uint32_t position; /* in a literal, a name or a token */
  uint32_t seen, fields, overhead;
  int64_t number, left;
};

/* A new response. `max_head` is at most 2^31. */
void http_strict_begin(struct http_strict* s, uint32_t max_head, uint32_t max_fields, bool no_body,
                       bool framed);

/* Takes some of the bytes, and returns their number; sets `events`. Stops after a final head, after each
 * piece of body, at the end and at a failure; after those two it takes nothing. */
size_t http_strict_read(struct http_strict* s, const char* bytes, size_t size);

/* The connection has ended: whether the response had. → STRICT_FINE, STRICT_CUT, or the fault. */
enum http_strict_fault http_strict_finish(struct http_strict* s);
