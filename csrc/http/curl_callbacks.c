/* SPDX-License-Identifier: MIT */
/* The callbacks of libcurl for a transfer: bytes in both directions, and progress. strict.c checks the
 * received bytes, whatever libcurl has made of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "curl_module.h"

/* A callback that returns another count than it was given makes libcurl end the transfer. */
static size_t fail(hcurl_transfer* t, enum hcurl_failure failure, size_t size) {
  t->failure = failure;
  return size == 0 ? 1 : 0;
}

/* Whether the connection serves only this transfer. */
static void give_up_connection(hcurl_transfer* t) {
  (void)curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* -- What has come ----------------------------------------------------------------------------- */

static enum hcurl_failure failure_of(enum http_strict_fault fault) {
  return fault == STRICT_TOO_LARGE ? HCURL_HEAD_TOO_LARGE : HCURL_WRONG;
}

/* A head says whether the connection may be kept. Then libcurl is asked to show bytes that it otherwise
 * hides: the frames of chunks, bytes after an empty body, and a body before it is decoded. */
static void take_head(hcurl_transfer* t) {
  const struct http_strict* s = &t->strict;
  bool is_empty = s->body == STRICT_NO_BODY || (s->body == STRICT_LENGTH && s->length == 0);
  t->head_done = true;
  if (!s->keep) give_up_connection(t);
  t->shows_raw = t->decodes || (s->major == 1 && (is_empty || s->body == STRICT_CHUNKED));
  if (t->shows_raw) (void)curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L);
  hcurl_changed(t);
}

/* One line of a head or of the trailers. Trailers of a chunked body were checked when they came. */
static bool take_line(hcurl_transfer* t, const char* line, size_t size) {
  struct http_strict* s = &t->strict;
  if (t->head_done && s->body == STRICT_CHUNKED) return true;
  size_t used = http_strict_read(s, line, size);
  if (s->events & STRICT_HEAD) take_head(t);
  if (s->status != 0) t->status = s->status;
  if (!(s->events & STRICT_FAILED) && used == size) return true;
  t->failure = s->fault != STRICT_FINE ? failure_of(s->fault) : HCURL_WRONG;
  return false;
}

/* Interim responses come first; nothing of them is kept. Lines after the final head are trailers. */
static size_t on_header(char* line, size_t one, size_t size, void* data) {
  hcurl_transfer* t = data;
  (void)one;
  if (t->watched) hcurl_changed(t);
  if (t->failure != HCURL_FINE) return fail(t, t->failure, size);
  hcurl_buffer* lines = t->head_done ? &t->trailers : &t->head;
  if (!t->head_done && !t->strict.began) lines->size = 0;
  if (!take_line(t, line, size)) return fail(t, t->failure, size);
  if (size > 0 && (line[0] == '\r' || line[0] == '\n')) return size;
  if (lines->size + size > t->max_head) return fail(t, HCURL_HEAD_TOO_LARGE, size);
  return hcurl_append(t->pool, lines, line, size) ? size : fail(t, HCURL_NO_MEMORY, size);
}

static size_t on_body(char* bytes, size_t one, size_t size, void* data) {
  hcurl_transfer* t = data;
  (void)one;
  if (t->failure != HCURL_FINE) return fail(t, t->failure, size);
  if (size == 0) return 0;
  if (t->body.size >= t->high_water) {
    t->receive_paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (t->max_body >= 0 && (curl_off_t)size > t->max_body - t->received) {
    return fail(t, HCURL_BODY_TOO_LARGE, size);
  }
  if (!hcurl_append(t->pool, &t->body, bytes, size)) return fail(t, HCURL_NO_MEMORY, size);
  t->received += (curl_off_t)size;
  if (t->watched) hcurl_changed(t);
  return size;
}

void hcurl_refuse(hcurl_transfer* t, enum hcurl_failure failure) {
  t->failure = failure;
  give_up_connection(t);
  if (t->done) return;
  t->done = true;
  t->code = CURLE_WEIRD_SERVER_REPLY;
  hcurl_changed(t);
}

static void note_encoded(hcurl_transfer* t, const char* bytes, size_t size) {
  t->encoded += (curl_off_t)size;
  for (size_t i = size > 4 ? size - 4 : 0; i < size; i++) {
    t->last = t->last >> 8 | (uint32_t)(unsigned char)bytes[i] << 24;
  }
}

/* The body as it was received, before libcurl decodes it. Bytes after its end spoil the connection. */
static void take_raw(hcurl_transfer* t, const char* bytes, size_t size) {
  struct http_strict* s = &t->strict;
  if (s->major != 1) {
    note_encoded(t, bytes, size);
    return;
  }
  while (size > 0 && !s->over && t->failure == HCURL_FINE) {
    size_t used = http_strict_read(s, bytes, size);
    bytes += used;
    size -= used;
    if (s->events & STRICT_BODY) note_encoded(t, s->at, s->size);
    if (s->events & STRICT_FAILED) hcurl_refuse(t, failure_of(s->fault));
  }
  if (size > 0) give_up_connection(t);
}

/* The number behind the word, or 0. */
static unsigned number_after(const char* text, const char* word) {
  const char* at = strstr(text, word);
  return at == NULL ? 0 : (unsigned)strtoul(at + strlen(word), NULL, 10);
}

/* Facts about HTTP/2 that libcurl reports only as text. The text of another version is not understood,
 * which is safe: then the client does not conclude that a request was not processed. */
static void take_text(hcurl_transfer* t, const char* text) {
  hcurl_connection* c = t->connection;
  unsigned stream = number_after(text, "Using Stream ID: ");
  if (stream == 0 && strstr(text, "OPENED stream") != NULL) {
    stream = number_after(text, "[HTTP/2] [");
  }
  if (stream > 0) t->stream = stream;
  if (stream > 0 && c != NULL) c->multiplexed = true;
  if (c != NULL && strstr(text, "GOAWAY, error=") != NULL) {
    c->going_away = true;
    c->last_stream = number_after(text, "last_stream=");
  }
  if (strncmp(text, "REFUSED_STREAM", 14) == 0) t->refused = true;
  if (strncmp(text, "Excess found", 12) == 0) give_up_connection(t);
  /* HTTP_1_1_REQUIRED (RFC 9113, 7): it was not processed, and libcurl begins as the server wants. */
  if (strncmp(text, "Downgrades to HTTP/1.1", 22) == 0) t->begun = false;
}

static int on_debug(CURL* easy, curl_infotype what, char* bytes, size_t size, void* data) {
  hcurl_transfer* t = data;
  char text[256];
  (void)easy;
  if (what == CURLINFO_DATA_IN && t->shows_raw) take_raw(t, bytes, size);
  if (what != CURLINFO_TEXT) return 0;
  if (size >= sizeof text) size = sizeof text - 1;
  memcpy(text, bytes, size);
  text[size] = '\0';
  take_text(t, text);
  return 0;
}

/* -- The end ----------------------------------------------------------------------------------- */

/* Whether the server says that it has not processed the request (RFC 9113, 6.8 and 8.7): by a GOAWAY
 * that names an earlier stream, or because no stream was opened at all. */
static bool is_refused(const hcurl_transfer* t) {
  const hcurl_connection* c = t->connection;
  if (t->refused) return true;
  if (c == NULL || !c->multiplexed) return false;
  return t->stream == 0 || (c->going_away && t->stream > c->last_stream);
}

/* libcurl begins again, as it does when a kept connection dies without a response. The server may have
 * processed the request, and the headers are old: Lua decides whether to repeat it. */
static enum hcurl_failure again(const hcurl_transfer* t) {
  if (t->status >= 200) return HCURL_AGAIN;
  return is_refused(t) ? HCURL_REFUSED : HCURL_LOST;
}

/* libcurl's own count, as the last check of a length. */
static bool is_whole(const hcurl_transfer* t) {
  const struct http_strict* s = &t->strict;
  curl_off_t size = 0;
  if (s->body == STRICT_CHUNKED) return s->over;
  if (s->body != STRICT_LENGTH) return true;
  return curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &size) == CURLE_OK &&
         size == s->length;
}

static bool is_loss(CURLcode code) {
  return code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM || code == CURLE_SEND_ERROR ||
         code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE;
}

void hcurl_conclude(hcurl_transfer* t) {
  if (t->failure != HCURL_FINE) return;
  if (t->code == CURLE_OK) {
    if (!t->head_done || !is_whole(t)) t->failure = HCURL_CUT;
  } else if (t->code == CURLE_PARTIAL_FILE && t->status != 0 && !t->head_done) {
    t->failure = HCURL_CUT;
  } else if (t->begun && t->status == 0 && is_loss(t->code)) {
    if (is_refused(t)) {
      t->failure = HCURL_REFUSED;
    } else if (t->kept) {
      t->failure = HCURL_DROPPED;
    }
  }
}

/* -- What goes, and how far it is -------------------------------------------------------------- */

static size_t on_upload(char* into, size_t one, size_t n, void* data) {
  hcurl_transfer* t = data;
  size_t left = t->upload.size - t->uploaded;
  size_t size = left < one * n ? left : one * n;
  if (size > 0) {
    memcpy(into, t->upload.data + t->uploaded, size);
    t->uploaded += size;
    return size;
  }
  if (t->upload_ended) return 0;
  t->send_paused = t->wants_upload = true;
  hcurl_changed(t);
  return CURL_READFUNC_PAUSE;
}

static int on_progress(void* data, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
  hcurl_transfer* t = data;
  (void)down_total;
  (void)up_total;
  if (down + up != t->progress) {
    t->progress = down + up;
    hcurl_changed(t);
  }
  return 0;
}

/* libcurl has no address for the name in its cache, and no connection to it. It will start a thread,
 * with a pair of sockets that it opens right after this. */
static int on_lookup(void* resolver, void* unused, void* data) {
  hcurl_transfer* t = data;
  (void)resolver;
  (void)unused;
  t->looks_up = t->may_look_up;
  if (t->begun) {
    t->failure = again(t);
  } else if (!t->may_look_up) {
    t->failure = HCURL_NO_LOOKUP;
  } else {
    hcurl_expect_descriptors(&t->pool->guard);
  }
  return t->failure == HCURL_FINE ? 0 : 1;
}

/* Not for a request that was sent: see `again`. */
static curl_socket_t on_open_socket(void* data, curlsocktype purpose, struct curl_sockaddr* a) {
  hcurl_transfer* t = data;
  (void)purpose;
  if (t->begun) {
    t->failure = again(t);
    return CURL_SOCKET_BAD;
  }
  t->connecting = true;
  t->handshaking = t->connected = false;
  t->passed = 0;
  if (t->watched || t->looks_up) hcurl_changed(t);
  curl_socket_t fd = hcurl_open_connection(t, a);
  t->no_socket = fd < 0 ? errno : 0;
  return fd;
}

/* Notes the progress. libcurl remembers the errors of addresses that it has tried: an error from before
 * the connection is not the reason of a later failure. */
static CURLcode on_tls(CURL* easy, void* tls, void* data) {
  hcurl_transfer* t = data;
  (void)tls;
  t->handshaking = true;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &t->passed);
  if (t->watched) hcurl_changed(t);
  return CURLE_OK;
}

/* The request will be sent now. */
static int on_connected(void* data, char* ip, char* local, int port, int local_port) {
  hcurl_transfer* t = data;
  (void)ip;
  (void)local;
  (void)port;
  if (t->begun) {
    t->failure = again(t);
  } else if (!hcurl_take_connection(t, local_port)) {
    t->failure = HCURL_STALE;
  }
  if (t->failure != HCURL_FINE) return CURL_PREREQFUNC_ABORT;
  if (!t->handshaking) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &t->passed);
  t->begun = t->connected = true;
  if (t->watched) hcurl_changed(t);
  return CURL_PREREQFUNC_OK;
}

CURLcode hcurl_set_callbacks(hcurl_transfer* t) {
  CURL* e = t->easy;
  CURLcode code = curl_easy_setopt(e, CURLOPT_PRIVATE, (void*)t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
  if (!code) code = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  if (!code) code = curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  if (!code) code = curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_READFUNCTION, on_upload);
  if (!code) code = curl_easy_setopt(e, CURLOPT_READDATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
  if (!code) code = curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
  if (!code) code = curl_easy_setopt(e, CURLOPT_RESOLVER_START_DATA, t);
  /* Not every TLS library has this. */
  t->tells_tls = curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls) == CURLE_OK;
  (void)curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
  if (!code) code = curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
  if (!code) code = curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, hcurl_on_close);
  if (!code) code = curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, t->pool);
  if (!code) code = curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, on_debug);
  if (!code) code = curl_easy_setopt(e, CURLOPT_DEBUGDATA, t);
  if (!code && t->watched) {
    code = curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (!code) code = curl_easy_setopt(e, CURLOPT_XFERINFODATA, t);
    if (!code) code = curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
  }
  return code;
}
