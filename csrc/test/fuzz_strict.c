/* SPDX-License-Identifier: MIT */
/* Laws for any bytes of a server. The result does not depend on how they are cut into pieces. A response
 * that was cut is never complete, except where the connection's end is its end. An accepted head has no
 * control characters and no lone CR or LF. A body has the length of its head. */
#include "strict.h"

#include "fuzz.h"

enum { MAX_HEAD = 200, MAX_FIELDS = 8 };

struct outcome {
  int status;
  enum http_strict_fault fault;
  bool keep, over;
  size_t head, used;  /* bytes up to the end of the head, and of all */
  uint64_t size, sum; /* of the body */
  enum http_strict_body body;
  int64_t length;
};

static void add_body(struct outcome* o, const struct http_strict* s) {
  o->size += s->size;
  for (size_t i = 0; i < s->size; i++) o->sum = o->sum * 31 + (unsigned char)s->at[i];
}

static struct outcome read_all(const char* data, size_t size, uint32_t cuts, unsigned kind) {
  struct http_strict s;
  struct outcome o = {0};
  http_strict_begin(&s, MAX_HEAD, MAX_FIELDS, kind & 1, kind & 2);
  for (size_t at = 0; at < size && !s.over && s.fault == STRICT_FINE;) {
    size_t piece = fuzz_piece(&cuts, size - at), used = 0;
    while (used < piece && !s.over && s.fault == STRICT_FINE) {
      size_t taken = http_strict_read(&s, data + at + used, piece - used);
      CHECK(taken <= piece - used && (taken > 0 || s.fault != STRICT_FINE));
      if (s.events & STRICT_BODY) {
        CHECK(s.at >= data && s.at + s.size <= data + size);
        add_body(&o, &s);
      }
      used += taken;
      if (s.events & STRICT_HEAD) o.head = at + used;
    }
    at += used;
    o.used = at;
  }
  o.over = s.over;
  o.fault = http_strict_finish(&s);
  o.status = s.status;
  o.keep = s.keep;
  o.body = s.body;
  o.length = s.length;
  return o;
}

static void check_same(const struct outcome* a, const struct outcome* b) {
  CHECK(a->fault == b->fault && a->over == b->over && a->keep == b->keep);
  CHECK(a->size == b->size && a->sum == b->sum && a->head == b->head && a->used == b->used);
  CHECK(a->status == b->status);
}

static void check_head(const char* data, size_t size) {
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)data[i];
    CHECK(c != 0x7f && (c >= ' ' || c == '\t' || c == '\r' || c == '\n'));
    if (c == '\n') CHECK(i > 0 && data[i - 1] == '\r');
    if (c == '\r') CHECK(i + 1 < size && data[i + 1] == '\n');
  }
}

static void check_accepted(const struct outcome* o, const char* data) {
  CHECK(o->head > 0 && o->status >= 200 && o->status <= 999);
  check_head(data, o->head);
  if (o->body == STRICT_LENGTH) {
    CHECK(o->length >= 0 && o->size == (uint64_t)o->length);
    CHECK(o->used == o->head + o->size);
  }
  if (o->body == STRICT_NO_BODY) CHECK(o->size == 0);
  if (o->body == STRICT_CLOSE) CHECK(!o->keep);
}

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const char* data = (const char*)bytes;
  uint32_t cuts[FUZZ_CUTS];
  fuzz_cuts(cuts, bytes, size);
  for (unsigned kind = 0; kind < 4; kind++) {
    struct outcome whole = read_all(data, size, 0, kind);
    for (size_t i = 0; i < FUZZ_CUTS; i++) {
      struct outcome pieces = read_all(data, size, cuts[i], kind);
      check_same(&whole, &pieces);
    }
    if (whole.fault == STRICT_FINE) check_accepted(&whole, data);
    if (whole.used == 0) continue;
    struct outcome cut = read_all(data, whole.used - 1, 0, kind);
    CHECK(!cut.over);
    if (cut.fault == STRICT_FINE)
      CHECK(cut.body == STRICT_CLOSE || cut.body == STRICT_FRAMED || (kind & 2));
  }
  return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static const char* const SEEDS[] = {
    OK "Content-Length: 2\r\n\r\nok",
    OK "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
    OK "Content-Length: 2\r\nContent-Length: 4\r\n\r\nokok",
    OK "X: a\r\n b\r\nConnection: x, close\r\nContent-Length:0\r\n\r\n",
    OK "\r\nup to the end",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n" OK
    "Content-Length: 2\r\n\r\nok",
    "HTTP/1.1 204 x\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n",
    "HTTP/2 200 \r\nx: y\r\n\r\nt: u\r\n",
    CHUNKED "2\r\nok\r\n0\r\n\r\n",
    CHUNKED "A;b=c\r\n0123456789\r\n1 ; d=\"e\"\r\nf\r\n000\r\nT: u\r\n v\r\n\r\nmore",
    CHUNKED "ffffffffffffffff\r\nok",
    CHUNKED "2\nok\n0\n\n",
    OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    OK "X: a\rB: c\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 99999999999999999999\r\n\r\n",
};

FUZZ_MAIN("strict", SEEDS, 50000)
