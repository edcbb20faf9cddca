/* SPDX-License-Identifier: MIT */
/* A program in C whose requests are answered by a Lua script: C derives a context for each, hands
 * it to the script, and cancels it from another thread when the client hangs up.
 *
 * Usage: server     (built with the project; Lua must find the modules ctx and luv, so for instance
 *                    LUA_PATH="lua/?.lua;lua/?/init.lua;;" build/examples/server)
 *
 * Exits 0 only if each request ended as it must. The requests are made up here, and their clients
 * are threads, so that nothing distracts from the contexts. */

#include <ctx/lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* What a Lua program would do. `work_ms` stands for queries and calls to other servers. */
static const char script[] = "local ctx = require('ctx')\n"
                             "local began, respond = ...\n"
                             "return function(c, request, work_ms)\n"
                             "  began(request)\n"
                             "  if ctx.sleep(c, work_ms) then\n"
                             "    respond(request, '200 OK')\n"
                             "  else\n"
                             "    respond(request, '503 ' .. tostring(c:cause()))\n"
                             "  end\n"
                             "end\n";

/* -- Requests and their clients ---------------------------------------------------------- */

/* The caller of the library owns this memory, context included. */
typedef struct request_s {
  const char* path;
  unsigned work_ms, timeout_ms;
  bool hangs_up;
  const char* expected;
  ctx_t c;
  ctx_flag_t* flag;
  pthread_t client;
  bool has_client; /* `client` runs and is to be joined */
  bool as_expected;
} request_t;

static request_t requests[] = {
    {.path = "/quick", .work_ms = 10, .timeout_ms = 5000, .expected = "200 OK"},
    {.path = "/slow",
     .work_ms = 60000,
     .timeout_ms = 50,
     .expected = "503 context deadline exceeded"},
    {.path = "/left",
     .work_ms = 60000,
     .timeout_ms = 5000,
     .hangs_up = true,
     .expected = "503 the client has hung up"},
};
enum { COUNT = sizeof requests / sizeof requests[0] };

static const char* hung_up_message(const ctx_cause_t* cause) {
  (void)cause;
  return "the client has hung up";
}

/* In static memory: there is nothing to retain or release. */
static const ctx_cause_ops_t hung_up_ops = {NULL, NULL, hung_up_message};
static ctx_cause_t hung_up = {&hung_up_ops};

/* On the client's thread, which has the flag and nothing else. */
static void* hang_up(void* arg) {
  request_t* r = arg;
  ctx_cancel_async(r->flag, &hung_up);
  return NULL;
}

/* -- What the script calls ----------------------------------------------------------------- */

/* began(request) */
static int began(lua_State* L) {
  request_t* r = lua_touserdata(L, 1);
  printf("%-8s begins\n", r->path);
  if (r->hangs_up) r->has_client = pthread_create(&r->client, NULL, hang_up, r) == 0;
  return 0;
}

/* respond(request, text) */
static int respond(lua_State* L) {
  request_t* r = lua_touserdata(L, 1);
  const char* text = luaL_checkstring(L, 2);
  printf("%-8s %s\n", r->path, text);
  r->as_expected = strcmp(text, r->expected) == 0;
  return 0;
}

/* -- The server ---------------------------------------------------------------------------- */

/* Calls ctx.go(handler, context, request, work_ms); the handler is at stack index 1. */
static void start(lua_State* L, request_t* r) {
  ctx_tree_t* tree = ctx_lua_tree(L);
  uint64_t deadline_ns = ctx_time_add(ctx_now(tree), r->timeout_ms * NS_PER_MS);
  ctx_with_deadline(&r->c, ctx_background(tree), deadline_ns, NULL);
  r->flag = ctx_share(&r->c);
  if (!r->flag) luaL_error(L, "out of memory");
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "ctx");
  lua_getfield(L, -1, "go");
  lua_pushvalue(L, 1);
  ctx_lua_push(L, &r->c);
  lua_pushlightuserdata(L, r);
  lua_pushinteger(L, r->work_ms);
  lua_call(L, 4, 0);
  lua_settop(L, 1);
}

/* Runs within lua_pcall: all that may raise is here. */
static int serve(lua_State* L) {
  luaL_openlibs(L);
  luaL_requiref(L, "ctx.core", luaopen_ctx_core, 0);
  if (luaL_loadbuffer(L, script, sizeof script - 1, "=script")) lua_error(L);
  lua_pushcfunction(L, began);
  lua_pushcfunction(L, respond);
  lua_call(L, 2, 1); /* the script returns its handler */
  lua_replace(L, 1);
  lua_settop(L, 1);
  for (unsigned i = 0; i < COUNT; i++) start(L, &requests[i]);
  /* The loop of this state is luv's; it runs until no task waits any more. */
  lua_getglobal(L, "require");
  lua_pushliteral(L, "luv");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "run");
  lua_call(L, 0, 0);
  return 0;
}

/* Before lua_close, while the tree is still there. */
static bool end(request_t* r) {
  if (r->has_client) pthread_join(r->client, NULL);
  if (r->flag) {
    ctx_flag_release(r->flag);
    ctx_release(&r->c);
  }
  return r->as_expected;
}

int main(void) {
  bool ok = true;
  lua_State* L = luaL_newstate();
  if (!L) return 1;
  lua_pushcfunction(L, serve);
  lua_pushnil(L); /* the place of the handler */
  if (lua_pcall(L, 1, 0, 0)) {
    fprintf(stderr, "server: %s\n", lua_tostring(L, -1));
    ok = false;
  }
  for (unsigned i = 0; i < COUNT; i++) ok = end(&requests[i]) && ok;
  lua_close(L);
  printf("%s\n", ok ? "all as it must" : "not as it must");
  return ok ? 0 : 1;
}
