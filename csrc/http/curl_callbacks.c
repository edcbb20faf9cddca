/* SPDX-License-Identifier: MIT */
/* What libcurl calls for a transfer: bytes that come and go, and how far it has come. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "curl_module.h"

/* Any count but the one it gave makes libcurl end the transfer. */
static size_t fail(hcurl_transfer* t, enum hcurl_failure failure, size_t size) {
  t->failure = failure;
  return size == 0 ? 1 : 0;
}

static bool is_blank(const char* line, size_t size) {
  return (size == 2 && line[0] == '\r' && line[1] == '\n') || (size == 1 && line[0] == '\n');
}

/* The number after the first blank of a status line. */
static int status_of(const char* line, size_t size) {
  const char* blank = memchr(line, ' ', size);
  int status = 0;
  for (const char* at = blank; at != NULL && ++at < line + size && *at >= '0' && *at <= '9';) {
    status = status * 10 + (*at - '0');
    if (status > 999) break;
  }
  return status;
}

/* Interim responses come first; of those nothing is kept. What comes after the final one's head are
 * trailers. */
static size_t on_header(char* line, size_t one, size_t size, void* data) {
  hcurl_transfer* t = data;
  (void)one;
  if (t->watched) hcurl_changed(t);
  if (t->head_done) {
    if (is_blank(line, size)) return size;
    if (t->trailers.size + size > t->max_head) return fail(t, HCURL_HEAD_TOO_LARGE, size);
    if (!hcurl_append(t->pool, &t->trailers, line, size)) return fail(t, HCURL_NO_MEMORY, size);
    return size;
  }
  if (size > 5 && memcmp(line, "HTTP/", 5) == 0) {
    t->head.size = 0;
    t->status = status_of(line, size);
  }
  if (is_blank(line, size)) {
    t->head_done = t->status >= 200 || t->status == 101;
    if (t->head_done) hcurl_changed(t);
    return size;
  }
  if (t->head.size + size > t->max_head) return fail(t, HCURL_HEAD_TOO_LARGE, size);
  if (!hcurl_append(t->pool, &t->head, line, size)) return fail(t, HCURL_NO_MEMORY, size);
  return size;
}

static size_t on_body(char* bytes, size_t one, size_t size, void* data) {
  hcurl_transfer* t = data;
  (void)one;
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

/* libcurl has no address for the name in its cache, and no connection to it. */
static int on_lookup(void* resolver, void* unused, void* data) {
  hcurl_transfer* t = data;
  (void)resolver;
  (void)unused;
  t->looks_up = t->may_look_up;
  if (!t->may_look_up) t->failure = HCURL_NO_LOOKUP;
  return t->may_look_up ? 0 : 1;
}

/* libcurl's own way, but children must not inherit the connection. */
static curl_socket_t on_open_socket(void* data, curlsocktype purpose, struct curl_sockaddr* a) {
  hcurl_transfer* t = data;
  (void)purpose;
  t->connecting = true;
  t->handshaking = t->connected = false;
  if (t->watched || t->looks_up) hcurl_changed(t);
#if defined(SOCK_CLOEXEC) && !defined(CTX_PORTABLE)
  curl_socket_t fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
#else
  curl_socket_t fd = socket(a->family, a->socktype, a->protocol);
#endif
  t->no_socket = fd < 0 ? errno : 0;
  return fd;
}

/* Only to know how far it has come. */
static CURLcode on_tls(CURL* easy, void* tls, void* data) {
  hcurl_transfer* t = data;
  (void)easy;
  (void)tls;
  t->handshaking = true;
  if (t->watched) hcurl_changed(t);
  return CURLE_OK;
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* The request will be sent now. When a kept connection dies without a response, libcurl would send
 * it once more, as it was: the server may have done what it asks for, and its headers are old. Whether
 * that may be is for Lua to say. */
static int on_connected(void* data, char* ip, char* local, int port, int local_port) {
  hcurl_transfer* t = data;
  (void)ip;
  (void)local;
  (void)port;
  (void)local_port;
  if (t->begun && t->status == 0) {
    t->failure = HCURL_LOST;
    return CURL_PREREQFUNC_ABORT;
  }
  t->begun = t->connected = true;
  if (t->watched) hcurl_changed(t);
  return CURL_PREREQFUNC_OK;
}
#endif

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
  (void)curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls);
  (void)curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
#if LIBCURL_VERSION_NUM >= 0x075000
  if (!code) code = curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
  if (!code) code = curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
#endif
  if (!code && t->watched) {
    code = curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (!code) code = curl_easy_setopt(e, CURLOPT_XFERINFODATA, t);
    if (!code) code = curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
  }
  return code;
}
