/* SPDX-License-Identifier: MIT */
#pragma once

/* The responses of one connection, checked byte by byte as they come (RFC 9112). It knows neither
 * libcurl nor Lua, and allocates nothing: what it has to remember of a head fits into the struct.
 *
 * The law: what a response says and where it ends does not depend on the judgement of a library. Each
 * line ends with CR LF and holds no other control characters; a name is a token, with its colon right
 * behind it; a body has one length, or is chunked and nothing else; and a response has ended only when
 * its last byte has come. What two readers may take differently is refused.
 *
 * Bytes are fed as they come from the connection. A caller whose library takes the connection's bytes
 * itself feeds what that shows: the lines of the head, whole, and then the body as it was sent. The
 * outcome is the same however the bytes are cut into pieces. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_strict_event {
  STRICT_HEAD = 1, /* the final response's head is whole: status, body, length and keep are known */
  STRICT_BODY = 2, /* bytes of the body, at `at` */
  STRICT_END = 4,  /* the response is over; what comes next is not part of it */
  STRICT_FAILED = 8 /* for good: `fault` and `reason` tell */
};

enum http_strict_fault {
  STRICT_FINE,
  STRICT_WRONG,     /* no response looks like this */
  STRICT_TOO_LARGE, /* more than the limits allow */
  STRICT_CUT        /* the connection ended before the response did */
};

enum http_strict_body {
  STRICT_NO_BODY,
  STRICT_LENGTH,  /* `length` bytes */
  STRICT_CHUNKED, /* followed by trailers */
  STRICT_CLOSE,   /* up to the end of the connection */
  STRICT_FRAMED   /* by HTTP/2, elsewhere: the bytes behind the head are trailers, by lines */
};

struct http_strict {
  /* Of the request, by http_strict_begin. */
  uint32_t max_head;   /* bytes of all heads, interim ones too; of the trailers the same again */
  uint32_t max_fields; /* lines of a head, and of the trailers */
  bool no_body;        /* HEAD */
  bool framed;         /* status lines of HTTP/2, as libcurl writes them, are welcome too */
  /* Of the response. */
  int status; /* of the last status line, or 0 */
  int major, minor;
  enum http_strict_body body;
  int64_t length; /* what Content-Length says, or -1 */
  bool keep;      /* the connection may carry another request afterwards */
  bool began;     /* the first byte of the status line has come */
  bool over;      /* so has the last byte of all */
  unsigned events;
  const char* at; /* of STRICT_BODY: in the bytes that were fed */
  size_t size;
  enum http_strict_fault fault;
  const char* reason;
  /* Inside. */
  unsigned char state, kind, candidates;
  bool ended_head; /* the final head is whole */
  bool digits;     /* of a number: one has come */
  bool spaced;     /* a number or a token is over, and more of it would be another */
  bool chunked, closes, persists;
  uint32_t position; /* in a literal, a name or a token */
  uint32_t seen, fields, overhead;
  int64_t number, left;
};

/* A new response. `max_head` is at most 2^31. */
void http_strict_begin(struct http_strict* s, uint32_t max_head, uint32_t max_fields, bool no_body,
                       bool framed);

/* Takes some of the bytes, and returns how many; sets `events`. Stops behind a final head, behind each
 * piece of body, at the end and at a failure; after those two it takes nothing. */
size_t http_strict_read(struct http_strict* s, const char* bytes, size_t size);

/* The connection has ended: whether the response had. → STRICT_FINE, STRICT_CUT, or the fault. */
enum http_strict_fault http_strict_finish(struct http_strict* s);
