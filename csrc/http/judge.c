/* SPDX-License-Identifier: MIT */
/* The result of strict.c for the bytes of one connection, for the corpus of responses in spec/. */
#include "curl_module.h"

enum { PIECES = 1, OPTIONS };

static lua_Integer option(lua_State* L, const char* name, lua_Integer otherwise) {
  lua_getfield(L, OPTIONS, name);
  lua_Integer n = luaL_optinteger(L, -1, otherwise);
  lua_pop(L, 1);
  return n;
}

/* Feeds one piece; adds its bytes of the body to the buffer. → the number of bytes that were taken */
static size_t feed(struct http_strict* s, luaL_Buffer* body, const char* piece, size_t size) {
  size_t used = 0;
  while (used < size && !s->over && s->fault == STRICT_FINE) {
    used += http_strict_read(s, piece + used, size - used);
    if (s->events & STRICT_BODY) luaL_addlstring(body, s->at, s->size);
  }
  return used;
}

/* curl.judge(pieces, { max_head =, max_fields =, no_body = }) → the status and the body, or nil and a
 * code; whether the connection may be used again; the fault. After the pieces the connection ends. */
int hcurl_judge(lua_State* L) {
  static const char* const codes[] = {"", "EPROTO", "EMSGSIZE", "EOF"};
  struct http_strict s;
  luaL_Buffer body;
  luaL_checktype(L, PIECES, LUA_TTABLE);
  luaL_checktype(L, OPTIONS, LUA_TTABLE);
  lua_settop(L, OPTIONS);
  lua_getfield(L, OPTIONS, "no_body");
  http_strict_begin(&s, (uint32_t)option(L, "max_head", 262144),
                    (uint32_t)option(L, "max_fields", HCURL_MAX_FIELDS), lua_toboolean(L, -1),
                    false);
  lua_Integer n = luaL_len(L, PIECES);
  bool excess = false;
  luaL_buffinit(L, &body);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t size;
    lua_geti(L, PIECES, i);
    const char* piece = luaL_checklstring(L, -1, &size);
    lua_pop(L, 1); /* the table has it */
    if (feed(&s, &body, piece, size) < size) excess = true;
  }
  bool kept = s.over && s.keep && !excess;
  enum http_strict_fault fault = http_strict_finish(&s);
  luaL_pushresult(&body);
  lua_pushinteger(L, s.status);
  lua_insert(L, -2);
  if (fault != STRICT_FINE) {
    lua_pushnil(L);
    lua_pushstring(L, codes[fault]);
  }
  lua_pushboolean(L, kept);
  lua_pushstring(L, s.reason);
  return 4;
}
