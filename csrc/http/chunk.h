/* SPDX-License-Identifier: MIT */
#ifndef CTX_HTTP_CHUNK_H
#define CTX_HTTP_CHUNK_H

/* The line before a chunk's bytes (RFC 9112, 7.1 and 7.1.1):
 *
 *     1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF
 *
 * The extensions mean nothing here and must be ignored, but only if they are well-formed: what a proxy
 * before us takes for the end of the line must be what we take for it. */
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

#endif
