/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <string.h>

#include "lines.h"

/* The error of a callback, which llhttp passes on; only failed() returns it. */
enum { STOP = HPE_USER };

static int failed(struct http_message* m, int status, const char* reason) {
  m->status = status;
  m->reason = reason;
  return STOP;
}

/* ---- the bytes of the head ------------------------------------------------------------------- */

static void* resize(struct http_message* m, void* block, size_t old_size, size_t new_size) {
  return m->alloc(m->alloc_data, block, old_size, new_size);
}

static int append(struct http_message* m, const char* at, size_t size, uint32_t limit, int status,
                  const char* reason) {
  if (size > limit || m->size > limit - size) return failed(m, status, reason);
  if (m->size + size > m->capacity) {
    uint32_t capacity = m->capacity ? m->capacity : 256;
    while (capacity < m->size + size) capacity *= 2;
    char* bytes = resize(m, m->bytes, m->capacity, capacity);
    if (!bytes) return failed(m, 503, "no memory for the head");
    m->bytes = bytes;
    m->capacity = capacity;
  }
  memcpy(m->bytes + m->size, at, size);
  m->size += (uint32_t)size;
  return 0;
}

/* Trailers have limits of their own, the same as the head's. */
static uint32_t head_limit(const struct http_message* m) {
  return m->target_size + m->limits.head * (m->in_trailer ? 2 : 1);
}

static int append_field(struct http_message* m, const char* at, size_t size) {
  return append(m, at, size, head_limit(m), 431, "the header fields are too large");
}

static struct http_field* new_field(struct http_message* m) {
  if (m->field_count == m->limits.fields) {
    failed(m, 431, "too many header fields");
    return NULL;
  }
  if (m->field_count == m->field_capacity) {
    uint32_t capacity = m->field_capacity ? m->field_capacity * 2 : 8;
    struct http_field* fields =
        resize(m, m->fields, m->field_capacity * sizeof(*fields), capacity * sizeof(*fields));
    if (!fields) {
      failed(m, 503, "no memory for the head");
      return NULL;
    }
    m->fields = fields;
    m->field_capacity = capacity;
  }
  struct http_field* field = &m->fields[m->field_count++];
  *field = (struct http_field){m->size, 0, m->size, 0};
  return field;
}

static void free_head(struct http_message* m) {
  if (m->bytes) resize(m, m->bytes, m->capacity, 0);
  if (m->fields) resize(m, m->fields, m->field_capacity * sizeof(*m->fields), 0);
  m->bytes = NULL;
  m->fields = NULL;
  m->size = m->capacity = m->target_size = 0;
  m->field_count = m->field_capacity = m->head_fields = 0;
}

/* ---- the lines of a head --------------------------------------------------------------------- */

/* The number of bytes that are in valid lines; after the head, all. */
static size_t good_lines(struct http_message* m, const char* data, size_t size) {
  for (size_t i = 0; i < size && m->lines != HTTP_LINE_OVER; i++) {
    unsigned char c = (unsigned char)data[i];
    int within = m->lines == HTTP_LINE || m->lines == HTTP_LINE_FIRST;
    if (!within || c <= ' ') { /* most bytes are within a line and do not change the state */
      int next = http_line_next(m->lines, m->tail, c);
      if (next < 0) return i;
      m->lines = (unsigned char)next;
    }
    m->tail = m->tail << 8 | c;
  }
  return size;
}

/* ---- what a head must be --------------------------------------------------------------------- */

static int is_name(const struct http_message* m, const struct http_field* field, const char* name) {
  return field->name_size == strlen(name) &&
         memcmp(m->bytes + field->name, name, field->name_size) == 0;
}

static int is_chunked(const struct http_message* m, const struct http_field* field) {
  static const char chunked[] = "chunked";
  if (field->value_size != sizeof chunked - 1) return 0;
  for (uint32_t i = 0; i < field->value_size; i++) {
    if ((m->bytes[field->value + i] | 0x20) != chunked[i]) return 0;
  }
  return 1;
}

/* RFC 9110, 5.1: a field has a name. 5.5: a value has no control characters; a proxy that lets one pass
 * may cut the value there. */
static int is_field(const struct http_message* m, const struct http_field* field) {
  if (field->name_size == 0) return 0;
  for (uint32_t i = 0; i < field->value_size; i++) {
    unsigned char c = (unsigned char)m->bytes[field->value + i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return 0;
  }
  return 1;
}

/* RFC 9110, 6.5.1: only the head frames a message. llhttp refuses a length in trailers only since 9.0. */
static int is_trailer(const struct http_message* m, const struct http_field* field) {
  return is_field(m, field) && !is_name(m, field, "content-length") &&
         !is_name(m, field, "transfer-encoding");
}

/* RFC 9112, 3.2: the characters of a host and a port. The program checks the rest. */
static int is_host(const struct http_message* m, const struct http_field* field) {
  for (uint32_t i = 0; i < field->value_size; i++) {
    char c = m->bytes[field->value + i];
    int alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (!alnum && (c == 0 || !strchr("-._~%!$&'()*+,;=:[]", c))) return 0;
  }
  return 1;
}

struct framing {
  unsigned hosts, lengths, codings, chunked;
};

static int look_at_fields(struct http_message* m, struct framing* f) {
  for (uint32_t i = 0; i < m->field_count; i++) {
    const struct http_field* field = &m->fields[i];
    if (!is_field(m, field)) return failed(m, 400, "no header field looks like this");
    if (is_name(m, field, "host")) {
      f->hosts++;
      if (!is_host(m, field)) return failed(m, 400, "no host can be called like this");
    }
    if (is_name(m, field, "content-length")) f->lengths++;
    if (is_name(m, field, "transfer-encoding")) {
      f->codings++;
      f->chunked += (unsigned)is_chunked(m, field);
    }
  }
  return 0;
}

/* RFC 9112, 3.2: a target has no fragment, and the asterisk is for OPTIONS. */
static int check_target(struct http_message* m) {
  if (memchr(m->bytes, '#', m->target_size)) return failed(m, 400, "a fragment in the target");
  if (m->bytes[0] == '*' && (m->target_size > 1 || m->parser.method != HTTP_OPTIONS))
    return failed(m, 400, "the target * is for OPTIONS");
  return 0;
}

/* RFC 9112, 3.2 and 6.3. llhttp checks most of this, but safety must not depend on its version or on how
 * it was compiled. */
static int check_head(struct http_message* m) {
  struct framing f = {0};
  unsigned minor = llhttp_get_http_minor(&m->parser);
  if (look_at_fields(m, &f) != 0) return STOP;
  if (llhttp_get_http_major(&m->parser) != 1 || minor > 1)
    return failed(m, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  if (check_target(m) != 0) return STOP;
  if (f.hosts > 1 || (f.hosts == 0 && minor == 1))
    return failed(m, 400, "a request has one Host header field");
  if (f.codings > 0 && (f.lengths > 0 || minor == 0))
    return failed(m, 400, "Transfer-Encoding with Content-Length, or in HTTP/1.0");
  if (f.lengths > 1) return failed(m, 400, "more than one Content-Length");
  if (f.codings > 1) return failed(m, 400, "more than one Transfer-Encoding");
  if (f.codings == 1 && !f.chunked)
    return failed(m, 501, "no transfer coding but chunked is known here");
  if (f.codings == 1 && !(m->parser.flags & F_CHUNKED)) /* a tab came after it */
    return failed(m, 400, "a Transfer-Encoding that is not understood");
  if (m->parser.method == HTTP_CONNECT && (f.codings > 0 || m->parser.content_length > 0))
    return failed(m, 400, "a CONNECT has no body"); /* llhttp would read it as the next request */
  if (f.lengths == 1 && m->parser.content_length > m->limits.body)
    return failed(m, 413, "the body is too large");
  return 0;
}

/* ---- llhttp's callbacks ---------------------------------------------------------------------- */

static struct http_message* of(llhttp_t* parser) {
  return (struct http_message*)parser->data;
}

static int on_begin(llhttp_t* parser) {
  of(parser)->began = 1;
  return 0;
}

static int on_url(llhttp_t* parser, const char* at, size_t size) {
  struct http_message* m = of(parser);
  int stop = append(m, at, size, m->limits.target, 414, "the request's target is too long");
  m->target_size = m->size;
  return stop;
}

static int on_name(llhttp_t* parser, const char* at, size_t size) {
  struct http_message* m = of(parser);
  if (!m->in_field && !new_field(m)) return STOP;
  m->in_field = 1;
  if (append_field(m, at, size) != 0) return STOP;
  struct http_field* field = &m->fields[m->field_count - 1];
  char* name = m->bytes + m->size - size;
  for (size_t i = 0; i < size; i++) {
    if (name[i] >= 'A' && name[i] <= 'Z') name[i] = (char)(name[i] | 0x20);
  }
  field->name_size += (uint32_t)size;
  field->value = m->size;
  return 0;
}

static int on_value(llhttp_t* parser, const char* at, size_t size) {
  struct http_message* m = of(parser);
  /* Some versions give a value without a name. */
  if (!m->in_field && !new_field(m)) return STOP;
  m->in_field = 1;
  if (append_field(m, at, size) != 0) return STOP;
  m->fields[m->field_count - 1].value_size += (uint32_t)size;
  return 0;
}

/* The blanks after a value are not part of it. */
static int on_value_end(llhttp_t* parser) {
  struct http_message* m = of(parser);
  if (!m->in_field && !new_field(m)) return STOP;
  struct http_field* field = &m->fields[m->field_count - 1];
  const char* value = m->bytes + field->value;
  while (field->value_size > 0 &&
         (value[field->value_size - 1] == ' ' || value[field->value_size - 1] == '\t')) {
    field->value_size--;
  }
  m->in_field = 0;
  return 0;
}

/* The line of a chunk's size comes. Pauses, since read_chunk_line reads it first. */
static int before_chunk(struct http_message* m) {
  m->chunk = HTTP_CHUNK_BEGIN;
  return HPE_PAUSED;
}

static int on_head(llhttp_t* parser) {
  struct http_message* m = of(parser);
  if (check_head(m) != 0) return -1;
  /* llhttp clears its flags at the end of the message. */
  m->keep_alive = llhttp_should_keep_alive(parser) != 0;
  m->upgrade = parser->upgrade != 0;
  m->chunked = (parser->flags & F_CHUNKED) != 0;
  m->length = parser->flags & F_CONTENT_LENGTH ? (int64_t)parser->content_length : -1;
  m->head_fields = m->field_count;
  m->in_trailer = 1;
  m->events |= MESSAGE_HEAD;
  return m->chunked ? before_chunk(m) : 0;
}

/* After the last chunk there are lines again. Pauses, since only llhttp knows the place. */
static int on_chunk(llhttp_t* parser) {
  struct http_message* m = of(parser);
  if (parser->content_length > 0) return 0;
  m->last_chunk = 1;
  m->lines = HTTP_LINE_MORE;
  return HPE_PAUSED;
}

/* llhttp also calls this after the trailers. */
static int on_chunk_end(llhttp_t* parser) {
  struct http_message* m = of(parser);
  return m->last_chunk ? 0 : before_chunk(m);
}

/* A second piece in one read: the pieces are joined. */
static int join(struct http_message* m, const char* at, size_t size) {
  size_t whole = m->body.size + size;
  if (whole > m->body.capacity) {
    size_t capacity = whole * 2;
    char* joined = resize(m, m->body.joined, m->body.capacity, capacity);
    if (!joined) return failed(m, 503, "no memory for the body");
    int first = m->body.at != m->body.joined;
    m->body.joined = joined;
    m->body.capacity = capacity;
    if (!first) m->body.at = joined;
  }
  if (m->body.at != m->body.joined) memcpy(m->body.joined, m->body.at, m->body.size);
  memcpy(m->body.joined + m->body.size, at, size);
  m->body.at = m->body.joined;
  m->body.size = whole;
  return 0;
}

static int on_body(llhttp_t* parser, const char* at, size_t size) {
  struct http_message* m = of(parser);
  if (size > m->limits.body - m->body_size) return failed(m, 413, "the body is too large");
  m->body_size += size;
  m->events |= MESSAGE_BODY;
  if (m->body.size > 0) return join(m, at, size);
  m->body.at = at;
  m->body.size = size;
  return 0;
}

static int on_end(llhttp_t* parser) {
  struct http_message* m = of(parser);
  for (uint32_t i = m->head_fields; i < m->field_count; i++) {
    if (!is_trailer(m, &m->fields[i])) return failed(m, 400, "no trailer field looks like this");
  }
  m->events |= MESSAGE_END;
  return HPE_PAUSED;
}

static const llhttp_settings_t SETTINGS = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_chunk_complete = on_chunk_end,
    .on_message_complete = on_end,
};

/* ---- reading --------------------------------------------------------------------------------- */

void http_message_init(struct http_message* m, const struct http_limits* limits,
                       http_alloc_fn alloc, void* alloc_data) {
  memset(m, 0, sizeof *m);
  m->limits = *limits;
  m->alloc = alloc;
  m->alloc_data = alloc_data;
  llhttp_init(&m->parser, HTTP_REQUEST, &SETTINGS);
  m->parser.data = m;
}

void http_message_close(struct http_message* m) {
  free_head(m);
  if (m->body.joined) resize(m, m->body.joined, m->body.capacity, 0);
  memset(&m->body, 0, sizeof m->body);
}

/* A message that llhttp itself refuses. */
static void refuse(struct http_message* m, llhttp_errno_t error) {
  if (m->status != 0) return;
  int spoken = m->parser.http_major == 1 && m->parser.http_minor <= 1;
  int version = error == HPE_PAUSED_H2_UPGRADE || (error == HPE_INVALID_VERSION && !spoken);
  const char* reason = llhttp_get_error_reason(&m->parser);
  failed(m, version ? 505 : 400, reason && *reason ? reason : llhttp_errno_name(error));
}

/* How far llhttp came before it paused. */
static size_t read_until(struct http_message* m, const char* data) {
  const char* at = llhttp_get_error_pos(&m->parser);
  return at ? (size_t)(at - data) : 0;
}

enum { MAX_DIGITS = 16 }; /* of a chunk's size */

/* The number of consecutive bytes in the line of a chunk's size that are for llhttp; or, if `extension`
 * is set, that are not, since some versions refuse extensions that others accept. */
static size_t read_chunk_line(struct http_message* m, const char* data, size_t size,
                              int* extension) {
  size_t i = 0;
  for (; i < size && m->chunk != HTTP_CHUNK_OFF; i++) {
    int next = http_chunk_next(m->chunk, (unsigned char)data[i]);
    if (m->chunk == HTTP_CHUNK_BEGIN) m->digits = 0;
    if (next == HTTP_CHUNK_SIZE && ++m->digits > MAX_DIGITS) next = -1; /* zeros might never end */
    int skip = next >= HTTP_CHUNK_EXTENSION;
    if (next < 0 || (i > 0 && skip != *extension)) break;
    *extension = skip;
    m->chunk = (unsigned char)next;
  }
  if (i == 0) failed(m, 400, "a chunk's size is not understood");
  if (*extension) m->extension += i;
  /* At most the bytes of the body and of a head: a stream of signed chunks may be long. */
  if (m->extension > m->limits.head + m->body_size)
    failed(m, 400, "the chunk extensions are too large");
  return i;
}

/* Returns the number of bytes that were used; sets events and, at a failure, status. */
static size_t execute(struct http_message* m, const char* data, size_t size) {
  if (m->chunk != HTTP_CHUNK_OFF) {
    int extension = 0;
    size_t used = read_chunk_line(m, data, size, &extension);
    if (m->status != 0) return size;
    if (extension) return used;
    size = used;
  }
  size_t good = good_lines(m, data, size);
  llhttp_resume(&m->parser);
  llhttp_errno_t error = llhttp_execute(&m->parser, data, good);
  switch (error) {
  case HPE_OK:
    if (good < size) failed(m, 400, "a broken line in the head or the trailer");
    return size;
  case HPE_PAUSED:
  case HPE_PAUSED_UPGRADE: return read_until(m, data);
  default: refuse(m, error); return size;
  }
}

size_t http_message_read(struct http_message* m, const char* data, size_t size) {
  if (m->events & (MESSAGE_FAILED | MESSAGE_END)) return 0;
  m->events = 0;
  m->body.at = NULL;
  m->body.size = 0;
  size_t used = 0, step = 1;
  while (m->status == 0 && !(m->events & MESSAGE_END) && used < size && step > 0) {
    step = execute(m, data + used, size - used);
    used += step;
  }
  if (m->status == 0) return used;
  if (m->events != 0) return used - 1; /* the bytes before the failure come first */
  m->events = MESSAGE_FAILED;
  return used;
}

void http_message_next(struct http_message* m) {
  http_message_close(m);
  m->extension = 0;
  m->body_size = 0;
  m->events = 0;
  m->status = 0;
  m->lines = HTTP_LINE_BEFORE;
  m->tail = 0;
  m->chunk = HTTP_CHUNK_OFF;
  m->in_field = m->in_trailer = m->began = m->last_chunk = 0;
  llhttp_init(&m->parser, HTTP_REQUEST, &SETTINGS);
  m->parser.data = m;
}

int http_message_began(const struct http_message* m) {
  return m->began && !(m->events & MESSAGE_END);
}
