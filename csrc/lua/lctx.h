/* SPDX-License-Identifier: MIT */
#ifndef LCTX_H
#define LCTX_H

/* What the files of the binding share.
 *
 * Memory. Contexts, cancels and tasks are Lua's garbage, most without a finalizer. That is safe
 * because a context is linked into the core's tree only while something watches it (ctx.h), and what
 * watches anchors it: a parked coroutine in its record's places, an after-func in a slot. A context
 * holds its parent by its first user value, so raw pointers upwards are good.
 *
 * The law: nothing that C links needs a finalizer to be unlinked, since Lua may lose a finalizer and
 * frees the object all the same. What a finalizer unlinks stands in memory that something else keeps
 * until then (shelter.h). A lost finalizer leaks; it leaves no pointer to what is gone.
 *
 * Order. First comes everything that may raise, allocate or run Lua, which includes every step that
 * makes an object: finalizers run there. Then the last look, and the registration, with nothing in
 * between.
 *
 * Errors. No Lua error may cross a frame of the core: its callbacks only move records from one
 * list to another, and lctx_drain does afterwards what can fail.
 *
 * Upvalues. Every C function here that is registered through lctx_register has the same ones. */

#define CTX_BUILD
#include <ctx/ctx.h>
#include <ctx/lua.h>
#include <lauxlib.h>
#include <lua.h>

#include "list.h"

/* The binding's own names never leave the module, whatever builds it. */
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

/* Values that C needs at hand; each has a place in the registry, at S->ref[…]. */
enum lctx_ref {
  LCTX_REF_CONTEXT,   /* metatables */
  LCTX_REF_SHELTERED, /* the same with a finalizer, see shelter.h */
  LCTX_REF_CANCEL,
  LCTX_REF_TASK,
  LCTX_REF_FAILURE,
  LCTX_REF_FAILURES_FIRST, /* the queue of those that nobody has heard of */
  LCTX_REF_FAILURES_LAST,
  LCTX_REF_GENERATOR,
  LCTX_REF_KEY,
  LCTX_REF_AFTER,
  LCTX_REF_QUEUE,
  LCTX_REF_SEMAPHORE,
  LCTX_REF_GROUP,
  LCTX_REF_LIVE,
  LCTX_REF_KNOWN,
  LCTX_REF_CHECKED,    /* node -> context that C has come by; weak values */
  LCTX_REF_LINES,      /* slot -> where the context was made, under debug */
  LCTX_REF_NAMES,      /* context -> its name; weak keys */
  LCTX_REF_CANCELLERS, /* context -> where it was cancelled, under debug; weak keys */
  LCTX_REF_BUDGETS,    /* context -> the ms its deadline was away; the same */
  LCTX_REF_SHELF,      /* the thread whose stack holds the tables of record.h */
  LCTX_REF_RESULTS,    /* slot -> packed results that could not go on a stack */
  LCTX_REF_TRACES,     /* slot -> traceback of the error that ended it */
  LCTX_REF_SPAWNS,     /* slot -> where the task was started, under debug */
  LCTX_REF_OWNERS,     /* coroutine -> what it does for whom; weak keys */
  LCTX_REF_TASK_BODY,
  LCTX_REF_ON_ERROR,
  LCTX_REF_AFTERS, /* after-funcs that are registered, by slot */
  LCTX_REF_NODES,  /* what the core points to and a finalizer should take back, by slot */
  LCTX_REF_SHARED, /* name -> table, one per state */
  LCTX_REF_BACKGROUND,
  LCTX_REF_TODO,
  LCTX_REF_CANCELED, /* sentinels */
  LCTX_REF_DEADLINE_EXCEEDED,
  LCTX_REF_OWN,   /* how the names of our own chunks begin */
  LCTX_REF_RUN,   /* luv's function that runs the loop */
  LCTX_REF_HOOKS, /* functions of the Lua side, by name */
  LCTX_REF_COUNT
};

enum lctx_kind {
  LCTX_BACKGROUND,
  LCTX_TODO,
  LCTX_CANCEL,
  LCTX_DEADLINE,
  LCTX_TIMEOUT,
  LCTX_WITHOUT,
  LCTX_ANY,
  LCTX_PUSHED, /* an `any` of one context that C made */
  LCTX_VALUE,
  LCTX_SHELTER /* never seen by Lua code */
};

typedef struct lctx_state lctx_state;
typedef struct lctx_context lctx_context;
typedef struct lctx_task lctx_task;
typedef struct lctx_generator lctx_generator;

/* -- Contexts: a header, then a node of the core or a value -------------------------------- */

/* User values: 1 the parent, 2 the cause or the value, 3 and on: see the kind. Once somebody has asked
 * for the error of a wait that ended here, 2 is that error, which wraps the cause: `joined`. */
struct lctx_context {
  ctx_cause_t token;    /* its ops tell a context from all other userdata; as a cause of the core it
                           stands for the Lua value in user value 2 */
  ctx_t* c;             /* the node: its own, or for a value the nearest one above */
  lctx_context* up;     /* the parent; NULL for a root */
  lctx_context* values; /* the nearest value from here up, or NULL */
  uint32_t slot;        /* in the table of live ones; 0: not there */
  uint8_t kind;
  bool joined; /* see above */
};

typedef struct {
  lctx_context base;
  ctx_t node;
} lctx_node;

typedef struct {
  const void* tag;
  lctx_context* of;
} lctx_cancel;

/* -- Tasks: every coroutine that the scheduler may resume ------------------------------------ */

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
  LCTX_PARKING,  /* parked, and about to yield: if it is woken first, it will not */
  LCTX_PARKED
};

enum lctx_outcome {
  LCTX_NOTHING, /* not woken */
  LCTX_ENDED,   /* the context is done */
  LCTX_DUE,     /* the time is over */
  LCTX_VALUES   /* with results: on the coroutine's stack, or packed */
};

/* Turns the outcome of a wait into results, on the stack of the coroutine that waited. */
typedef int (*lctx_waited_fn)(lua_State* L, lctx_state* S, enum lctx_outcome outcome);

/* Takes back what a coroutine waits for, or has been given, that will never go on. Raises no error. */
typedef void (*lctx_undo_fn)(lua_State* L, lctx_task* t);

/* Calls off what was begun before a wait that then could not begin. Raises no error. */
typedef void (*lctx_abort_fn)(lua_State* L, lctx_state* S);

/* What all waits in one function have in common. */
typedef struct {
  lctx_waited_fn waited;
  lctx_undo_fn undo;    /* called if the coroutine will not go on; may be NULL */
  lctx_abort_fn abort;  /* called if the wait cannot begin; may be NULL */
  bool joins;           /* what is waited for is the end of tasks */
  bool external, looks; /* on neither a context nor a task; woken without a value, it looks again */
} lctx_wait_kind;

typedef struct {
  const lctx_wait_kind* kind;
  const char* what; /* for reports and errors: the function's name */
  lctx_context* c;  /* ends the wait; may be NULL */
  int context;      /* where on the stack that is */
  uint64_t due_ns;  /* ends it, too; or CTX_NEVER */
  lctx_link* list;  /* to stand in meanwhile, in the userdata at stack index 1; may be NULL */
  bool turn;        /* ends it, too: one turn of the loop */
  void* undo_data;
} lctx_wait;

typedef struct lctx_alarm lctx_alarm; /* see alarm.h */

/* What stands in the run queue begins with a link and a kind: a task's record, or an lctx_after. */
struct lctx_task {
  lctx_link link; /* in the run queue, a list of waiters, or a list of records that are not used */
  uint8_t kind, state, outcome;
  /* Bits: the record is part of what a parked task costs. */
  bool failed : 1, packed : 1;
  bool anchored : 1; /* has what it waits on at LCTX_PLACE_ANCHOR */
  bool listed : 1;   /* has something at LCTX_PLACE_LIST */
  uint32_t slot;
  lua_State* co;
  ctx_watcher_t watcher;
  lctx_alarm* alarm; /* while it sleeps; else NULL */
  lctx_state* S;
  const char* what;           /* what it waits in, for reports */
  const lctx_wait_kind* wait; /* how; NULL once it knows that it is over */
  void* undo_data;
  void* group;     /* that it belongs to, or NULL */
  uint64_t ticket; /* rises with each wait: what was meant for an earlier one comes too late */
  uint64_t serial; /* of this use of the record: a later one has a higher number */
  int nargs;       /* values on the coroutine's stack for the next resume */
};

/* See anchor.h. */
typedef struct {
  enum lctx_ref ref;   /* the table */
  uint32_t size, used; /* slots that it has; of these, slots that hold a value */
  uint32_t free;       /* the first one that holds none; 0: there is none */
} lctx_anchors;

/* What a handle of luv's was told last. Unknown, when that failed halfway. */
enum lctx_told { LCTX_OFF, LCTX_ON, LCTX_UNKNOWN };

/* -- The state: one record per Lua state ------------------------------------------------------- */

struct lctx_state {
  ctx_tree_t tree;
  lua_State* main;
  lua_State* shelf;     /* see record.h */
  const void* canceled; /* the address of that sentinel */
  int ref[LCTX_REF_COUNT];

  /* sched.c */
  lctx_task* current;        /* the record of the coroutine that the scheduler resumed */
  lctx_task* starting;       /* the innermost that is in the start function of ctx.await */
  lctx_generator* generator; /* the innermost whose body runs */
  lctx_link run;             /* sentinel of the run queue */
  lctx_link mark;            /* in the run queue: the end of this round */
  lctx_link turn;            /* coroutines that go on after a turn of the loop */
  uint64_t turned_ns;        /* when the loop last had its turn, on the coarse clock */
  bool turned;               /* what stands in `turn` may go on */
  uint32_t refusals;         /* waits in a row that ended at once with their context */
  lctx_link spare;           /* records that are not used and have a thread */
  lctx_link bare;            /* and those that have none */
  uint32_t spares;
  uint32_t records;    /* used or not */
  uint32_t free_block; /* no block has a lower number than this to give */
  uint32_t idle;       /* blocks of which no record is used */
  uint32_t reclaim_at; /* so many of them: time to look for closed coroutines */
  size_t tasks;        /* alive, made by ctx.go */
  uint64_t serial;     /* the last that was given to a record or an after-func */
  uint64_t since;      /* tasks with a higher one are young, */
  size_t young;        /* and so many of them are alive */
  lctx_alarm* alarms;  /* not in use */
  uint32_t spare_alarms;
  size_t parked;   /* coroutines that wait */
  size_t external; /* of these, on something outside (await) */
  bool draining;
  bool starved; /* a task has failed without memory, and Lua has not been told so */

  /* failure.c */
  ctx_timer_t failures_timer;        /* for the first in the queue */
  bool failures_timed, failures_due; /* it runs; it has rung */
  uint64_t failures;                 /* that have been reported */

  lctx_anchors afters, nodes; /* after.c, node.c */

  /* live.c */
  uintptr_t* slots; /* see live.c */
  uint32_t slots_size, slots_top, slots_free;
  uint64_t lost; /* contexts that were collected before anyone cancelled them */

  /* host.c */
  uint64_t alarm_ns;        /* when the core wants its turn */
  uint64_t armed_ns;        /* what luv's timer is set to; CTX_NEVER: not running */
  uint8_t idling;           /* luv's idle handle runs: a turn as soon as can be; an lctx_told */
  uint8_t held;             /* the loop is kept alive, since somebody waits; the same */
  bool watching;            /* luv's poll handle watches poll_fd */
  uint8_t looping, driving; /* within our own uv.run; within lctx_drive */
  int8_t driven;            /* how the main thread drove the loop for a generator; see wrap.c */
  int wake_fd, poll_fd;     /* the writing and the reading end; -1: none */
  bool fake;                /* the clock is moved by hand */
  bool stirred;             /* and a task has run since somebody asked */
  uint64_t fake_ns;
  uint64_t jump_ns; /* until then it jumps also while something outside is waited for */
  uint64_t end_ns;  /* it goes no further; CTX_NEVER: as far as may be */
  /* By the system's clock, when the driver wants to go on, whatever else is ready; 0: it is none. */
  uint64_t patience_ns;
  const lctx_task* target; /* what core.drive waits for */
  int64_t offset_ns;       /* of our time from the system's, after a fake clock ran ahead */

  bool debug, closed, giving_up;
  bool whole; /* everything is there: it has been opened */
};

/* state.c */
lctx_state* lctx_state_of(lua_State* L); /* raises when ctx.core is not open */
static inline lctx_state* lctx_upstate(lua_State* L) {
  return (lctx_state*)lua_touserdata(L, lua_upvalueindex(LCTX_UP_STATE));
}
static inline void lctx_pushref(lua_State* L, lctx_state* S, enum lctx_ref ref) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, S->ref[ref]);
}
void lctx_setref(lua_State* L, lctx_state* S, enum lctx_ref ref); /* pops the value */
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

/* context.c */
extern const ctx_cause_ops_t lctx_context_ops;
static inline lctx_context* lctx_tocontext(lua_State* L, int arg) {
  lctx_context* c = (lctx_context*)lua_touserdata(L, arg);
  if (c == NULL || lua_rawlen(L, arg) < sizeof(lctx_context) || c->token.ops != &lctx_context_ops) {
    return NULL;
  }
  return c;
}
static inline lctx_state* lctx_stateof(const lctx_context* c) {
  return (lctx_state*)((char*)c->c->tree - offsetof(lctx_state, tree));
}
static inline lctx_state* lctx_stateof_tree(ctx_tree_t* tree) {
  return (lctx_state*)((char*)tree - offsetof(lctx_state, tree));
}
/* What ctx_err says; once the state is closed only what is known already is true, and nothing may be
 * walked any more. */
int lctx_err(lctx_state* S, lctx_context* c);
/* The context at `arg`, or an error at the caller's line that calls it by `name`. */
lctx_context* lctx_checkcontext(lua_State* L, int arg, const char* name);
int lctx_typeerror(lua_State* L, int arg, const char* name, const char* expected);
int lctx_selferror(lua_State* L, const char* name, const char* expected); /* of a method's self */
/* At `arg` is a function or an object that can be called, as a cancel; or an error like that. */
void lctx_checkcallable(lua_State* L, int arg, const char* name);
static inline void lctx_checkfn(lua_State* L, int arg, const char* name) {
  if (!lua_isfunction(L, arg)) lctx_checkcallable(L, arg, name);
}
void lctx_pusherr(lua_State* L, lctx_state* S, int err); /* nil for 0 */
/* What a wait returns that ended with the context at `arg`, also before it began: nil and an error,
 * the sentinel or where there is a cause one that is both. Use as `return lctx_pushended(…)`. */
int lctx_pushended(lua_State* L, lctx_state* S, int arg);
/* The time in ms at `arg` as ns, rounded up; CTX_NEVER for math.huge, 0 for what is negative. */
uint64_t lctx_checkms(lua_State* L, int arg, const char* name);
void lctx_open_context(lua_State* L, lctx_state* S);

/* Pushes the userdata of `c`, which stands at or above the context at `arg`. */
void lctx_pushknown(lua_State* L, int arg, const lctx_context* c);
/* Makes lctx_pushknown of the context at `arg` one access. May raise. */
void lctx_know(lua_State* L, int arg);

/* derive.c, cancel.c, value.c, task.c, wait.c: the functions of their classes */
void lctx_open_derive(lua_State* L, lctx_state* S);
void lctx_open_cancel(lua_State* L, lctx_state* S);
void lctx_pushcancel(lua_State* L, lctx_context* c); /* of the context on top */
void lctx_open_value(lua_State* L, lctx_state* S);
int lctx_context_value(lua_State* L); /* c:value(key) */
/* Pushes the name of the key of a value: that of ctx.key, or its type. */
void lctx_pushkeyname(lua_State* L, lctx_state* S, lctx_context* value);
void lctx_open_wait(lua_State* L, lctx_state* S);
void lctx_open_await(lua_State* L, lctx_state* S);
void lctx_open_queue(lua_State* L, lctx_state* S);
void lctx_open_semaphore(lua_State* L, lctx_state* S);
void lctx_open_group(lua_State* L, lctx_state* S);
void lctx_open_failure(lua_State* L, lctx_state* S);
/* group.c: tells the group that a task of it is over, with the values on its stack */
void lctx_group_task_over(lua_State* L, lctx_task* t, int nresults);
/* derive.c: pushes a context below `parent`, which is at stack index 1, as with_cancel does, but
 * without a cancel: that is the caller's to do. */
lctx_node* lctx_push_derived(lua_State* L, lctx_context* parent);
/* cancel.c: cancels the context at `index` with the cause at `cause`, unless that is nil. */
void lctx_cancel_context(lua_State* L, int index, int cause);
/* Whether the running coroutine could wait now. */
bool lctx_can_wait(lua_State* L, lctx_state* S);
/* Parks the running coroutine; use as `return lctx_park(…)`. Raises where it cannot wait. */
int lctx_park(lua_State* L, lctx_state* S, const lctx_wait* wait);
/* The same in two steps: the record of the running coroutine, and its parking. In between, a failure
 * ends with lctx_leave_error, which gives the record back and raises the core's error. */
lctx_task* lctx_waiter(lua_State* L, lctx_state* S, const char* what);
int lctx_park_task(lua_State* L, lctx_state* S, lctx_task* t, const lctx_wait* wait);
void lctx_leave(lctx_task* t);
bool lctx_is_woken(lctx_state* S, void* arg); /* whether the record is */
int lctx_leave_error(lua_State* L, lctx_task* t, const char* what, int err);
int lctx_context_wait(lua_State* L); /* c:wait() */
/* why.c: c:why(), and what it is told under debug of the context at `index` */
int lctx_context_why(lua_State* L);
void lctx_note_cancel(lua_State* L, lctx_state* S, int index);
void lctx_note_budget(lua_State* L, lctx_state* S, int index, uint64_t budget_ns);

/* live.c: the table of live contexts */
/* Enters the context, which stands at `index`; may raise, with nothing changed. */
void lctx_live_add(lua_State* L, lctx_state* S, lctx_context* c, int index);
void lctx_live_remove(lctx_state* S, lctx_context* c);
/* Looks for contexts that were collected; reports each under debug. */
void lctx_live_scan(lua_State* L, lctx_state* S);
void lctx_open_live(lua_State* L, lctx_state* S);

/* sched.c: tasks and their turns */
/* A record for a task that will take so many arguments; may raise. Then either lctx_task_start,
 * which pops a function and its arguments and cannot fail, or lctx_task_free. */
lctx_task* lctx_task_prepare(lua_State* L, lctx_state* S, int nargs);
/* The same for one that the running function starts: under debug its line is noted. */
lctx_task* lctx_task_prepare_here(lua_State* L, lctx_state* S, int nargs);
void lctx_task_start(lua_State* L, lctx_task* t, int nargs);
/* Gives a new coroutine the debug hook of the running one, which has one. */
void lctx_inherit_hook(lua_State* L, lctx_state* S, lua_State* co);
/* Puts a parked coroutine into the run queue; the first call counts, until it parks again. */
void lctx_wake(lctx_task* t, enum lctx_outcome outcome);
/* Puts the value on top into the table of this reference, at the slot; pops it. May raise. */
void lctx_set_at(lua_State* L, lctx_state* S, enum lctx_ref ref, uint32_t slot);
/* What is due in the core, then every coroutine that is ready, until the loop should have its turn.
 * Raises no error; false when one cut it short, which is reported, and the rest waits for the next
 * turn. */
bool lctx_drain(lua_State* L, lctx_state* S);
static inline bool lctx_idle(const lctx_state* S) {
  return S->run.next == &S->run && S->turn.next == &S->turn;
}

void lctx_open_sched(lua_State* L, lctx_state* S);

/* task.c: frees the records of parked coroutines that their owners have closed: no one else tells of it. */
void lctx_reclaim(lua_State* L, lctx_state* S);

/* host.c: the clock, and luv's loop, which the Lua side handles by hooks */
extern const ctx_host_t lctx_host;
/* Tells luv's handles what the core and the scheduler want. Raises no error; false when a handle
 * could not be told, which is tried again in the next turn. */
bool lctx_settle(lua_State* L, lctx_state* S);
/* The same from outside the scheduler, where a handle may have been closed under us. */
void lctx_rouse(lua_State* L, lctx_state* S);
/* True while luv's loop runs, ours or anyone's. */
bool lctx_in_loop(lua_State* L, lctx_state* S);
/* Sees to it that other threads can wake the loop. */
void lctx_open_wake(lua_State* L, lctx_state* S);

#pragma GCC visibility pop

#endif
