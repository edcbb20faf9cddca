/* SPDX-License-Identifier: MIT */
/* One request and its response, on one connection. */
#include <stdlib.h>
#include <string.h>

#include "curl_module.h"

/* -- Its life ---------------------------------------------------------------------------------- */

static void forget_changed(hcurl_transfer* t) {
  hcurl_pool* p = t->pool;
  hcurl_transfer** at = &p->changed;
  if (!t->in_changed) return;
  while (*at != t) at = &(*at)->next_changed;
  *at = t->next_changed;
  if (p->changed_end == &t->next_changed) p->changed_end = at;
  t->in_changed = false;
}

/* libcurl may keep the frame that resets an HTTP/2 stream until it has more to send (seen with 7.88 and
 * 8.14). So if no other transfer is on that connection, the connection is closed. */
static void tell_peer(hcurl_transfer* t) {
  if (!t->done) (void)curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
}

void hcurl_stop(hcurl_transfer* t) {
  if (!t->added) return;
  t->added = false;
  tell_peer(t);
  (void)curl_multi_remove_handle(t->pool->multi, t->easy);
}

void hcurl_free(hcurl_transfer* t) {
  if (t->pool == NULL || t->at == NULL) return;
  hcurl_stop(t);
  hcurl_end_connections(t);
  forget_changed(t);
  if (t->easy != NULL) curl_easy_cleanup(t->easy);
  t->easy = NULL;
  curl_slist_free_all(t->headers);
  curl_slist_free_all(t->connect_to);
  t->headers = t->connect_to = NULL;
  hcurl_release(t->pool, &t->head);
  hcurl_release(t->pool, &t->trailers);
  hcurl_release(t->pool, &t->body);
  hcurl_release(t->pool, &t->upload);
  *t->at = t->next;
  if (t->next != NULL) t->next->at = t->at;
  t->at = NULL;
}

/* Gives the block on top a place in the table of the pool at index 1, and the transfer to the pool.
 * May raise, with nothing changed. */
static void enter(lua_State* L, hcurl_pool* p, hcurl_transfer* t) {
  lua_getiuservalue(L, 1, 1);
  lua_Integer slot = p->free_slot, next_free = 0;
  if (slot == 0) {
    slot = p->slots + 1;
  } else {
    lua_rawgeti(L, -1, slot);
    next_free = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  p->free_slot = next_free;
  if (slot > p->slots) p->slots = slot;
  t->slot = slot;
  t->pool = p;
  t->next = p->transfers;
  if (t->next != NULL) t->next->at = &t->next;
  t->at = &p->transfers;
  p->transfers = t;
}

/* Frees the transfer of the handle at index 1, and gives its place back. */
static void leave(lua_State* L, hcurl_transfer* t) {
  if (t == NULL || t->pool == NULL || t->at == NULL) return;
  hcurl_pool* p = t->pool;
  hcurl_free(t);
  lua_getiuservalue(L, 1, HCURL_HANDLE_POOL);
  lua_getiuservalue(L, -1, 1);
  lua_pushinteger(L, p->free_slot);
  lua_rawseti(L, -2, t->slot);
  p->free_slot = t->slot;
}

/* Pushes the object for Lua code, and on top of it its block. */
static hcurl_transfer* push_transfer(lua_State* L) {
  hcurl_handle* handle = lua_newuserdatauv(L, sizeof *handle, HCURL_HANDLE_VALUES);
  handle->block = NULL;
  luaL_setmetatable(L, HCURL_TRANSFER);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, HCURL_HANDLE_POOL);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, HCURL_HANDLE_OWNER);
  hcurl_transfer* t = lua_newuserdatauv(L, sizeof *t, HCURL_BLOCK_VALUES);
  memset(t, 0, sizeof *t);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -3, HCURL_HANDLE_BLOCK);
  handle->block = t;
  return t;
}

int hcurl_new_transfer(lua_State* L) {
  luaL_checkany(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  hcurl_transfer* t = push_transfer(L);
  enter(L, hcurl_check_pool(L, 1), t); /* checked now: a finalizer may have closed the pool */
  t->easy = curl_easy_init();
  if (t->easy == NULL) return luaL_error(L, "not enough memory");
  hcurl_set_up(L, t);
  CURLcode code = hcurl_set_callbacks(t);
  if (code) return luaL_error(L, "libcurl: %s", curl_easy_strerror(code));
  lua_pop(L, 1);
  return 1;
}

hcurl_transfer* hcurl_check_handle(lua_State* L, int index) {
  return ((hcurl_handle*)luaL_checkudata(L, index, HCURL_TRANSFER))->block;
}

static hcurl_transfer* check(lua_State* L) {
  hcurl_transfer* t = hcurl_check_handle(L, 1);
  if (t == NULL || t->easy == NULL || t->pool == NULL || t->pool->closed) {
    luaL_argerror(L, 1, "the transfer is closed");
  }
  return t;
}

/* t:close(): at once, with its connection if that is in use */
static int transfer_close(lua_State* L) {
  leave(L, hcurl_check_handle(L, 1));
  return 0;
}

/* -- Its state --------------------------------------------------------------------------------- */

/* Whether libcurl has taken all fed bytes, if there are any. */
static bool is_fed(const hcurl_transfer* t) {
  return t->to_send >= 0 || (t->upload_ended && t->uploaded == t->upload.size);
}

/* t:state() → whether the response's head is complete, whether the transfer is done, whether it wants more
 * to send; the number of received bytes; whether libcurl has taken everything to send */
static int transfer_state(lua_State* L) {
  const hcurl_transfer* t = check(L);
  lua_pushboolean(L, t->head_done);
  lua_pushboolean(L, t->done);
  lua_pushboolean(L, t->wants_upload && !t->upload_ended);
  lua_pushinteger(L, (lua_Integer)t->body.size);
  lua_pushboolean(L, is_fed(t));
  return 5;
}

/* t:head() → the final response's status and head, and its trailers; nil before the head is complete */
static int transfer_head(lua_State* L) {
  const hcurl_transfer* t = check(L);
  if (!t->head_done) return 0;
  lua_pushinteger(L, t->status);
  lua_pushlstring(L, t->head.data, t->head.size);
  lua_pushlstring(L, t->trailers.data, t->trailers.size);
  return 3;
}

/* Continues the directions that are not paused; libcurl may call back from here. */
static void unpause(hcurl_transfer* t) {
  int mask = (t->receive_paused ? CURLPAUSE_RECV : 0) | (t->send_paused ? CURLPAUSE_SEND : 0);
  if (!t->added || t->done) return;
  CURLcode code = curl_easy_pause(t->easy, mask);
  if (code != CURLE_OK) {
    /* Paused bytes could not be written: the next step will not report that. */
    t->done = true;
    t->code = code;
    hcurl_changed(t);
  }
}

/* t:take() → the received bytes of the body, or "". Frees their memory. */
static int transfer_take(lua_State* L) {
  hcurl_transfer* t = check(L);
  lua_pushlstring(L, t->body.data, t->body.size);
  hcurl_release(t->pool, &t->body);
  if (t->receive_paused) {
    t->receive_paused = false;
    unpause(t);
  }
  return 1;
}

/* t:feed(bytes): gives bytes to send; t:feed(): ends the body */
static int transfer_feed(lua_State* L) {
  hcurl_transfer* t = check(L);
  size_t size = 0;
  const char* bytes = luaL_optlstring(L, 2, NULL, &size);
  if (t->uploaded == t->upload.size) t->uploaded = t->upload.size = 0;
  if (bytes == NULL) {
    t->upload_ended = true;
  } else if (!hcurl_append(t->pool, &t->upload, bytes, size)) {
    return luaL_error(L, "not enough memory");
  }
  if (size == 0 && bytes != NULL) return 0;
  t->wants_upload = false;
  if (t->send_paused) {
    t->send_paused = false;
    unpause(t);
  }
  return 0;
}

/* t:refuse(): the peer wants no more of the body. libcurl notices this, but not while it is paused. */
static int transfer_refuse(lua_State* L) {
  hcurl_transfer* t = check(L);
  t->wants_upload = false;
  if (t->send_paused) {
    t->send_paused = false;
    unpause(t);
  }
  return 0;
}

static bool is_sent(const hcurl_transfer* t) {
  curl_off_t sent = 0;
  if (t->to_send >= 0) {
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent >= t->to_send;
  }
  return is_fed(t);
}

static bool is_in_handshake(const hcurl_transfer* t) {
  curl_off_t connected_at = 0;
  if (t->handshaking) return true;
  curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected_at);
  return t->secure && connected_at > 0;
}

static const char* phase(hcurl_transfer* t) {
  if (t->head_done) return "reading body";
  if (t->connected) return is_sent(t) ? "awaiting headers" : "sending the request";
  if (!t->connecting) return "resolving";
  if (is_in_handshake(t)) return "TLS handshake";
  return "connecting";
}

/* t:phase() → the phase of the transfer */
static int transfer_phase(lua_State* L) {
  lua_pushstring(L, phase(check(L)));
  return 1;
}

/* t:encoded() → for a body that libcurl decodes: its length as it was sent, its last four bytes as a number
 * (the lowest first), and its decoded length */
static int transfer_encoded(lua_State* L) {
  const hcurl_transfer* t = check(L);
  lua_pushinteger(L, t->decodes ? (lua_Integer)t->encoded : 0);
  lua_pushinteger(L, (lua_Integer)t->last);
  lua_pushinteger(L, (lua_Integer)t->received);
  return 3;
}

/* t:is_unheard() → whether the response shows that the server has not processed the request: a 408 that
 * closes a kept connection is about the time since the last request (RFC 9110, 15.5.9) */
static int transfer_is_unheard(lua_State* L) {
  const hcurl_transfer* t = check(L);
  lua_pushboolean(L, t->head_done && t->kept && t->status == 408 && !t->strict.keep);
  return 1;
}

/* t:is_looking_up() → whether a thread looks up a name for it, as far as is known */
static int transfer_is_looking_up(lua_State* L) {
  const hcurl_transfer* t = check(L);
  lua_pushboolean(L, t->looks_up && !t->connecting && !t->done);
  return 1;
}

/* t:result() → libcurl's code and message, the system's errno, the result of the certificate's check, the
 * failure of this module, and the fault of the response */
static int transfer_result(lua_State* L) {
  static const char* const failures[] = {"",      "memory",  "head",  "body",   "lost",  "dropped",
                                         "stale", "refused", "again", "lookup", "wrong", "cut"};
  const hcurl_transfer* t = check(L);
  long number = 0, verdict = 0;
  curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
  curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
  lua_pushinteger(L, t->code);
  lua_pushstring(L, t->error[0] != '\0' ? t->error : curl_easy_strerror(t->code));
  bool unknown =
      !t->tells_tls && !t->connected && is_in_handshake(t); /* the TLS library does not say */
  if (number == t->passed || unknown) number = 0;
  lua_pushinteger(L, t->no_socket ? t->no_socket : number);
  lua_pushinteger(L, verdict);
  lua_pushstring(L, failures[t->failure]);
  lua_pushstring(L, t->strict.reason);
  return 6;
}

/* t:info() → the address and port of the peer, and the number of connections that were made */
static int transfer_info(lua_State* L) {
  const hcurl_transfer* t = check(L);
  char* ip = NULL;
  long port = 0, connects = 0;
  curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &ip);
  curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port);
  curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
  lua_pushstring(L, ip);
  lua_pushinteger(L, port);
  lua_pushinteger(L, connects);
  return 3;
}

void hcurl_open_transfer(lua_State* L) {
  static const luaL_Reg methods[] = {{"close", transfer_close},
                                     {"state", transfer_state},
                                     {"head", transfer_head},
                                     {"take", transfer_take},
                                     {"feed", transfer_feed},
                                     {"refuse", transfer_refuse},
                                     {"phase", transfer_phase},
                                     {"result", transfer_result},
                                     {"info", transfer_info},
                                     {"encoded", transfer_encoded},
                                     {"is_unheard", transfer_is_unheard},
                                     {"is_looking_up", transfer_is_looking_up},
                                     {NULL, NULL}};
  luaL_newmetatable(L, HCURL_TRANSFER);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, transfer_close);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
