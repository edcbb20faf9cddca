/* SPDX-License-Identifier: MIT */
#pragma once

/* The requests of one connection, read from bytes as they come. llhttp parses. This keeps the head
 * together, checks its limits, and refuses everything that RFC 9112 lets a server refuse against request
 * smuggling. It uses neither Lua nor sockets.
 *
 * http_message_read stops at the end of each message, and at a head, a failure or an upgrade; `events`
 * says which. The caller uses the results between two calls: the head is valid until http_message_next,
 * `body` until the next read. */

#include <llhttp.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum message_events {
  MESSAGE_HEAD = 1,  /* the head is complete */
  MESSAGE_BODY = 2,  /* bytes of the body, at body.at */
  MESSAGE_END = 4,   /* the message is complete, with its trailers */
  MESSAGE_FAILED = 8 /* no more is read: see status and reason */
};

struct http_limits {
  uint32_t target; /* bytes of the request's target */
  uint32_t head;   /* bytes of names and values, those of a trailer the same again */
  uint32_t fields; /* the number of fields */
  uint64_t body;   /* bytes, chunked or not */
};

/* The places of a name and its value in the head's bytes. Names are in lower case. */
struct http_field {
  uint32_t name, name_size, value, value_size;
};

typedef void* (*http_alloc_fn)(void* data, void* block, size_t old_size, size_t new_size);

struct http_message {
  llhttp_t parser;
  struct http_limits limits;
  http_alloc_fn alloc; /* as Lua's */
  void* alloc_data;
  char* bytes; /* of the head: the target, then the fields */
  uint32_t size, capacity;
  uint32_t target_size;
  struct http_field* fields;
  uint32_t field_count, field_capacity;
  uint32_t head_fields; /* the number of those before the trailers; set with MESSAGE_HEAD */
  uint64_t extension;   /* bytes of chunk extensions */
  uint64_t body_size;   /* so far */
  struct {
    const char* at;
    size_t size;
    char* joined; /* owned: several pieces of one read, put together */
    size_t capacity;
  } body;
  unsigned events;
  uint64_t tail;        /* the last eight bytes of the head */
  unsigned char lines;  /* the state of the head's lines; see lines.h */
  unsigned char chunk;  /* the state of the line of a chunk's size; see lines.h */
  unsigned char digits; /* of the chunk's size */
  unsigned char in_field, in_trailer, began, last_chunk;
  unsigned char keep_alive, upgrade, chunked; /* of the head; set with MESSAGE_HEAD */
  int64_t length;                             /* its Content-Length, or -1 */
  int status; /* of the answer to a failed request: 400, 413, 414, 431, 501, 505 */
  const char* reason;
};

/* Nothing is allocated yet. */
void http_message_init(struct http_message* m, const struct http_limits* limits,
                       http_alloc_fn alloc, void* alloc_data);

/* Frees its memory; may be called again. */
void http_message_close(struct http_message* m);

/* Reads some of the bytes and returns their number; sets `events`. After MESSAGE_END it reads nothing until
 * http_message_next, and after MESSAGE_FAILED nothing any more. At a failure after a head or some body it
 * leaves the last byte, and the next read reports the failure alone: so the result is the same as if the
 * bytes came one by one. */
size_t http_message_read(struct http_message* m, const char* data, size_t size);

/* Begins the next message; frees the head. */
void http_message_next(struct http_message* m);

/* Whether some bytes of an incomplete message have been read. */
int http_message_began(const struct http_message* m);

#pragma GCC visibility pop
