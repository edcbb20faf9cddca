/* SPDX-License-Identifier: MIT */
/* Laws for any bytes of a client, however they are cut into reads. The heads, bodies, ends and the failure
 * are the same. Nothing exceeds the limits. All memory is freed, also when an allocation fails. If a field
 * or chunk is both too long and invalid, either failure may be reported, with or without some bytes of the
 * chunk. */
#include <stdarg.h>

#include "fuzz.h"
#include "message.h"

/* ---- memory that is counted, and may fail ---------------------------------------------------- */

struct memory {
  size_t used;
  long left; /* allocations until one fails; negative: none does */
};

static void* allocate(void* data, void* block, size_t old_size, size_t new_size) {
  struct memory* memory = (struct memory*)data;
  if (new_size > old_size && memory->left >= 0 && memory->left-- == 0) return NULL;
  memory->used += new_size - old_size;
  if (new_size > 0) return realloc(block, new_size);
  free(block);
  return NULL;
}

/* ---- what came out --------------------------------------------------------------------------- */

struct trace {
  char* text;
  size_t size, capacity;
  size_t good; /* of these, how many came before the failure; 0: all */
  unsigned heads, ends;
};

static void add(struct trace* t, const char* at, size_t size) {
  if (t->size + size > t->capacity) {
    t->capacity = (t->size + size) * 2;
    t->text = realloc(t->text, t->capacity);
    CHECK(t->text != NULL);
  }
  if (size > 0) memcpy(t->text + t->size, at, size);
  t->size += size;
}

__attribute__((format(printf, 2, 3))) static void say(struct trace* t, const char* format, ...) {
  char line[160];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  add(t, line, (size_t)size);
}

static void add_fields(struct trace* t, const struct http_message* m, uint32_t from, uint32_t to) {
  uint64_t bytes = 0;
  for (uint32_t i = from; i < to; i++) {
    const struct http_field* field = &m->fields[i];
    CHECK(field->name_size > 0);
    CHECK((uint64_t)field->value + field->value_size <= m->size);
    for (uint32_t k = 0; k < field->name_size; k++) {
      char c = m->bytes[field->name + k];
      CHECK(c > ' ' && c != ':' && c < 0x7f && (c < 'A' || c > 'Z'));
    }
    for (uint32_t k = 0; k < field->value_size; k++) {
      unsigned char c = (unsigned char)m->bytes[field->value + k];
      CHECK((c >= ' ' || c == '\t') && c != 0x7f);
    }
    bytes += field->name_size + field->value_size;
    say(t, "\nfield ");
    add(t, m->bytes + field->name, field->name_size);
    say(t, "=");
    add(t, m->bytes + field->value, field->value_size);
  }
  CHECK(bytes <= (from == 0 ? 1u : 2u) * (uint64_t)m->limits.head);
  CHECK(to <= m->limits.fields);
}

static void add_head(struct trace* t, const struct http_message* m) {
  CHECK(m->target_size > 0 && m->target_size <= m->limits.target);
  CHECK(!(m->chunked && m->length >= 0));
  CHECK(m->length < 0 || (uint64_t)m->length <= m->limits.body);
  say(t, "\nhead 1.%d keep %d upgrade %d chunked %d length %lld ", m->parser.http_minor,
      m->keep_alive, m->upgrade, m->chunked, (long long)m->length);
  add(t, m->bytes, m->target_size);
  add_fields(t, m, 0, m->head_fields);
  say(t, "\nbody ");
  t->heads++;
}

/* Returns 0 after a failure. */
static int add_events(struct trace* t, struct http_message* m) {
  if (m->events & MESSAGE_HEAD) add_head(t, m);
  if (m->events & MESSAGE_BODY) add(t, m->body.at, m->body.size);
  if (m->events & MESSAGE_END) {
    CHECK(m->length < 0 || m->body_size == (uint64_t)m->length);
    add_fields(t, m, m->head_fields, m->field_count);
    say(t, "\nend\n");
    t->ends++;
    http_message_next(m);
  }
  CHECK(m->body_size <= m->limits.body);
  if (!(m->events & MESSAGE_FAILED)) return 1;
  CHECK(m->events == MESSAGE_FAILED && m->status >= 400 && m->status <= 505);
  t->good = t->size + 1;
  say(t, "\nfailed %d %s", m->status, m->reason);
  return 0;
}

/* ---- reading in pieces ----------------------------------------------------------------------- */

/* One read of luv's: in memory of its own, so that a step beyond it is seen. */
static int read_piece(struct http_message* m, struct trace* t, const uint8_t* data, size_t size) {
  char* piece = malloc(size);
  CHECK(piece != NULL);
  memcpy(piece, data, size);
  size_t at = 0;
  int going = 1;
  while (going && at < size) {
    size_t used = http_message_read(m, piece + at, size - at);
    CHECK(used > 0 || m->status != 0 || at > 0); /* it goes on, or is about to fail */
    CHECK(used <= size - at);
    at += used;
    going = add_events(t, m);
  }
  free(piece);
  return going;
}

static const struct http_limits LIMITS = {.target = 64, .head = 96, .fields = 6, .body = 64};

static void read_all(struct trace* t, const uint8_t* data, size_t size, uint32_t cuts, long left) {
  struct memory memory = {0, left};
  struct http_message m;
  http_message_init(&m, &LIMITS, allocate, &memory);
  size_t at = 0;
  int going = 1;
  while (going && at < size) {
    size_t piece = fuzz_piece(&cuts, size - at);
    going = read_piece(&m, t, data + at, piece);
    at += piece;
  }
  http_message_close(&m);
  CHECK(memory.used == 0);
}

static int same(const struct trace* a, const struct trace* b) {
  size_t size = a->size;
  if (a->heads != b->heads || a->ends != b->ends || !a->good != !b->good) return 0;
  if (a->good) {
    size = (a->good < b->good ? a->good : b->good) - 1;
  } else if (a->size != b->size) {
    return 0;
  }
  return size == 0 || memcmp(a->text, b->text, size) == 0;
}

static void compare(const struct trace* whole, const struct trace* pieces, uint32_t cuts) {
  if (same(whole, pieces)) return;
  (void)fprintf(stderr, "whole:\n%.*s\nin pieces (%u):\n%.*s\n", (int)whole->size,
                whole->text ? whole->text : "", cuts, (int)pieces->size,
                pieces->text ? pieces->text : "");
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct trace whole = {0};
  uint32_t cuts[FUZZ_CUTS];
  fuzz_cuts(cuts, data, size);
  read_all(&whole, data, size, 0, -1);
  for (size_t i = 0; i < FUZZ_CUTS; i++) {
    struct trace pieces = {0};
    read_all(&pieces, data, size, cuts[i], -1);
    compare(&whole, &pieces, cuts[i]);
    free(pieces.text);
  }
  struct trace hungry = {0};
  read_all(&hungry, data, size, cuts[1], (long)((cuts[1] >> 3) % 8));
  free(hungry.text);
  free(whole.text);
  return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

#define HOST    "Host: h\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

static const char* const SEEDS[] = {
    "GET / HTTP/1.1\r\n" HOST "\r\n",
    "GET /a?b=%41 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "\r\nPOST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" HOST "\r\n",
    CHUNKED "3\r\nabc\r\n0\r\n\r\n" CHUNKED "0\r\nX: y\r\n\r\n",
    CHUNKED "a;b=c;d=\"e\"\r\n0123456789\r\n0\r\nX: y\r\nHost: z\r\n\r\n",
    CHUNKED "3 ; a = \"\\\"\";b\r\nabc\r\n1;c\r\nd\r\n0;e=f\r\n\r\n",
    CHUNKED "ffffffffffffffff\r\nabc",
    CHUNKED "3\nabc\n0\n\n",
    "GET http://o:80/p HTTP/1.1\r\n" HOST "\r\n",
    "CONNECT o:80 HTTP/1.1\r\n" HOST "\r\nmore",
    "CONNECT o:80 HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nmore",
    "OPTIONS * HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: x\r\n\r\n\x01\x02\x03",
    "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\nY : c\r\n: d\r\n\r\n",
    "GET / HTTP/1.1\n" HOST "\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET / RTSP/1.0\r\n\r\n",
};

FUZZ_MAIN("message", SEEDS, 20000)
