/* SPDX-License-Identifier: MIT */
/* May include: ground. */
#pragma once

/* Shared by the files of the binding.
 *
 * Memory. The garbage collector frees contexts, cancels and tasks, most without a finalizer. That is safe
 * because a context is linked into the core's tree only while something watches it (ctx.h), and the
 * watcher anchors it: a parked coroutine in its record's places, an after-func in a slot. A context
 * refers to its parent by its first user value, so raw pointers to ancestors are valid.
 *
 * The law: nothing that C links needs a finalizer to be unlinked, since Lua may lose a finalizer and then
 * frees the object. A node that a finalizer unlinks is in memory that is anchored until then (shelter.h).
 * A lost finalizer leaks memory, but no pointer dangles.
 *
 * Order. First comes everything that may raise, allocate or run Lua, which includes every step that
 * makes an object: finalizers run there. Then come the last check and the registration, with nothing in
 * between.
 *
 * Errors. No Lua error may cross a frame of the core. The core's callbacks only move records from one
 * list to another; lctx_drain afterwards takes the steps that may fail.
 *
 * Upvalues. All C functions that are registered through lctx_register have the same upvalues. */

#define CTX_BUILD
#include <ctx/ctx.h>
#include <ctx/lua.h>
#include <lauxlib.h>
#include <lua.h>

#include "list.h"

/* From here to the end of each source all names are hidden in the module, with any build system. So the
 * headers of the system come before those of the binding. */
#pragma GCC visibility push(hidden)

enum {
  LCTX_UP_STATE = 1, /* light pointer to the state's record */
  LCTX_UP_CONTEXT,   /* metatable of contexts */
  LCTX_UP_CANCEL,    /* metatable of cancels */
  LCTX_UP_LIVE,      /* slot -> context not cancelled yet; weak values */
  LCTX_UP_KNOWN,     /* address -> context with a value or cause of its own; weak values */
  LCTX_UP_GROUP,     /* metatable of groups */
  LCTX_UP_COUNT = LCTX_UP_GROUP
};

/* Values that C uses often; each has a place in the registry, at S->ref[…]. */
enum lctx_ref {
  LCTX_REF_CONTEXT,   /* metatables */
  LCTX_REF_SHELTERED, /* the same with a finalizer, see shelter.h */
  LCTX_REF_CANCEL,
  LCTX_REF_TASK,
  LCTX_REF_FAILURE,
  LCTX_REF_FAILURES_FIRST, /* the queue of failures that no wait has returned */
  LCTX_REF_FAILURES_LAST,
  LCTX_REF_GENERATOR,
  LCTX_REF_GUARD, /* of a wait, see leave.h */
  LCTX_REF_KEY,
  LCTX_REF_AFTER,
  LCTX_REF_QUEUE,
  LCTX_REF_SEMAPHORE,
  LCTX_REF_GROUP,
  LCTX_REF_LIVE,
  LCTX_REF_KNOWN,
  LCTX_REF_CHECKED,    /* node -> context that C has seen; weak values */
  LCTX_REF_LINES,      /* slot -> where the context was made, under debug */
  LCTX_REF_NAMES,      /* context -> its name; weak keys */
  LCTX_REF_CANCELLERS, /* context -> where it was cancelled, under debug; weak keys */
  LCTX_REF_BUDGETS,    /* context -> ms from its making to its deadline; the same */
  LCTX_REF_SHELF,      /* the thread whose stack holds the tables of record.h */
  LCTX_REF_LUV,        /* the thread on which luv's functions are called, see loop.c */
  LCTX_REF_TRACES,     /* slot -> traceback of the error that ended the task */
  LCTX_REF_SPAWNS,     /* slot -> where the task was started, under debug */
  LCTX_REF_OWNERS,     /* coroutine -> its owner and purpose; weak keys */
  LCTX_REF_TASK_BODY,
  LCTX_REF_ON_ERROR,
  LCTX_REF_AFTERS, /* after-funcs that are registered, by slot */
  LCTX_REF_NODES,  /* nodes that the core points to and a finalizer removes, by slot */
  LCTX_REF_SHARED, /* name -> table, one per state */
  LCTX_REF_BACKGROUND,
  LCTX_REF_TODO,
  LCTX_REF_CANCELED, /* sentinels */
  LCTX_REF_DEADLINE_EXCEEDED,
  LCTX_REF_OWN,   /* the beginning of the names of our own chunks */
  LCTX_REF_RUN,   /* luv's function that runs the loop */
  LCTX_REF_HOOKS, /* functions of the Lua side, by name */
  LCTX_REF_COUNT
};

typedef struct lctx_state lctx_state;
typedef struct lctx_context lctx_context;
typedef struct lctx_task lctx_task;
typedef struct lctx_generator lctx_generator;
typedef struct lctx_alarm lctx_alarm;

/* See anchor.h. */
typedef struct {
  enum lctx_ref ref;   /* the table */
  uint32_t size, used; /* the number of slots; of these, with a value */
  uint32_t free;       /* the first free slot; 0: none */
} lctx_anchors;

/* Whether the reason for which the loop is driven has ended. */
typedef bool (*lctx_over_fn)(lctx_state* S, void* arg);

/* -- The state: one record per Lua state ------------------------------------------------------- */

struct lctx_state {
  ctx_tree_t tree;
  lua_State* main;
  lua_State* shelf;     /* see record.h */
  const void* canceled; /* the address of that sentinel */
  int ref[LCTX_REF_COUNT];

  /* sched.c */
  lctx_task* current;        /* the record of the coroutine that the scheduler resumed */
  lctx_task* starting;       /* the innermost task in the start function of ctx.await */
  lctx_generator* generator; /* the innermost generator whose body runs */
  lctx_link run;             /* sentinel of the run queue */
  lctx_link mark;            /* in the run queue: the end of this round */
  lctx_link turn;            /* coroutines that run after a turn of the loop */
  uint64_t turned_ns;        /* the time of the loop's last turn, on the coarse clock */
  uint32_t refusals;         /* waits in a row that returned at once */
  lctx_link spare;           /* unused records with a thread */
  lctx_link bare;            /* unused records without a thread */
  uint32_t spares;
  uint32_t records;    /* used or not */
  uint32_t free_block; /* no block with a lower number has a free record */
  uint32_t idle;       /* blocks without a used record */
  uint32_t reclaim_at; /* at this number of records, look for closed coroutines */
  size_t tasks;        /* alive, made by ctx.go */
  uint64_t serial;     /* the last serial number of a record or an after-func */
  uint64_t since;      /* tasks with a higher serial number are young, */
  size_t young;        /* and this number of them are alive */
  lctx_alarm* alarms;  /* not in use */
  uint32_t spare_alarms;
  size_t parked;   /* coroutines that wait */
  size_t external; /* of these, in ctx.await */
#ifdef CTX_CHECK
  unsigned checked; /* blocks that check.c has looked at */
#endif
  bool draining;
  bool ran;     /* a coroutine has run in this turn */
  bool starved; /* a task has failed without memory, and Lua was not told yet */

  /* failure.c */
  ctx_timer_t failures_timer;        /* for the first in the queue */
  bool failures_timed, failures_due; /* it runs; it has fired */
  uint64_t failures;                 /* that have been reported */

  lctx_anchors afters, nodes; /* after.c, node.c */

  /* live.c */
  uintptr_t* slots; /* see live.c */
  uint32_t slots_size, slots_top, slots_free;
  uint64_t lost; /* contexts that were collected without a cancel */

  /* loop.c */
  lua_State* luv;    /* the thread on which luv's functions are called */
  uint64_t alarm_ns; /* the core's next time; 0: now */
  uint64_t armed_ns; /* the time of luv's timer; CTX_NEVER: not running */
  bool asked;        /* the prepare handle is referenced, or need not be during a turn */
  bool nested;       /* it is not any more, since a task has run the loop in this turn */
  bool timed;        /* the timer is referenced */
  bool held;         /* and so are the handles of other sources of wake-ups */
  bool watching;     /* luv's poll handle watches poll_fd */
  bool looping;      /* within our own uv.run */
  bool sound;        /* no turn has failed since the driver asked */
  lctx_over_fn over; /* the end of the driver's work; NULL: not driven */
  void* over_arg;
  int8_t driven; /* how the main thread drove the loop for a generator; see wrap.c */

  /* host.c, fake.c */
  int wake_fd, poll_fd; /* the writing and the reading end; -1: none */
  bool fake;            /* the clock is moved by hand */
  bool stirred;         /* and a task has run since somebody asked */
  uint64_t fake_ns;
  uint64_t jump_ns; /* until then it also jumps beside waits for the outside */
  uint64_t end_ns;  /* it goes no further; CTX_NEVER: no limit */
  /* On the system's clock: the time at which the driver goes on in any case; 0: none. */
  uint64_t patience_ns;
  const lctx_task* target; /* what core.drive waits for */
  int64_t offset_ns;       /* of our time from the system's, after a fake clock ran ahead */

  /* Hooks of lower rooms, which higher rooms set when they are opened. */
  bool (*drain)(lua_State* L, lctx_state* S); /* the turn of the scheduler, see sched.h */
  lua_CFunction add_traceback;                /* the message handler of lctx_enter */
  void (*start_after)(lua_State* L, lctx_state* S, lctx_link* after); /* in the run queue */

  bool debug, closed, giving_up;
  bool whole; /* it has been opened completely */
};

/* Its address is the record's key in the registry: each copy of this library has its own. */
extern const char lctx_key;
static inline lctx_state* lctx_stateof_tree(ctx_tree_t* tree) {
  return (lctx_state*)((char*)tree - offsetof(lctx_state, tree));
}
lctx_state* lctx_state_of(lua_State* L); /* raises when ctx.core is not open */
static inline lctx_state* lctx_upstate(lua_State* L) {
  return (lctx_state*)lua_touserdata(L, lua_upvalueindex(LCTX_UP_STATE));
}
static inline void lctx_pushref(lua_State* L, lctx_state* S, enum lctx_ref ref) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, S->ref[ref]);
}
void lctx_setref(lua_State* L, lctx_state* S, enum lctx_ref ref); /* pops the value */
/* Puts the value on top into the table of this reference, at the slot; pops it. May raise. */
void lctx_set_at(lua_State* L, lctx_state* S, enum lctx_ref ref, uint32_t slot);
/* Adds functions to the table on top, each with the common upvalues. */
void lctx_register(lua_State* L, lctx_state* S, const luaL_Reg* functions);

/* A class: its metatable, and perhaps a second one, alike but for a finalizer, for those of its
 * objects that need one. `__index` is a table of its own, shared by both. */
typedef struct {
  const char* name;
  enum lctx_ref ref, finalized;
  const luaL_Reg *methods, *metamethods, *finalizer;
} lctx_class;
void lctx_open_class(lua_State* L, lctx_state* S, const lctx_class* class);
/* Adds methods to those of a class that is open. */
void lctx_add_methods(lua_State* L, lctx_state* S, enum lctx_ref class, const luaL_Reg* methods);
