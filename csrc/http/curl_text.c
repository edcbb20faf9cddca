/* SPDX-License-Identifier: MIT */
/* Functions without a pool: URLs, and names of the system's errors. */
#include <errno.h>

#include "curl_module.h"

/* -- URLs -------------------------------------------------------------------------------------- */

#define HCURL_URL "ctx.http.curl.URL"

/* Its finalizer frees it if Lua runs out of memory while it is in use. */
typedef struct {
  CURLU* handle;
  char* part;
} url_t;

static int url_gc(lua_State* L) {
  url_t* u = lua_touserdata(L, 1);
  curl_free(u->part);
  curl_url_cleanup(u->handle);
  u->part = NULL;
  u->handle = NULL;
  return 0;
}

static const char* url_error(CURLUcode code) {
  return curl_url_strerror(code);
}

/* Sets field `name` of the table on top, if the URL has that part. */
static void set_part(lua_State* L, url_t* u, const char* name, CURLUPart part, unsigned flags) {
  if (curl_url_get(u->handle, part, &u->part, flags) == CURLUE_OK && u->part != NULL) {
    lua_pushstring(L, u->part);
    lua_setfield(L, -2, name);
    curl_free(u->part);
  }
  u->part = NULL;
}

/* curl.url(text [, base]) → { url, scheme, host, port, user, password, public, safe }, or nil and
 * why. `base`: the URL to which `text` is relative, for redirections. `public`: without user and query;
 * `safe`: without user. None has a fragment. */
static int parse_url(lua_State* L) {
  const char* text = luaL_checkstring(L, 1);
  const char* base = luaL_optstring(L, 2, NULL);
  url_t* u = lua_newuserdatauv(L, sizeof *u, 0);
  *u = (url_t){NULL, NULL};
  luaL_setmetatable(L, HCURL_URL);
  u->handle = curl_url();
  if (u->handle == NULL) return luaL_error(L, "not enough memory");
  CURLUcode code = CURLUE_OK;
  if (base != NULL) code = curl_url_set(u->handle, CURLUPART_URL, base, 0);
  if (!code) code = curl_url_set(u->handle, CURLUPART_URL, text, base ? CURLU_URLENCODE : 0);
  if (code == CURLUE_OUT_OF_MEMORY) return luaL_error(L, "not enough memory");
  if (code != CURLUE_OK) {
    lua_pushnil(L);
    lua_pushstring(L, url_error(code));
    return 2;
  }
  lua_newtable(L);
  curl_url_set(u->handle, CURLUPART_FRAGMENT, NULL, 0);
  set_part(L, u, "url", CURLUPART_URL, 0);
  set_part(L, u, "scheme", CURLUPART_SCHEME, 0);
  set_part(L, u, "host", CURLUPART_HOST, 0);
  set_part(L, u, "port", CURLUPART_PORT, CURLU_DEFAULT_PORT);
  set_part(L, u, "user", CURLUPART_USER, 0);
  set_part(L, u, "password", CURLUPART_PASSWORD, 0);
  curl_url_set(u->handle, CURLUPART_USER, NULL, 0);
  curl_url_set(u->handle, CURLUPART_PASSWORD, NULL, 0);
  set_part(L, u, "safe", CURLUPART_URL, 0);
  curl_url_set(u->handle, CURLUPART_QUERY, NULL, 0);
  set_part(L, u, "public", CURLUPART_URL, 0);
  return 1;
}

/* -- The system's errors ----------------------------------------------------------------------- */

/* clang-format off */
#define ERRORS(X)                                                                                \
  X(EACCES) X(EADDRINUSE) X(EADDRNOTAVAIL) X(EAFNOSUPPORT) X(EAGAIN) X(EBADF) X(ECONNABORTED)    \
  X(ECONNREFUSED) X(ECONNRESET) X(EHOSTUNREACH) X(EINTR) X(EINVAL) X(EIO) X(EISCONN) X(ELOOP)    \
  X(EMFILE) X(ENAMETOOLONG) X(ENETDOWN) X(ENETUNREACH) X(ENFILE) X(ENOBUFS) X(ENOENT) X(ENOMEM)  \
  X(ENOTCONN) X(ENOTDIR) X(ENOTSOCK) X(EPERM) X(EPIPE) X(EPROTO) X(EPROTONOSUPPORT)              \
  X(EPROTOTYPE) X(ETIMEDOUT)
/* clang-format on */

/* curl.errno_name(n) → a name such as "ECONNREFUSED", or nil */
static int errno_name(lua_State* L) {
  static const struct {
    int number;
    const char* name;
  } errors[] = {
#define X(name) {name, #name},
      ERRORS(X)
#undef X
  };
  lua_Integer n = luaL_checkinteger(L, 1);
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (errors[i].number == n) {
      lua_pushstring(L, errors[i].name);
      return 1;
    }
  }
  return 0;
}

/* curl.version() → libcurl's, as text and as a number, and whether it has HTTP/2 */
static int version(lua_State* L) {
  const curl_version_info_data* v = curl_version_info(CURLVERSION_NOW);
  lua_pushstring(L, v->version);
  lua_pushinteger(L, v->version_num);
  lua_pushboolean(L, (v->features & CURL_VERSION_HTTP2) != 0);
  return 3;
}

void hcurl_open_text(lua_State* L) {
  static const luaL_Reg functions[] = {
      {"url", parse_url}, {"errno_name", errno_name}, {"version", version}, {NULL, NULL}};
  luaL_newmetatable(L, HCURL_URL);
  lua_pushcfunction(L, url_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
