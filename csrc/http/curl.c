/* SPDX-License-Identifier: MIT */
/* ctx.http.curl: libcurl's multi interface, driven by a loop in Lua. */
#include "curl_module.h"

#include <string.h>

/* -- What libcurl calls ------------------------------------------------------------------------ */

static int on_timer(CURLM* multi, long timeout_ms, void* data) {
  (void)multi;
  hcurl_pool* p = data;
  p->timeout_ms = timeout_ms;
  p->timeout_new = true;
  return 0;
}

void hcurl_changed(hcurl_transfer* t) {
  hcurl_pool* p = t->pool;
  if (t->in_changed || p == NULL) return;
  t->in_changed = true;
  t->next_changed = NULL;
  *p->changed_end = t;
  p->changed_end = &t->next_changed;
}

/* -- Pools ------------------------------------------------------------------------------------- */

/* Closes libcurl's part of the pool, and so all connections. */
static void close_connections(hcurl_pool* p) {
  if (p->multi != NULL) (void)curl_multi_cleanup(p->multi);
  p->multi = NULL;
  hcurl_free_connections(p);
}

/* The same, and all other descriptors. */
static void close_multi(hcurl_pool* p) {
  close_connections(p);
  hcurl_close_sockets(p);
  p->timeout_ms = -1;
}

/* Frees everything of the pool at index 1, and ends its transfers. Calling it again does nothing. */
static void close_pool(lua_State* L, hcurl_pool* p) {
  p->closed = true;
  while (p->transfers != NULL) {
    hcurl_transfer* t = p->transfers;
    hcurl_free(t);
    t->pool = NULL;
  }
  close_multi(p);
  if (p->share != NULL) (void)curl_share_cleanup(p->share);
  p->share = NULL;
  p->changed = NULL;
  p->changed_end = &p->changed;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
}

hcurl_pool* hcurl_check_pool(lua_State* L, int index) {
  hcurl_pool* p = luaL_checkudata(L, index, HCURL_POOL);
  if (p->closed) luaL_argerror(L, index, "the pool is closed");
  return p;
}

static long opt_count(lua_State* L, const char* name) {
  lua_getfield(L, 1, name);
  lua_Integer n = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return (long)n;
}

/* curl.pool{ max_idle =, max_per_host =, max_total =, apart = }: 0 or nil is libcurl's own choice.
 * `apart`: without a common descriptor. A pool without transfers and connections has no descriptor. */
static int new_pool(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  hcurl_pool* p = lua_newuserdatauv(L, sizeof *p, 1);
  memset(p, 0, sizeof *p);
  p->guard.from = -1;
  p->epoll_fd = -1;
  p->timeout_ms = -1;
  p->changed_end = &p->changed;
  p->alloc = lua_getallocf(L, &p->alloc_data);
  luaL_setmetatable(L, HCURL_POOL);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  p->max_idle = opt_count(L, "max_idle");
  p->max_per_host = opt_count(L, "max_per_host");
  p->max_total = opt_count(L, "max_total");
  lua_getfield(L, 1, "apart");
  p->apart = lua_toboolean(L, -1);
  lua_pop(L, 1);
  p->loses_zeros = curl_version_info(CURLVERSION_NOW)->version_num < 0x080e00;
  p->share = curl_share_init();
  if (p->share == NULL) return luaL_error(L, "not enough memory");
  /* The cache of names stays when everything else is closed. */
  if (curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK)
    return luaL_error(L, "libcurl: names cannot be shared");
  return 1;
}

static CURLMcode set_multi(hcurl_pool* p) {
  CURLM* m = p->multi;
  CURLMcode code = curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, hcurl_on_socket);
  if (!code) code = curl_multi_setopt(m, CURLMOPT_SOCKETDATA, p);
  if (!code) code = curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer);
  if (!code) code = curl_multi_setopt(m, CURLMOPT_TIMERDATA, p);
  if (!code) code = curl_multi_setopt(m, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  if (!code && p->max_idle > 0) code = curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, p->max_idle);
  if (!code && p->max_per_host > 0)
    code = curl_multi_setopt(m, CURLMOPT_MAX_HOST_CONNECTIONS, p->max_per_host);
  if (!code && p->max_total > 0)
    code = curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, p->max_total);
  return code;
}

/* Opens libcurl's part of the pool, if it is not open. */
static CURLMcode open_multi(hcurl_pool* p) {
  hcurl_guard guard = {.from = -1};
  if (p->multi != NULL) return CURLM_OK;
  if (!p->apart && p->epoll_fd < 0) hcurl_open_sockets(p);
  hcurl_expect_descriptors(&guard);
  p->multi = curl_multi_init();
  hcurl_guard_descriptors(&guard); /* the pair of sockets by which another thread could wake it */
  CURLMcode code = p->multi == NULL ? CURLM_OUT_OF_MEMORY : set_multi(p);
  if (code != CURLM_OK) close_multi(p);
  return code;
}

/* The transfers that libcurl has finished. */
static void hear_ends(hcurl_pool* p) {
  int left;
  CURLMsg* message;
  while ((message = curl_multi_info_read(p->multi, &left)) != NULL) {
    char* found = NULL;
    if (message->msg != CURLMSG_DONE) continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &found);
    hcurl_transfer* t = (hcurl_transfer*)(void*)found;
    if (t == NULL) continue; /* the transfer of hcurl_sweep */
    t->done = true;
    t->code = message->data.result;
    hcurl_conclude(t);
    hcurl_end_connections(t);
    hcurl_changed(t);
  }
}

/* → true, or nil and why this pool cannot go on */
static int outcome(lua_State* L, hcurl_pool* p, CURLMcode code) {
  if (code == CURLM_OK) hear_ends(p);
  hcurl_guard_descriptors(&p->guard);
  hcurl_settle(p);
  if (code == CURLM_OK && !p->lost) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, code ? curl_multi_strerror(code) : curl_multi_strerror(CURLM_OUT_OF_MEMORY));
  return 2;
}

/* pool:add(transfer): begins; action(-1) makes the first step */
static int pool_add(lua_State* L) {
  hcurl_pool* p = hcurl_check_pool(L, 1);
  hcurl_transfer* t = hcurl_check_handle(L, 2);
  luaL_argcheck(L, t != NULL && t->easy != NULL && t->pool == p && !t->added, 2,
                "not one that may begin");
  lua_getiuservalue(L, 2, HCURL_HANDLE_BLOCK);
  lua_getiuservalue(L, 2, HCURL_HANDLE_OWNER);
  lua_setiuservalue(L, -2, HCURL_BLOCK_OWNER); /* found by an event, and kept until then */
  CURLMcode code = open_multi(p);
  if (code == CURLM_OK) code = curl_multi_add_handle(p->multi, t->easy);
  t->added = code == CURLM_OK;
  return outcome(L, p, code);
}

CURLMcode hcurl_act(hcurl_pool* p, curl_socket_t fd, int events, bool failed) {
  int running;
  hcurl_connection* c = hcurl_connection_of(p, fd);
  bool looks = p->loses_zeros && (events & CURL_CSELECT_IN) && !failed;
  hcurl_transfer* t = looks && hcurl_begins_with_zero(c) ? c->reader : NULL;
  CURLMcode code = curl_multi_socket_action(p->multi, fd, events, &running);
  if (t != NULL && !t->head_done && t->failure == HCURL_FINE) {
    t->strict.reason = "a zero byte begins a line";
    hcurl_refuse(t, HCURL_WRONG);
  }
  return code;
}

/* pool:action([fd, events]): the descriptor has these events, or time has passed. Events: 1 to read, 2
 * to write, 4 an error */
static int pool_action(lua_State* L) {
  hcurl_pool* p = hcurl_check_pool(L, 1);
  lua_Integer fd = luaL_optinteger(L, 2, -1);
  int events = (int)luaL_optinteger(L, 3, 0);
  hcurl_connection* c = hcurl_connection_of(p, (curl_socket_t)fd);
  if (fd >= 0 && fd == p->epoll_fd) return outcome(L, p, hcurl_poll(p));
  if (c != NULL && c->idle) {
    hcurl_spoil(c);
    return outcome(L, p, CURLM_OK);
  }
  /* If it is told of an error, libcurl ends the transfer without a reason; it finds the reason by
   * reading. */
  bool failed = events & CURL_CSELECT_ERR;
  if (failed) events = CURL_CSELECT_IN | CURL_CSELECT_OUT;
  return outcome(L, p,
                 hcurl_act(p, fd < 0 ? CURL_SOCKET_TIMEOUT : (curl_socket_t)fd, events, failed));
}

/* pool:frames() → whether a transfer in progress may use HTTP/2 */
static int pool_frames(lua_State* L) {
  const hcurl_transfer* t = hcurl_check_pool(L, 1)->transfers;
  while (t != NULL && !(t->added && !t->done && t->strict.framed)) t = t->next;
  lua_pushboolean(L, t != NULL);
  return 1;
}

/* pool:poke(): lets libcurl read again from each HTTP/2 connection. 7.88 may keep bytes that it has
 * read from the socket and not use them, and no event will come for those. */
static int pool_poke(lua_State* L) {
  hcurl_pool* p = hcurl_check_pool(L, 1);
  CURLMcode code = CURLM_OK;
  for (size_t fd = 0; fd < p->descriptors && code == CURLM_OK; fd++) {
    const hcurl_connection* c = p->by_fd[fd];
    bool reads = c != NULL && c->multiplexed && c->users > 0;
    if (reads) code = hcurl_act(p, (curl_socket_t)fd, CURL_CSELECT_IN, false);
  }
  return outcome(L, p, code);
}

/* pool:kept() → the numbers of idle connections, and of spoiled ones that are still open */
static int pool_kept(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  hcurl_settle(p);
  lua_pushinteger(L, (lua_Integer)p->idle);
  lua_pushinteger(L, (lua_Integer)p->spoiled);
  return 2;
}

/* pool:sweep(): closes the spoiled ones, except those of the last second */
static int pool_sweep(lua_State* L) {
  hcurl_pool* p = hcurl_check_pool(L, 1);
  return outcome(L, p, hcurl_sweep(p));
}

/* pool:rest(): closes the connections and all descriptors, until the next transfer begins. Does nothing
 * while there is a transfer. */
static int pool_rest(lua_State* L) {
  hcurl_pool* p = hcurl_check_pool(L, 1);
  if (p->transfers == NULL) close_multi(p);
  return 0;
}

/* pool:abandon(): ends the connections of a client that was collected. Descriptors that the loop watches
 * stay open: the common one, or else that of each connection. */
static int pool_abandon(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  if (p->transfers != NULL) return 0;
  if (p->epoll_fd >= 0) {
    close_connections(p);
  } else {
    hcurl_shut_connections(p);
  }
  return 0;
}

/* pool:fd() → the descriptor to watch, to read; nil: see socket() */
static int pool_fd(lua_State* L) {
  const hcurl_pool* p = hcurl_check_pool(L, 1);
  if (p->epoll_fd < 0) return 0;
  lua_pushinteger(L, p->epoll_fd);
  return 1;
}

/* pool:timeout() → ms until action() is due, -1: never; nil: not changed since the last call */
static int pool_timeout(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  if (!p->timeout_new) return 0;
  p->timeout_new = false;
  lua_pushinteger(L, p->timeout_ms);
  return 1;
}

/* pool:socket() → a descriptor whose events have changed, the events (1 to read, 2 to write, 0 none), and
 * whether the descriptor may be another file now; nil when there is no more */
static int pool_socket(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  if (p->dirty == 0) return 0;
  hcurl_socket* s = p->sockets;
  while (!s->dirty) s++;
  bool gone = s->want == CURL_POLL_REMOVE;
  lua_pushinteger(L, (lua_Integer)s->fd);
  lua_pushinteger(L, gone ? 0 : s->want);
  lua_pushboolean(L, s->renewed);
  p->dirty--;
  s->dirty = s->renewed = false;
  if (gone) *s = p->sockets[--p->count];
  return 3;
}

/* pool:again(): all events and the timeout count as changed */
static int pool_again(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  for (size_t i = 0; i < p->count; i++) p->sockets[i].dirty = true;
  p->dirty = p->count;
  p->timeout_new = true;
  return 0;
}

/* pool:event() → the owner of a transfer that has changed; nil when there is none */
static int pool_event(lua_State* L) {
  hcurl_pool* p = luaL_checkudata(L, 1, HCURL_POOL);
  hcurl_transfer* t = p->changed;
  if (t == NULL) return 0;
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, t->slot);
  lua_getiuservalue(L, -1, HCURL_BLOCK_OWNER);
  p->changed = t->next_changed;
  if (p->changed == NULL) p->changed_end = &p->changed;
  t->in_changed = false;
  return 1;
}

static int pool_close(lua_State* L) {
  close_pool(L, luaL_checkudata(L, 1, HCURL_POOL));
  return 0;
}

static void open_pool(lua_State* L) {
  static const luaL_Reg methods[] = {{"transfer", hcurl_new_transfer},
                                     {"add", pool_add},
                                     {"action", pool_action},
                                     {"timeout", pool_timeout},
                                     {"socket", pool_socket},
                                     {"again", pool_again},
                                     {"event", pool_event},
                                     {"fd", pool_fd},
                                     {"kept", pool_kept},
                                     {"sweep", pool_sweep},
                                     {"rest", pool_rest},
                                     {"poke", pool_poke},
                                     {"frames", pool_frames},
                                     {"abandon", pool_abandon},
                                     {"close", pool_close},
                                     {NULL, NULL}};
  luaL_newmetatable(L, HCURL_POOL);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, pool_close);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

__attribute__((visibility("default"))) LUALIB_API int luaopen_ctx_http_curl(lua_State* L) {
  static const luaL_Reg functions[] = {{"pool", new_pool}, {"judge", hcurl_judge}, {NULL, NULL}};
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return luaL_error(L, "libcurl: no start");
  open_pool(L);
  hcurl_open_transfer(L);
  luaL_newlib(L, functions);
  hcurl_open_text(L);
  return 1;
}
