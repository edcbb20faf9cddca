/* SPDX-License-Identifier: MIT */
#include "strict.h"

#include <string.h>

/* The state: where in the response the next byte is. */
enum {
  BEGIN, /* of a status line */
  PROTOCOL,
  MAJOR,
  DOT,
  MINOR,
  BEFORE_CODE,
  CODE,
  AFTER_CODE,
  REASON,
  STATUS_LF,
  LINE, /* the beginning of a field's line */
  NAME,
  VALUE,
  VALUE_LF,
  LAST_LF, /* after the CR of an empty line */
  BODY,    /* `left` bytes, or up to the end of the connection */
  CHUNK,   /* the beginning of a chunk's size */
  SIZE,
  SIZE_BLANK,
  EXTENSION,
  SIZE_LF,
  DATA,
  DATA_CR,
  DATA_LF,
  END,
  FAILED
};

/* Fields that frame a message. Of other fields only the bytes are checked. */
enum { OTHER, LENGTH, CODING, CONNECTION, KINDS };

static const struct {
  const char* text;
  uint32_t size;
} NAMES[KINDS] = {{"", 0}, {"content-length", 14}, {"transfer-encoding", 17}, {"connection", 10}};

enum { MAX_SIZE_DIGITS = 16, MAX_EXTENSION = 16 * 1024 };

#define LARGEST (INT64_MAX / 32)

static int fail(struct http_strict* s, enum http_strict_fault fault, const char* reason) {
  s->fault = fault;
  s->reason = reason;
  s->state = FAILED;
  s->keep = false;
  s->events |= STRICT_FAILED;
  return FAILED;
}

static int wrong(struct http_strict* s, const char* reason) {
  return fail(s, STRICT_WRONG, reason);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool is_digit(unsigned char c) {
  return c >= '0' && c <= '9';
}

static bool is_blank(unsigned char c) {
  return c == ' ' || c == '\t';
}

/* RFC 9110, 5.5: the characters of a value and a reason, which stay on one line. */
static bool is_text(unsigned char c) {
  return (c >= ' ' && c != 0x7f) || c == '\t';
}

static unsigned char lower(unsigned char c) {
  return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* RFC 9110, 5.6.2. */
static bool is_token(unsigned char c) {
  static const char marks[] = "!#$%&'*+-.^_`|~";
  unsigned char small = lower(c);
  return (small >= 'a' && small <= 'z') || is_digit(c) || (c != 0 && strchr(marks, c) != NULL);
}

static int hex(unsigned char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- the status line ------------------------------------------------------------------------- */

static void begin_response(struct http_strict* s) {
  s->state = BEGIN;
  s->position = 0;
  s->status = 0;
  s->fields = 0;
  s->length = -1;
  s->began = s->chunked = s->persists = false; /* `closes` stays */
}

static int in_protocol(struct http_strict* s, unsigned char c) {
  static const char protocol[] = "HTTP/";
  if (c != (unsigned char)protocol[s->position]) return wrong(s, "not a response of HTTP");
  s->began = true;
  return ++s->position < sizeof protocol - 1 ? PROTOCOL : MAJOR;
}

static int in_version(struct http_strict* s, unsigned char c) {
  if (s->state == MAJOR) {
    s->major = c - '0';
    s->minor = 0;
    if (c == '1') return DOT;
    if (s->framed && (c == '2' || c == '3')) return BEFORE_CODE;
  } else if (s->state == MINOR) {
    s->minor = c - '0';
    if (c == '0' || c == '1') return BEFORE_CODE;
  } else if (c == (s->state == DOT ? '.' : ' ')) {
    s->position = 0;
    s->number = 0;
    return s->state == DOT ? MINOR : CODE;
  }
  return wrong(s, "only HTTP/1.0 and HTTP/1.1 are spoken here");
}

/* RFC 9110, 15: three digits, the first of which names the class. */
static int in_code(struct http_strict* s, unsigned char c) {
  if (!is_digit(c) || (s->position == 0 && c == '0')) return wrong(s, "not a status code");
  s->number = s->number * 10 + (c - '0');
  if (++s->position < 3) return CODE;
  s->status = (int)s->number;
  return AFTER_CODE;
}

static int in_reason(struct http_strict* s, unsigned char c) {
  if (c == '\r') return STATUS_LF;
  if (s->state == AFTER_CODE && c != ' ') return wrong(s, "not a status code");
  return is_text(c) ? REASON : wrong(s, "a control character in the status line");
}

/* ---- fields ---------------------------------------------------------------------------------- */

static int in_name(struct http_strict* s, unsigned char c) {
  if (c == ':') {
    s->kind = OTHER;
    for (int i = LENGTH; i < KINDS; i++) {
      if ((s->candidates >> i & 1) && s->position == NAMES[i].size) s->kind = (unsigned char)i;
    }
    s->position = 0;
    s->number = 0;
    s->digits = s->spaced = false;
    return VALUE;
  }
  if (!is_token(c)) return wrong(s, "not the name of a header field");
  for (int i = LENGTH; s->candidates != 0 && i < KINDS; i++) {
    if (s->position >= NAMES[i].size || (unsigned char)NAMES[i].text[s->position] != lower(c))
      s->candidates &= (unsigned char)~(1u << i);
  }
  s->position++;
  return NAME;
}

static int begin_name(struct http_strict* s, unsigned char c) {
  if (!is_token(c)) return wrong(s, "not the name of a header field");
  if (s->fields++ == s->max_fields) return fail(s, STRICT_TOO_LARGE, "too many header fields");
  s->position = 0;
  s->candidates = 1u << LENGTH | 1u << CODING | 1u << CONNECTION;
  return in_name(s, c);
}

/* RFC 9112, 6.3: several lengths count as one if they are the same; else they contradict. */
static int take_length(struct http_strict* s) {
  if (!s->digits) return wrong(s, "not a Content-Length");
  if (s->length >= 0 && s->length != s->number) return wrong(s, "Content-Lengths that differ");
  s->length = s->number;
  s->number = 0;
  s->digits = s->spaced = false;
  return VALUE;
}

static int in_length(struct http_strict* s, unsigned char c) {
  if (c == ',') return take_length(s);
  if (is_blank(c)) {
    s->spaced = s->digits;
    return VALUE;
  }
  if (!is_digit(c) || s->spaced) return wrong(s, "not a Content-Length");
  if (s->number > LARGEST / 10) return wrong(s, "a Content-Length beyond all bounds");
  s->number = s->number * 10 + (c - '0');
  s->digits = true;
  return VALUE;
}

/* The client asks for no other coding, so it accepts none: two readers might disagree on the end of the
 * body. */
static int in_coding(struct http_strict* s, unsigned char c) {
  static const char chunked[] = "chunked";
  if (is_blank(c)) {
    s->spaced = s->position > 0;
  } else if (s->spaced || lower(c) != (unsigned char)chunked[s->position]) {
    return wrong(s, "a transfer coding that is not chunked");
  } else {
    s->position++;
  }
  return VALUE;
}

/* `candidates` has a bit for each word that the token may still become. */
static int in_connection(struct http_strict* s, unsigned char c) {
  static const char close[] = "close", persist[] = "keep-alive";
  uint32_t at = s->position;
  if (c == ',' || c == '\r' || is_blank(c)) {
    if ((s->candidates & 1) && s->position == sizeof close - 1) s->closes = true;
    if ((s->candidates & 2) && s->position == sizeof persist - 1) s->persists = true;
    s->position = 0;
    s->candidates = 3;
    return VALUE;
  }
  if (at == 0) s->candidates = 3;
  if (at >= sizeof close - 1 || lower(c) != (unsigned char)close[at]) s->candidates &= 2;
  if (at >= sizeof persist - 1 || lower(c) != (unsigned char)persist[at]) s->candidates &= 1;
  s->position++;
  return VALUE;
}

/* RFC 9110, 6.5.1: a trailer does not frame the message. RFC 9113, 8.2.2 and RFC 9112, 6.1: HTTP/2 and
 * HTTP/1.0 have no transfer codings. */
static int end_value(struct http_strict* s) {
  if (s->kind == LENGTH) {
    if (take_length(s) == FAILED) return FAILED;
  } else if (s->kind == CODING) {
    if (s->position < 7 || s->chunked) return wrong(s, "a transfer coding that is not chunked");
    if (s->major != 1 || s->minor == 0)
      return wrong(s, "Transfer-Encoding in a version that has none");
    s->chunked = true;
  } else if (s->kind == CONNECTION) {
    in_connection(s, '\r');
  }
  if (s->ended_head && (s->kind == LENGTH || s->kind == CODING))
    return wrong(s, "a trailer that frames the body");
  return VALUE_LF;
}

static int in_value(struct http_strict* s, unsigned char c) {
  if (c == '\r') return end_value(s);
  if (!is_text(c)) return wrong(s, "a control character in a header field");
  switch (s->kind) {
  case LENGTH: return in_length(s, c);
  case CODING: return in_coding(s, c);
  case CONNECTION: return in_connection(s, c);
  default: return VALUE;
  }
}

/* RFC 9112, 5.2: a value that continues on the next line is one value. But readers differ on such a value
 * in a field that frames the message. */
static int fold(struct http_strict* s) {
  if (s->fields == 0) return wrong(s, "a header field without a name");
  if (s->kind == LENGTH || s->kind == CODING) return wrong(s, "a framing field in two lines");
  if (s->kind == CONNECTION) s->closes = true;
  s->kind = OTHER;
  return VALUE;
}

/* ---- the end of a head ----------------------------------------------------------------------- */

static bool may_persist(const struct http_strict* s) {
  if (s->major != 1) return true;
  if (s->closes || s->body == STRICT_CLOSE) return false;
  return s->minor == 1 || s->persists;
}

/* RFC 9112, 6.3. */
static enum http_strict_body body_of(const struct http_strict* s) {
  if (s->no_body || s->status == 204 || s->status == 304) return STRICT_NO_BODY;
  if (s->major != 1) return STRICT_FRAMED;
  if (s->chunked) return STRICT_CHUNKED;
  return s->length >= 0 ? STRICT_LENGTH : STRICT_CLOSE;
}

static int end_response(struct http_strict* s) {
  s->events |= STRICT_END;
  s->over = true;
  return END;
}

/* The state after a complete head. In HTTP/2, trailers may always follow. */
static int end_head(struct http_strict* s) {
  if (s->ended_head) return end_response(s);
  if (s->chunked && s->length >= 0) return wrong(s, "Transfer-Encoding with Content-Length");
  if (s->status < 200 && (s->chunked || s->length >= 0))
    return wrong(s, "an interim response with a body");
  if (s->status == 101) return wrong(s, "another protocol, which nobody asked for");
  if (s->status < 200) {
    begin_response(s);
    return BEGIN;
  }
  s->ended_head = true;
  s->body = body_of(s);
  s->keep = may_persist(s);
  s->events |= STRICT_HEAD;
  s->seen = s->fields = 0;
  s->left = s->body == STRICT_LENGTH ? s->length : INT64_MAX;
  if (s->major != 1) return LINE;
  if (s->body == STRICT_CHUNKED) return CHUNK;
  return s->body == STRICT_NO_BODY || s->left == 0 ? end_response(s) : BODY;
}

static int in_head(struct http_strict* s, unsigned char c) {
  switch (s->state) {
  case BEGIN:
  case PROTOCOL: return in_protocol(s, c);
  case MAJOR:
  case DOT:
  case MINOR:
  case BEFORE_CODE: return in_version(s, c);
  case CODE: return in_code(s, c);
  case AFTER_CODE:
  case REASON: return in_reason(s, c);
  case STATUS_LF:
  case VALUE_LF: return c == '\n' ? LINE : wrong(s, "a CR without an LF");
  case LINE: return c == '\r' ? LAST_LF : is_blank(c) ? fold(s) : begin_name(s, c);
  case NAME: return in_name(s, c);
  case VALUE: return in_value(s, c);
  default: return c == '\n' ? end_head(s) : wrong(s, "a CR without an LF");
  }
}

/* ---- chunks (RFC 9112, 7.1) ------------------------------------------------------------------ */

/* The bytes around the data are limited by the data: a few for each chunk are usual, and more would
 * cost the reader more than the sender. */
static bool is_too_much(struct http_strict* s) {
  int64_t usual = 16 + s->number / 8;
  s->overhead = s->overhead > usual ? s->overhead - (uint32_t)usual : 0;
  return s->overhead > s->max_head;
}

static int end_size(struct http_strict* s) {
  if (is_too_much(s)) return fail(s, STRICT_TOO_LARGE, "the chunk extensions are too large");
  s->left = s->number;
  return s->left > 0 ? DATA : LINE;
}

static int in_size(struct http_strict* s, unsigned char c) {
  int digit = hex(c);
  if (s->state == CHUNK) {
    s->number = 0;
    s->position = 0;
  }
  if (digit >= 0 && s->state != SIZE_BLANK) {
    if (s->number > LARGEST / 16 || s->position++ == MAX_SIZE_DIGITS)
      return wrong(s, "a chunk beyond all bounds");
    s->number = s->number * 16 + digit;
    return SIZE;
  }
  if (s->state == CHUNK) return wrong(s, "not the size of a chunk");
  s->overhead++;
  if (c == '\r') return SIZE_LF;
  if (c == ';') return EXTENSION;
  return is_blank(c) ? SIZE_BLANK : wrong(s, "not the size of a chunk");
}

static int in_extension(struct http_strict* s, unsigned char c) {
  if (c == '\r') return SIZE_LF;
  if (!is_text(c)) return wrong(s, "a control character in a chunk extension");
  if (s->overhead++ > s->max_head + MAX_EXTENSION)
    return fail(s, STRICT_TOO_LARGE, "the chunk extensions are too large");
  return EXTENSION;
}

static int in_chunk(struct http_strict* s, unsigned char c) {
  switch (s->state) {
  case CHUNK:
  case SIZE:
  case SIZE_BLANK: return in_size(s, c);
  case EXTENSION: return in_extension(s, c);
  case SIZE_LF: return c == '\n' ? end_size(s) : wrong(s, "a CR without an LF");
  case DATA_CR: return c == '\r' ? DATA_LF : wrong(s, "a chunk that is longer than its size");
  default: return c == '\n' ? CHUNK : wrong(s, "a CR without an LF");
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

void http_strict_begin(struct http_strict* s, uint32_t max_head, uint32_t max_fields, bool no_body,
                       bool framed) {
  memset(s, 0, sizeof *s);
  s->max_head = max_head;
  s->max_fields = max_fields;
  s->no_body = no_body;
  s->framed = framed;
  begin_response(s);
}

static size_t read_body(struct http_strict* s, const char* bytes, size_t size) {
  size_t taken = (uint64_t)s->left < size ? (size_t)s->left : size;
  if (s->body != STRICT_CLOSE) s->left -= (int64_t)taken;
  s->at = bytes;
  s->size = taken;
  s->events |= STRICT_BODY;
  if (s->left == 0) s->state = (unsigned char)(s->state == DATA ? DATA_CR : end_response(s));
  return taken;
}

/* Most bytes of a head are in values that are not read. */
static size_t plain_bytes(const struct http_strict* s, const char* bytes, size_t size) {
  size_t n = 0;
  if (s->state == VALUE && s->kind == OTHER) {
    while (n < size && is_text((unsigned char)bytes[n])) n++;
  }
  return n;
}

static size_t read_lines(struct http_strict* s, const char* bytes, size_t size) {
  size_t room = s->max_head - s->seen, n = plain_bytes(s, bytes, size);
  if (n > room) n = room;
  if (n == 0 && room == 0) {
    fail(s, STRICT_TOO_LARGE, "the head is too large");
    return 0;
  }
  if (n == 0) s->state = (unsigned char)in_head(s, (unsigned char)bytes[n++]);
  if (s->state != CHUNK && s->state != BODY && !(s->events & STRICT_HEAD)) s->seen += (uint32_t)n;
  return n;
}

size_t http_strict_read(struct http_strict* s, const char* bytes, size_t size) {
  size_t used = 0;
  s->events = 0;
  s->size = 0;
  while (used < size && s->events == 0 && s->state != END && s->state != FAILED) {
    if (s->state == BODY || s->state == DATA) {
      used += read_body(s, bytes + used, size - used);
    } else if (s->state <= LAST_LF) {
      used += read_lines(s, bytes + used, size - used);
    } else {
      s->state = (unsigned char)in_chunk(s, (unsigned char)bytes[used++]);
    }
  }
  return used;
}

enum http_strict_fault http_strict_finish(struct http_strict* s) {
  bool whole = s->state == END || (s->state == BODY && s->body == STRICT_CLOSE) ||
               (s->ended_head && s->major != 1);
  if (s->state != FAILED && !whole) fail(s, STRICT_CUT, "the connection ended too early");
  return s->fault;
}
