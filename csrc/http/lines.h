/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* The lines of a message, byte by byte. llhttp accepts some invalid lines, which depends on its version.
 * But a proxy before the server and the server must agree on the end of each line. */

/* The lines of a head: each ends with CRLF, and none is folded (RFC 9112, 2.2 and 5.2). The first line
 * has no two blanks in a row, and ends with a version of HTTP. The lines of a trailer are like those of
 * the head. */
enum http_line {
  HTTP_LINE_BEFORE, /* empty lines may come before the first one */
  HTTP_LINE_BEFORE_LF,
  HTTP_LINE_FIRST,
  HTTP_LINE_FIRST_LF,
  HTTP_LINE,
  HTTP_LINE_LF,
  HTTP_LINE_MORE, /* at the beginning of another line, or of the empty one */
  HTTP_LINE_LAST_LF,
  HTTP_LINE_OVER
};

/* The state after the byte, or -1: the byte is invalid. `tail` has the last eight bytes before it. */
int http_line_next(int state, uint64_t tail, unsigned char c);

/* The line before a chunk's bytes (RFC 9112, 7.1 and 7.1.1):
 *
 *     1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF
 *
 * The extensions have no meaning here. They are ignored, but only if they are well-formed. */
enum http_chunk {
  HTTP_CHUNK_OFF, /* not in such a line, also after its LF */
  HTTP_CHUNK_BEGIN,
  HTTP_CHUNK_SIZE,
  HTTP_CHUNK_CR,        /* before the LF */
  HTTP_CHUNK_EXTENSION, /* this and the following states: in an extension */
  HTTP_CHUNK_NAME,
  HTTP_CHUNK_AFTER_NAME,
  HTTP_CHUNK_EQUALS,
  HTTP_CHUNK_VALUE,
  HTTP_CHUNK_QUOTED,
  HTTP_CHUNK_ESCAPED,
  HTTP_CHUNK_QUOTED_OVER,
  HTTP_CHUNK_AFTER_VALUE
};

/* The state after the byte, or -1: the byte is invalid there. */
int http_chunk_next(int state, unsigned char c);
