/* SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <string.h>

static int is_blank(unsigned char c) {
  return c == ' ' || c == '\t';
}

static int is_digit(unsigned char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* RFC 9110, 5.6.2. */
static int is_token(unsigned char c) {
  int alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  return alnum || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What a quoted string holds, RFC 9110, 5.6.4: no control characters. */
static int is_text(unsigned char c) {
  return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* Behind something that may be the last of the line. */
static int after(unsigned char c, int blank) {
  if (c == '\r') return HTTP_CHUNK_CR;
  if (c == ';') return HTTP_CHUNK_EXTENSION;
  return is_blank(c) ? blank : -1;
}

int http_chunk_next(int state, unsigned char c) {
  switch (state) {
  case HTTP_CHUNK_BEGIN: return is_digit(c) ? HTTP_CHUNK_SIZE : -1;
  case HTTP_CHUNK_SIZE: return is_digit(c) ? HTTP_CHUNK_SIZE : after(c, HTTP_CHUNK_AFTER_VALUE);
  case HTTP_CHUNK_CR: return c == '\n' ? HTTP_CHUNK_OFF : -1;
  case HTTP_CHUNK_EXTENSION:
    return is_blank(c) ? HTTP_CHUNK_EXTENSION : is_token(c) ? HTTP_CHUNK_NAME : -1;
  case HTTP_CHUNK_NAME:
    if (is_token(c)) return HTTP_CHUNK_NAME;
    return c == '=' ? HTTP_CHUNK_EQUALS : after(c, HTTP_CHUNK_AFTER_NAME);
  case HTTP_CHUNK_AFTER_NAME:
    if (c == '=') return HTTP_CHUNK_EQUALS;
    return c == '\r' ? -1 : after(c, HTTP_CHUNK_AFTER_NAME);
  case HTTP_CHUNK_EQUALS:
    if (is_blank(c)) return HTTP_CHUNK_EQUALS;
    return c == '"' ? HTTP_CHUNK_QUOTED : is_token(c) ? HTTP_CHUNK_VALUE : -1;
  case HTTP_CHUNK_VALUE: return is_token(c) ? HTTP_CHUNK_VALUE : after(c, HTTP_CHUNK_AFTER_VALUE);
  case HTTP_CHUNK_QUOTED:
    if (c == '"') return HTTP_CHUNK_QUOTED_OVER;
    return c == '\\' ? HTTP_CHUNK_ESCAPED : is_text(c) ? HTTP_CHUNK_QUOTED : -1;
  case HTTP_CHUNK_ESCAPED: return is_text(c) ? HTTP_CHUNK_QUOTED : -1;
  case HTTP_CHUNK_QUOTED_OVER: return after(c, HTTP_CHUNK_AFTER_VALUE);
  case HTTP_CHUNK_AFTER_VALUE: return c == '\r' ? -1 : after(c, HTTP_CHUNK_AFTER_VALUE);
  default: return -1;
  }
}
