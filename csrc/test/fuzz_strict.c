/* SPDX-License-Identifier: MIT */
/* What must hold for any bytes that a server may send: however they are cut into pieces, the outcome is
 * the same; what was cut off is never whole, but where the connection's end is the end; an accepted head
 * has no control characters and no lone CR or LF; a body has the length that the head says.
 *
 * With clang's libFuzzer (CTX_FUZZ) it is a fuzz target; else a program that tries its seeds and some
 * mutations of them: [seed]. --seeds DIR writes the seeds to files, for libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strict.h"

#define CHECK(condition) check(condition, #condition, __LINE__)

static void check(int ok, const char* what, int line) {
  if (ok) return;
  (void)fprintf(stderr, "fuzz_strict.c:%d: %s\n", line, what);
  abort();
}

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

/* Reads all in pieces: of one byte if cuts is 1, by chance if it is more, else in one. */
static struct outcome read_all(const char* data, size_t size, uint32_t cuts, unsigned kind) {
  struct http_strict s;
  struct outcome o = {0};
  http_strict_begin(&s, MAX_HEAD, MAX_FIELDS, kind & 1, kind & 2);
  for (size_t at = 0; at < size && !s.over && s.fault == STRICT_FINE;) {
    size_t piece = cuts == 1 ? 1 : size - at, used = 0;
    if (cuts > 1) {
      cuts = cuts * 1664525 + 1013904223;
      size_t wanted = 1 + (cuts >> 16) % 16;
      if (wanted < piece) piece = wanted;
    }
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

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const char* data = (const char*)bytes;
  uint32_t sum = 2;
  for (size_t i = 0; i < size; i++) sum = sum * 31 + bytes[i];
  for (unsigned kind = 0; kind < 4; kind++) {
    struct outcome whole = read_all(data, size, 0, kind);
    const uint32_t cuts[] = {1, sum | 2, (sum * 7) | 2};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
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

enum { SEED_COUNT = sizeof SEEDS / sizeof *SEEDS };

#ifndef CTX_FUZZ

static void write_seeds(const char* folder) {
  for (size_t i = 0; i < SEED_COUNT; i++) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/strict-%zu", folder, i);
    FILE* file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(SEEDS[i], 1, strlen(SEEDS[i]), file) == strlen(SEEDS[i]));
    CHECK(fclose(file) == 0);
  }
}

static uint32_t state;

static size_t random_below(size_t n) {
  state = state * 1664525 + 1013904223;
  return (state >> 8) % n;
}

/* A seed with some bytes changed, taken away or put in. */
static size_t mutate(uint8_t* out, size_t capacity) {
  static const char KEY[] = "\r\n :,;=0123456789abcfFxX\t\v\0\x7f\xff\"%-";
  const char* seed = SEEDS[random_below(SEED_COUNT)];
  size_t size = strlen(seed);
  memcpy(out, seed, size);
  for (size_t i = random_below(5); i > 0 && size > 1 && size < capacity; i--) {
    size_t at = random_below(size);
    uint8_t byte = (uint8_t)KEY[random_below(sizeof KEY - 1)];
    switch (random_below(3)) {
    case 0: out[at] = byte; break;
    case 1: memmove(out + at, out + at + 1, --size - at); break;
    default: memmove(out + at + 1, out + at, size++ - at); out[at] = byte;
    }
  }
  return size;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
    write_seeds(argv[2]);
    return 0;
  }
  state = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
  (void)printf("seed %u\n", state);
  (void)fflush(stdout);
  for (size_t i = 0; i < SEED_COUNT; i++)
    (void)LLVMFuzzerTestOneInput((const uint8_t*)SEEDS[i], strlen(SEEDS[i]));
  for (int i = 0; i < 50000; i++) {
    uint8_t bytes[1024];
    size_t size = mutate(bytes, sizeof bytes);
    (void)LLVMFuzzerTestOneInput(bytes, size);
  }
  return 0;
}

#endif
