/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>

static const uint64_t HTTP_SLASH = 0x485454502f; /* "HTTP/" */

int http_line_next(int state, uint64_t tail, unsigned char c) {
  int cr = c == '\r', lf = c == '\n';
  switch (state) {
  case HTTP_LINE_BEFORE: return cr ? HTTP_LINE_BEFORE_LF : lf ? -1 : HTTP_LINE_FIRST;
  case HTTP_LINE_BEFORE_LF: return lf ? HTTP_LINE_BEFORE : -1;
  case HTTP_LINE_FIRST: /* "HTTP/" and three bytes before the end */
    if (c == ' ' && (tail & 0xff) == ' ') return -1;
    return lf ? -1 : !cr ? HTTP_LINE_FIRST : (tail >> 24) == HTTP_SLASH ? HTTP_LINE_FIRST_LF : -1;
  case HTTP_LINE: return cr ? HTTP_LINE_LF : lf ? -1 : HTTP_LINE;
  case HTTP_LINE_FIRST_LF:
  case HTTP_LINE_LF: return lf ? HTTP_LINE_MORE : -1;
  case HTTP_LINE_MORE: return cr ? HTTP_LINE_LAST_LF : lf || c == ' ' || c == '\t' ? -1 : HTTP_LINE;
  case HTTP_LINE_LAST_LF: return lf ? HTTP_LINE_OVER : -1;
  default: return HTTP_LINE_OVER;
  }
}

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

/* RFC 9110, 5.6.4: a quoted string has no control characters. */
static int is_text(unsigned char c) {
  return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* After something that may end the line. */
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
