/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "task/record.h"

#include "task/alarm.h"
#include "task/gone.h"

enum { SPARES = 1024 }; /* threads kept for later tasks: a wave of a million is let go */
enum { IDLE = SPARES / LCTX_BLOCK }; /* blocks kept for later */
enum { ROOM = LUA_MINSTACK };        /* on the shelf, above the tables */

/* -- Blocks ------------------------------------------------------------------------------------ */

/* The lowest number that no block has: the shelf stays as short as can be. */
static uint32_t free_number(lctx_state* S) {
  uint32_t number = S->free_block, top = (uint32_t)lua_gettop(S->shelf);
  while (number <= top && lua_istable(S->shelf, (int)number)) number++;
  return number;
}

/* Makes a block of bare records. They are Lua's memory, so that whatever still points to one when the
 * state closes points to something. */
static void grow(lua_State* L, lctx_state* S) {
  lua_createtable(L, LCTX_PLACE_BLOCK, 0);
  lctx_block* block = (lctx_block*)lua_newuserdatauv(L, sizeof *block, 0);
  memset(block, 0, sizeof *block);
  lua_rawseti(L, -2, LCTX_PLACE_BLOCK);
  if (!lua_checkstack(S->shelf, ROOM)) luaL_error(L, "not enough memory");
  /* From here on nothing can fail, and nothing else can run. */
  block->number = free_number(S);
  S->free_block = block->number + 1;
  lua_xmove(L, S->shelf, 1);
  if ((uint32_t)lua_gettop(S->shelf) > block->number) lua_replace(S->shelf, (int)block->number);
  for (uint32_t i = 0; i < LCTX_BLOCK; i++) {
    block->tasks[i].S = S;
    block->tasks[i].slot = (block->number - 1) * LCTX_BLOCK + i + 1;
    lctx_list_append(&S->bare, &block->tasks[i].link);
  }
  S->records += LCTX_BLOCK;
  S->idle++;
}

/* Gives an idle block back to Lua, with the threads of its records. */
static void give_back(lctx_state* S, lctx_block* block) {
  for (int i = 0; i < LCTX_BLOCK; i++) {
    if (block->tasks[i].co != NULL) S->spares--;
    lctx_list_remove(&block->tasks[i].link);
  }
  lua_pushnil(S->shelf);
  lua_replace(S->shelf, (int)block->number);
  while (lua_gettop(S->shelf) > 0 && lua_isnil(S->shelf, -1)) lua_pop(S->shelf, 1);
  if (block->number < S->free_block) S->free_block = block->number;
  S->records -= LCTX_BLOCK;
  if (S->reclaim_at > S->records * 2) S->reclaim_at = S->records * 2;
  S->idle--;
}

static lctx_task* use(lctx_task* t) {
  lctx_block* block = lctx_block_of(t);
  lctx_list_remove(&t->link);
  if (block->used == 0) t->S->idle--;
  block->used |= UINT64_C(1) << lctx_index(t);
  return t;
}

static lctx_block* block_at(lctx_state* S, int number) {
  if (!lua_istable(S->shelf, number)) return NULL;
  lua_rawgeti(S->shelf, number, LCTX_PLACE_BLOCK);
  return (lctx_block*)lua_touserdata(S->shelf, -1);
}

void lctx_each_record(lua_State* L, lctx_state* S, lctx_record_fn fn) {
  luaL_checkstack(L, LUA_MINSTACK, "ctx");
  for (int number = 1; number <= lua_gettop(S->shelf); number++) {
    lctx_block* block = block_at(S, number);
    if (block == NULL) continue;
    lua_xmove(S->shelf, L, 1); /* keeps it, should it be given back meanwhile */
    uint64_t used = block->used;
    for (int i = 0; used != 0; i++, used >>= 1) {
      if ((used & 1) != 0 && block->tasks[i].kind != LCTX_FREE) fn(L, &block->tasks[i]);
    }
    lua_pop(L, 1);
  }
}

void lctx_close_records(lctx_state* S) {
  if (S->shelf == NULL) return;
  for (int number = lua_gettop(S->shelf); number > 0; number--) {
    lctx_block* block = block_at(S, number);
    if (block == NULL) continue;
    lua_pop(S->shelf, 1);
    for (int i = 0; i < LCTX_BLOCK; i++) lctx_disarm(&block->tasks[i]);
  }
}

/* -- Records ----------------------------------------------------------------------------------- */

/* A record without a thread; that is the value on top, which is popped. */
static lctx_task* take_bare(lua_State* L, lctx_state* S) {
  if (lctx_list_empty(&S->bare) && S->records >= S->reclaim_at) {
    /* Rarer than the records are many, so that it costs each of them next to nothing. */
    S->reclaim_at = S->records * 2;
    lctx_reclaim_all(L, S);
  }
  if (lctx_list_empty(&S->bare)) grow(L, S);
  lctx_task* t = LCTX_CONTAINER(S->bare.next, lctx_task, link);
  t->co = lua_tothread(L, -1);
  lctx_put(L, t, LCTX_PLACE_THREAD);
  return use(t);
}

static lctx_task* take_spare(lctx_state* S) {
  lctx_task* t = LCTX_CONTAINER(S->spare.next, lctx_task, link);
  S->spares--;
  return use(t);
}

static lctx_task* ready_made(lctx_task* t, enum lctx_task_kind kind) {
  t->kind = (uint8_t)kind;
  t->serial = ++t->S->serial;
  t->state = LCTX_RUNNING;
  t->outcome = LCTX_NOTHING;
  t->nargs = 0;
  t->failed = t->packed = t->spawned = false;
  t->what = NULL;
  t->owner = NULL;
  return t;
}

lctx_task* lctx_task_new(lua_State* L, lctx_state* S, enum lctx_task_kind kind, lua_State* co) {
  if (kind == LCTX_TASK) {
    if (!lctx_list_empty(&S->spare)) return ready_made(take_spare(S), kind);
    lua_newthread(L);
  } else {
    lua_pushthread(co);
    lua_xmove(co, L, 1);
  }
  return ready_made(take_bare(L, S), kind);
}

void lctx_task_free(lctx_task* t) {
  lctx_state* S = t->S;
  lctx_block* block = lctx_block_of(t);
  bool keep = t->kind == LCTX_TASK && S->spares < SPARES && lua_status(t->co) == LUA_OK;
  t->kind = LCTX_FREE;
  t->ticket++;
  lctx_let_go(t);
  if (keep) {
    if (lua_gethook(t->co) != NULL) lua_sethook(t->co, NULL, 0, 0);
    S->spares++;
    lctx_list_prepend(&S->spare, &t->link); /* the one used last is the one in the cache */
  } else {
    lctx_empty(t, LCTX_PLACE_THREAD);
    t->co = NULL;
    lctx_list_prepend(&S->bare, &t->link);
  }
  block->used &= ~(UINT64_C(1) << lctx_index(t));
  if (block->used == 0 && ++S->idle > IDLE) give_back(S, block);
}

void lctx_open_record(lua_State* L, lctx_state* S) {
  lctx_list_init(&S->spare);
  lctx_list_init(&S->bare);
  S->free_block = 1;
  S->shelf = lua_newthread(L);
  lctx_setref(L, S, LCTX_REF_SHELF);
}
