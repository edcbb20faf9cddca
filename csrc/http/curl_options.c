/* SPDX-License-Identifier: MIT */
/* Sets libcurl's options from a table. Lua has checked the values that users give. */
#include <string.h>

#include "curl_module.h"

enum { TABLE = 3 };

enum { DEFAULT_HIGH_WATER = 64 * 1024, DEFAULT_MAX_HEAD = 256 * 1024, MOST_HEAD = 1 << 30 };

static void must(lua_State* L, CURLcode code, const char* what) {
  if (code != CURLE_OK) luaL_error(L, "libcurl: %s: %s", what, curl_easy_strerror(code));
}

/* A text, or nothing. libcurl keeps a copy. */
static void set_text(lua_State* L, hcurl_transfer* t, const char* name, CURLoption option) {
  if (lua_getfield(L, TABLE, name) != LUA_TNIL) {
    must(L, curl_easy_setopt(t->easy, option, luaL_checkstring(L, -1)), name);
  }
  lua_pop(L, 1);
}

static bool has(lua_State* L, const char* name) {
  lua_getfield(L, TABLE, name);
  bool is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

static lua_Integer number(lua_State* L, const char* name, lua_Integer otherwise) {
  lua_getfield(L, TABLE, name);
  lua_Integer n = luaL_optinteger(L, -1, otherwise);
  lua_pop(L, 1);
  return n;
}

/* The strings of a list, as one of libcurl's. */
static void set_list(lua_State* L, const char* name, struct curl_slist** list) {
  if (lua_getfield(L, TABLE, name) != LUA_TNIL) {
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_geti(L, -1, i);
      struct curl_slist* longer = curl_slist_append(*list, luaL_checkstring(L, -1));
      if (longer == NULL) luaL_error(L, "not enough memory");
      *list = longer;
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

static void set_protocols(lua_State* L, CURL* e) {
#if LIBCURL_VERSION_NUM >= 0x075500
  must(L, curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"), "protocols");
#else
  must(L, curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)),
       "protocols");
#endif
}

/* If HTTP/2 may be agreed on, libcurl must report its frames. */
static void set_version(lua_State* L, hcurl_transfer* t) {
  CURL* e = t->easy;
  static const char* const names[] = {"1.0", "1.1", "2", "2-prior-knowledge", NULL};
  static const long versions[] = {CURL_HTTP_VERSION_1_0, CURL_HTTP_VERSION_1_1,
                                  CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE};
  lua_getfield(L, TABLE, "http_version");
  long version = versions[luaL_checkoption(L, -1, "2", names)];
  must(L, curl_easy_setopt(e, CURLOPT_HTTP_VERSION, version), "http_version");
  lua_pop(L, 1);
  bool is_prior = version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
  bool may_frame = is_prior || (t->secure && version == CURL_HTTP_VERSION_2TLS);
  if (may_frame) must(L, curl_easy_setopt(e, CURLOPT_VERBOSE, 1L), "http_version");
  http_strict_begin(&t->strict, (uint32_t)t->max_head, HCURL_MAX_FIELDS, has(L, "no_body"),
                    may_frame);
  /* On a kept connection libcurl begins HTTP/2 again (seen with 7.88), and the server closes it. */
  if (is_prior) {
    must(L, curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L), "http_version");
    must(L, curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L), "http_version");
  }
}

/* Switched off: signals, waiting for a resolver's thread at the end, netrc, following redirections by
 * itself, and HTTP/0.9. */
static void set_always(lua_State* L, hcurl_transfer* t) {
  CURL* e = t->easy;
  must(L, curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L), "nosignal");
#if LIBCURL_VERSION_NUM >= 0x075700
  must(L, curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L), "quick_exit");
#endif
  must(L, curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L), "follow");
  must(L, curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L), "keepalive");
  must(L, curl_easy_setopt(e, CURLOPT_SHARE, t->pool->share), "share");
  must(L, curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L), "proxy");
  set_protocols(L, e);
}

static void set_tls(lua_State* L, hcurl_transfer* t) {
  set_text(L, t, "ca", CURLOPT_CAINFO);
  set_text(L, t, "ca", CURLOPT_PROXY_CAINFO);
  set_text(L, t, "ca_path", CURLOPT_CAPATH);
  set_text(L, t, "cert", CURLOPT_SSLCERT);
  set_text(L, t, "key", CURLOPT_SSLKEY);
  set_text(L, t, "key_password", CURLOPT_KEYPASSWD);
  long verify = has(L, "unverified") ? 0 : 1;
  must(L, curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, verify), "verify");
  must(L, curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 2 * verify), "verify");
}

/* A body that is a string is sent from the Lua string, which is kept; another one comes by feed(). */
static void set_body(lua_State* L, hcurl_transfer* t) {
  CURL* e = t->easy;
  size_t size = 0;
  lua_getfield(L, TABLE, "body");
  const char* body = lua_tolstring(L, -1, &size);
  if (body != NULL) {
    t->to_send = (curl_off_t)size;
    must(L, curl_easy_setopt(e, CURLOPT_POST, 1L), "body");
    must(L, curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size), "body");
    must(L, curl_easy_setopt(e, CURLOPT_POSTFIELDS, body), "body");
    lua_setiuservalue(L, -2, HCURL_BLOCK_BODY);
    return;
  }
  lua_pop(L, 1);
  if (has(L, "upload")) {
    t->to_send = -1;
    must(L, curl_easy_setopt(e, CURLOPT_UPLOAD, 1L), "body");
    must(L, curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)number(L, "length", -1)),
         "length");
  } else if (has(L, "no_body")) {
    must(L, curl_easy_setopt(e, CURLOPT_NOBODY, 1L), "method");
  } else {
    must(L, curl_easy_setopt(e, CURLOPT_HTTPGET, 1L), "method");
  }
}

void hcurl_set_up(lua_State* L, hcurl_transfer* t) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  t->high_water = (size_t)number(L, "high_water", DEFAULT_HIGH_WATER);
  lua_Integer max_head = number(L, "max_head", DEFAULT_MAX_HEAD);
  t->max_head = (size_t)(max_head < MOST_HEAD ? max_head : MOST_HEAD);
  t->max_body = (curl_off_t)number(L, "max_body", -1);
  t->watched = has(L, "watched");
  set_always(L, t);
  set_text(L, t, "url", CURLOPT_URL);
  t->secure = has(L, "secure");
  t->may_look_up = has(L, "may_look_up");
  set_body(L, t);
  set_text(L, t, "method", CURLOPT_CUSTOMREQUEST);
  set_list(L, "headers", &t->headers);
  set_list(L, "connect_to", &t->connect_to);
  must(L, curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers), "headers");
  must(L, curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to), "resolve");
  set_version(L, t);
  if (has(L, "fresh")) must(L, curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L), "fresh");
  set_tls(L, t);
  set_text(L, t, "proxy", CURLOPT_PROXY);
  set_text(L, t, "no_proxy", CURLOPT_NOPROXY);
  set_text(L, t, "unix", CURLOPT_UNIX_SOCKET_PATH);
  set_text(L, t, "interface", CURLOPT_INTERFACE);
  set_text(L, t, "accept_encoding", CURLOPT_ACCEPT_ENCODING);
  lua_getfield(L, TABLE, "accept_encoding");
  t->decodes = !lua_isnil(L, -1);
  lua_pop(L, 1);
  long connect_ms = (long)number(L, "connect_ms", 0);
  must(L, curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms), "connect");
}
