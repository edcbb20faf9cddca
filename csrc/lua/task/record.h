/* SPDX-License-Identifier: MIT */
/* May include: ground, task. */
#pragma once

/* Records: what the scheduler knows of a coroutine, and what that keeps alive while it needs it.
 *
 * Records come in blocks. A block is a userdata, and its records' places, which hold Lua values, are
 * in one table, which also holds the block. The tables stand on the stack of a thread of their own,
 * the shelf, by the number of their block. So they are at hand in any function, without a look into
 * the registry; and since a table is made with all its places, filling one allocates nothing and
 * raises no error, which on the shelf nobody would catch.
 *
 * Few blocks without a used record are kept: what a wave of tasks needed is given back when it is over,
 * and a walk over the records costs what is there, not what once was. So only what keeps the block, too,
 * and compares the ticket may keep a raw pointer to a record that is not used.
 *
 * Invariants. They hold whenever Lua code may run; check.c checks them after each turn.
 *
 *   kind     state             the link is in            places besides THREAD   counted in
 *   -------  ----------------  ------------------------  ----------------------  ------------------
 *   FREE     (any), with a co  S->spare                  none                    spares
 *   FREE     (any), without    S->bare                   none; THREAD is empty   -
 *   TASK     RUNNING           none; it is prepared,     OWNER                   tasks, if it is
 *                              S->current, or ends                               S->current
 *   TASK     NEW               S->run                    OWNER                   tasks
 *   TASK     READY             S->run                    OWNER, ANCHOR, LIST     tasks
 *   TASK     STARTING          none                      OWNER                   tasks
 *   TASK     PARKED            none, S->turn or a list   OWNER, ANCHOR, LIST     tasks, parked, external
 *                              of what LIST holds
 *   FOREIGN, MAIN              as a TASK in that state, without an OWNER; never NEW
 *
 * - `young` counts the `tasks` whose serial is higher than S->since; `external` the parked ones whose
 *   wait is. A task at its end is counted until its handle, or its group, is told.
 * - The watcher and the alarm are in use only while PARKED; what wakes a record takes back both.
 * - A PARKED one has a wait, a `what`, no outcome yet, and something that can wake it: the watcher,
 *   the alarm, a list, an acquire in `undo_data`, or something outside.
 * - While the watcher is in its context's list, ANCHOR holds that context or one below it.
 * - ANCHOR and LIST are filled exactly if `anchored` and `listed` say so. OWNER is the group, if the task
 *   has one; else its handle, or nothing, as with an after-func.
 * - THREAD is `co`. A spare's has ended without an error: it takes another function.
 * - A `packed` one has been woken, and has the table of its results at ANCHOR.
 * - A NEW one has its function and `nargs` - 1 other values on its stack, unless another caller has
 *   changed that.
 * - The ticket rises whenever a wait ends, and never falls. */
#include "state.h"

/* -- One coroutine that the scheduler may resume ---------------------------------------------- */

enum lctx_task_kind {
  LCTX_FREE,
  LCTX_TASK,    /* made by ctx.go; its thread is pooled */
  LCTX_FOREIGN, /* a coroutine of somebody else's, while it waits */
  LCTX_MAIN,    /* the main thread, while it waits */
  LCTX_AFTER    /* no task yet: an after-func whose turn will come */
};

enum lctx_task_state {
  LCTX_NEW,   /* in the run queue, never resumed */
  LCTX_READY, /* in the run queue */
  LCTX_RUNNING,
  LCTX_STARTING, /* in ctx.await's start function: may be woken, but is not parked */
  LCTX_PARKED
};

enum lctx_outcome {
  LCTX_NOTHING, /* not woken */
  LCTX_ENDED,   /* the context is done */
  LCTX_DUE,     /* the time is over */
  LCTX_VALUES   /* with results: on the coroutine's stack, or packed */
};

/* What a task belongs to, and leaves its results or its error to: begins with its kind. */
typedef struct {
  void (*over)(lua_State* L, lctx_task* t, int nresults); /* they are on its stack */
} lctx_owner_kind;
typedef struct {
  const lctx_owner_kind* kind;
} lctx_owner;

/* What stands in the run queue begins with a link and a kind: a task's record, or an lctx_after. */
struct lctx_task {
  lctx_link link; /* in the run queue, a list of waiters, or a list of records that are not used */
  uint8_t kind, state, outcome;
  /* Bits: the record is part of what a parked task costs. */
  bool failed : 1, packed : 1;
  bool anchored : 1; /* has what it waits on at LCTX_PLACE_ANCHOR */
  bool listed : 1;   /* has something at LCTX_PLACE_LIST */
  bool spawned : 1;  /* has the line that started it at LCTX_REF_SPAWNS */
  uint32_t slot;
  lua_State* co;
  ctx_watcher_t watcher;
  lctx_alarm* alarm; /* while it sleeps; else NULL */
  lctx_state* S;
  const char* what;                  /* what it waits in, for reports */
  const struct lctx_wait_kind* wait; /* how; NULL once it knows that it is over */
  void* undo_data;
  const lctx_owner* owner; /* hears of its end */
  uint64_t ticket; /* rises with each wait: what was meant for an earlier one comes too late */
  uint64_t serial; /* of this use of the record: a later one has a higher number */
  int nargs;       /* values on the coroutine's stack for the next resume */
};

/* -- Blocks of them, and their places --------------------------------------------------------- */

enum { LCTX_BLOCK = 64 }; /* bits of `used` */

typedef struct {
  uint32_t number; /* on the shelf */
  uint64_t used;   /* a bit for each record that is */
  lctx_task tasks[LCTX_BLOCK];
} lctx_block;

enum lctx_place {
  LCTX_PLACE_THREAD,
  LCTX_PLACE_ANCHOR, /* what the coroutine waits on; once it is woken, perhaps packed results */
  LCTX_PLACE_LIST,   /* the owner of the list that it stands in; or what aborts an await */
  LCTX_PLACE_OWNER,  /* the task's handle, or its group, until it is over */
  LCTX_PLACES
};
enum { LCTX_PLACE_BLOCK = LCTX_PLACES * LCTX_BLOCK + 1 };

static inline uint32_t lctx_index(const lctx_task* t) {
  return (t->slot - 1) % LCTX_BLOCK;
}
static inline lctx_block* lctx_block_of(lctx_task* t) {
  return LCTX_CONTAINER(t - lctx_index(t), lctx_block, tasks);
}
/* Where on the shelf the record's table is, and where in that the place. */
static inline int lctx_shelf_index(const lctx_task* t) {
  return (int)((t->slot - 1) / LCTX_BLOCK + 1);
}
static inline lua_Integer lctx_place_index(const lctx_task* t, enum lctx_place place) {
  return (lua_Integer)(lctx_index(t) * LCTX_PLACES + place + 1);
}

/* Puts the value on top into the record's place; pops it. */
static inline void lctx_put(lua_State* L, lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  lua_xmove(L, shelf, 1);
  lua_rawseti(shelf, lctx_shelf_index(t), lctx_place_index(t, place));
}
/* Pushes what is in the record's place; returns its type. */
static inline int lctx_pushplace(lua_State* L, lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  int type = lua_rawgeti(shelf, lctx_shelf_index(t), lctx_place_index(t, place));
  lua_xmove(shelf, L, 1);
  return type;
}
static inline void lctx_empty(lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  lua_pushnil(shelf);
  lua_rawseti(shelf, lctx_shelf_index(t), lctx_place_index(t, place));
}
/* Lets go of what the coroutine waited on, and of the owner of the list that it stood in. */
static inline void lctx_let_go(lctx_task* t) {
  if (t->anchored) lctx_empty(t, LCTX_PLACE_ANCHOR);
  if (t->listed) lctx_empty(t, LCTX_PLACE_LIST);
  t->anchored = t->listed = t->packed = false;
}
/* Pushes the block of the record: while it is kept one may look at the record's ticket for ever. */
static inline void lctx_pushblock(lua_State* L, const lctx_task* t) {
  lua_State* shelf = t->S->shelf;
  lua_rawgeti(shelf, lctx_shelf_index(t), LCTX_PLACE_BLOCK);
  lua_xmove(shelf, L, 1);
}

/* A used record for the coroutine that waits, or for a task, which then has a thread. May raise. */
lctx_task* lctx_task_new(lua_State* L, lctx_state* S, enum lctx_task_kind kind, lua_State* co);
/* Afterwards the record may belong to another, or be gone as soon as anything is allocated. */
void lctx_task_free(lctx_task* t);
/* Calls fn for every record that is used, also if fn frees some. */
typedef void (*lctx_record_fn)(lua_State* L, lctx_task* t);
void lctx_each_record(lua_State* L, lctx_state* S, lctx_record_fn fn);
/* What is not Lua's memory goes; the records stay, since what waits may still be met. */
void lctx_close_records(lctx_state* S);
