/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "task/check.h"

#ifdef CTX_CHECK
#include "context/context.h"
#include "task/alarm.h"
#include "task/record.h"
#include "task/wait.h"

enum { MOST = 256 }; /* records that one call looks at */

/* What the counters of the state must say. */
typedef struct {
  size_t parked, external;
  size_t tasks, young;         /* those that are certain, */
  size_t running;              /* and those that may have begun, or be at their end */
  size_t queued, spare, spent; /* in the run queue; free, with a thread; free, without */
} tally_t;

#define HOLDS(t, condition) ((condition) ? (void)0 : broken((t), #condition))

static _Noreturn void broken(const lctx_task* t, const char* condition) {
  if (t == NULL) {
    (void)fprintf(stderr, "ctx: the records do not hold: %s\n", condition);
  } else {
    (void)fprintf(stderr, "ctx: a record does not hold: %s (kind %d, state %d, outcome %d, %s)\n",
                  condition, t->kind, t->state, t->outcome, t->what != NULL ? t->what : "no wait");
  }
  abort();
}

static bool is_linked(const lctx_task* t) {
  const lctx_link* link = &t->link;
  if (link->next == NULL) return false;
  HOLDS(t, link->next->prev == link && link->prev->next == link);
  return true;
}

/* Pushes what is in the place onto the shelf, and pops it: what it is stays there. */
static int look(lctx_task* t, enum lctx_place place, const void** pointer) {
  lua_State* shelf = t->S->shelf;
  int type = lua_rawgeti(shelf, lctx_shelf_index(t), lctx_place_index(t, place));
  *pointer = type == LUA_TTHREAD ? lua_tothread(shelf, -1) : lua_touserdata(shelf, -1);
  lua_pop(shelf, 1);
  return type;
}

/* Whether the place ANCHOR keeps the context that is watched. C may have put another node above it
 * since; then it is one of those above. */
static bool keeps_watched(lctx_task* t) {
  lua_State* shelf = t->S->shelf;
  (void)lua_rawgeti(shelf, lctx_shelf_index(t), lctx_place_index(t, LCTX_PLACE_ANCHOR));
  const lctx_context* c = lctx_tocontext(shelf, -1);
  lua_pop(shelf, 1);
  while (c != NULL && c->c != t->watcher.c) c = c->up;
  return c != NULL;
}

static void check_places(lctx_task* t) {
  const void* held;
  HOLDS(t, (look(t, LCTX_PLACE_ANCHOR, &held) != LUA_TNIL) == t->anchored);
  HOLDS(t, !t->packed || (t->anchored && t->state != LCTX_PARKED));
  HOLDS(t, (look(t, LCTX_PLACE_LIST, &held) != LUA_TNIL) == t->listed);
  int thread = look(t, LCTX_PLACE_THREAD, &held);
  HOLDS(t, t->co == NULL ? thread == LUA_TNIL : held == t->co);
  int owner = look(t, LCTX_PLACE_OWNER, &held);
  HOLDS(t, owner == LUA_TNIL || (t->kind == LCTX_TASK && owner == LUA_TUSERDATA));
  if (t->kind != LCTX_FREE && owner == LUA_TUSERDATA && t->owner != NULL)
    HOLDS(t, held == t->owner);
}

static void check_parked(lctx_task* t, tally_t* tally) {
  bool watches = t->watcher.tree != NULL, listed = is_linked(t);
  HOLDS(t, t->wait != NULL && t->what != NULL);
  HOLDS(t, t->outcome == LCTX_NOTHING);
  HOLDS(t, watches || listed || t->alarm != NULL || t->undo_data != NULL || t->wait->external);
  HOLDS(t, t->alarm == NULL || t->alarm->t == t);
  if (watches && t->watcher.c != NULL) HOLDS(t, keeps_watched(t));
  tally->parked++;
  if (t->wait->external) tally->external++;
}

static void check_unparked(const lctx_task* t) {
  HOLDS(t, t->watcher.tree == NULL);
  HOLDS(t, t->alarm == NULL);
}

static void count_task(const lctx_task* t, tally_t* tally) {
  if (t->state == LCTX_RUNNING && t != t->S->current) {
    tally->running++;
  } else {
    tally->tasks++;
    if (t->serial > t->S->since) tally->young++;
  }
}

static void check_used(lctx_task* t, tally_t* tally) {
  bool ready = t->state == LCTX_NEW || t->state == LCTX_READY;
  HOLDS(t, t->kind >= LCTX_TASK && t->kind <= LCTX_MAIN && t->co != NULL);
  if (t->state == LCTX_PARKED) {
    check_parked(t, tally);
  } else {
    check_unparked(t);
    HOLDS(t, is_linked(t) == ready);
  }
  if (ready) tally->queued++;
  if (t->state == LCTX_NEW) HOLDS(t, t->kind == LCTX_TASK && !t->anchored && !t->listed);
  if (t->kind == LCTX_TASK) count_task(t, tally);
}

static void check_free(const lctx_task* t, tally_t* tally) {
  check_unparked(t);
  HOLDS(t, t->kind == LCTX_FREE && is_linked(t) && !t->anchored && !t->listed);
  if (t->co != NULL) {
    HOLDS(t, lua_status(t->co) == LUA_OK || t->S->closed);
    tally->spare++;
  } else {
    tally->spent++;
  }
}

static void check_block(lctx_block* block, tally_t* tally) {
  for (int i = 0; i < LCTX_BLOCK; i++) {
    lctx_task* t = &block->tasks[i];
    check_places(t);
    if ((block->used >> i & 1) != 0) {
      check_used(t, tally);
    } else {
      check_free(t, tally);
    }
  }
}

static size_t length_of(const lctx_link* list) {
  size_t n = 0;
  for (const lctx_link* link = list->next; link != list; link = link->next) n++;
  return n;
}

/* After-funcs stand in the run queue, too, and the mark, if an error has cut a round short. */
static size_t count_ready(const lctx_state* S) {
  size_t n = 0;
  for (lctx_link* link = S->run.next; link != &S->run; link = link->next) {
    if (link != &S->mark && LCTX_CONTAINER(link, lctx_task, link)->kind != LCTX_AFTER) n++;
  }
  return n;
}

static void check_counters(const lctx_state* S, const tally_t* tally) {
  HOLDS(NULL, tally->parked == S->parked);
  HOLDS(NULL, tally->external == S->external);
  HOLDS(NULL, tally->tasks <= S->tasks && S->tasks <= tally->tasks + tally->running);
  HOLDS(NULL, tally->young <= S->young && S->young <= tally->young + tally->running);
  HOLDS(NULL, tally->queued == count_ready(S));
  HOLDS(NULL, tally->spare == S->spares && tally->spare == length_of(&S->spare));
  HOLDS(NULL, tally->spent == length_of(&S->bare));
}

void lctx_check_records(lctx_state* S) {
  if (S->closed || S->shelf == NULL) return;
  int blocks = lua_gettop(S->shelf), some = blocks;
  if (some > MOST / LCTX_BLOCK) some = MOST / LCTX_BLOCK;
  tally_t tally = {0};
  for (int i = 0; i < some; i++) {
    int number = (int)(S->checked++ % (unsigned)blocks) + 1;
    if (!lua_istable(S->shelf, number)) continue;
    lua_rawgeti(S->shelf, number, LCTX_PLACE_BLOCK);
    lctx_block* block = (lctx_block*)lua_touserdata(S->shelf, -1);
    lua_pop(S->shelf, 1);
    check_block(block, &tally);
  }
  if (some == blocks) check_counters(S, &tally);
}
#endif
