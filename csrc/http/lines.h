/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* The lines of a message, byte by byte. llhttp is lenient with some of them, and how lenient depends on
 * its version; what a proxy before us takes for the end of a line must be what we take for it. */

/* The lines of a head: each ends with CRLF, none is folded (RFC 9112, 2.2 and 5.2), and the first one
 * has no two blanks in a row and ends with a version of HTTP. Those of a trailer are lines like the
 * head's. */
enum http_line {
  HTTP_LINE_BEFORE, /* empty lines may come before the first one */
  HTTP_LINE_BEFORE_LF,
  HTTP_LINE_FIRST,
  HTTP_LINE_FIRST_LF,
  HTTP_LINE,
  HTTP_LINE_LF,
  HTTP_LINE_MORE, /* at the begin of another line, or of the empty one */
  HTTP_LINE_LAST_LF,
  HTTP_LINE_OVER
};

/* Where the byte leads, or -1: nowhere. `tail` has the last eight bytes before it. */
int http_line_next(int state, uint64_t tail, unsigned char c);

/* The line before a chunk's bytes (RFC 9112, 7.1 and 7.1.1):
 *
 *     1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF
 *
 * The extensions mean nothing here and must be ignored, but only if they are well-formed. */
enum http_chunk {
  HTTP_CHUNK_OFF, /* no such line: also behind its LF */
  HTTP_CHUNK_BEGIN,
  HTTP_CHUNK_SIZE,
  HTTP_CHUNK_CR,        /* before the LF */
  HTTP_CHUNK_EXTENSION, /* from here on: in an extension */
  HTTP_CHUNK_NAME,
  HTTP_CHUNK_AFTER_NAME,
  HTTP_CHUNK_EQUALS,
  HTTP_CHUNK_VALUE,
  HTTP_CHUNK_QUOTED,
  HTTP_CHUNK_ESCAPED,
  HTTP_CHUNK_QUOTED_OVER,
  HTTP_CHUNK_AFTER_VALUE
};

/* Where the byte leads, or -1: the line must not go on so. */
int http_chunk_next(int state, unsigned char c);
