/* SPDX-License-Identifier: MIT */
#ifndef CTX_CTX_H
#define CTX_CTX_H

/* ctx: a tree of contexts that carries cancellation and deadlines, after Go's package
 * context, for programs that run an event loop.
 *
 * THREADS. A tree and all that hangs on it belong to one thread, the loop's. Only ctx_flag_err,
 * ctx_flag_retain, ctx_flag_release and ctx_cancel_async may be called from any thread, and what
 * knows no tree, as ctx_version. In a signal handler only ctx_flag_err is safe; the others lock a
 * mutex or allocate. To cancel on a signal, let the loop hear of it (uv_signal_t, a pipe) and cancel
 * there.
 *
 * MEMORY. The caller owns the memory of every structure here and may embed it in its own.
 * A context must stay where it is, and its parent must stay valid, until ctx_release of the
 * context; release children before their parent. Only functions that say so allocate,
 * through the host. Cancelling allocates nothing and cannot fail.
 *
 * LINKING. A context enters its parent's list of children, and its deadline the heap of
 * deadlines, only while somebody watches it or one of its descendants; else deriving and
 * cancelling touch no list. Nobody can tell the difference: ctx_err looks up the tree when
 * something was cancelled since it last looked, and compares the deadline with the clock.
 *
 * TIME is in nanoseconds on the host's monotonic clock, and absolute, as the suffix _ns of a
 * parameter says. CTX_NEVER is the end of time. Sums saturate (ctx_time_add).
 *
 * ORDER. Watchers and timers are called by ctx_tree_run only, never from within the call
 * that set them off, and never within the call that registered them: deadlines by time, equal
 * ones in the order in which they were made; the watchers of one context in the order of
 * their registration, a parent's before its children's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of these headers. CTX_VERSION_HEX is 0xMMmmpp: it can be compared. */
#define CTX_VERSION_MAJOR 0
#define CTX_VERSION_MINOR 1
#define CTX_VERSION_PATCH 0
#define CTX_VERSION_HEX   ((CTX_VERSION_MAJOR << 16) | (CTX_VERSION_MINOR << 8) | CTX_VERSION_PATCH)

/* Programs leave this alone. While the library itself is compiled (CTX_BUILD, which its own headers
 * define) it decides what can be seen from outside: everything of a shared library
 * (CTX_BUILD_SHARED, which its build defines), nothing of a Lua module or a static library. A
 * program that loads such a module, or two of them, cannot take over one another's functions. */
#ifndef CTX_EXTERN
#if defined(_WIN32) && defined(CTX_BUILD_SHARED)
#define CTX_EXTERN __declspec(dllexport)
#elif defined(_WIN32) || !defined(__GNUC__)
#define CTX_EXTERN
#elif defined(CTX_BUILD) && !defined(CTX_BUILD_SHARED)
#define CTX_EXTERN __attribute__((visibility("hidden")))
#else
#define CTX_EXTERN __attribute__((visibility("default")))
#endif
#endif

#define CTX_NEVER UINT64_MAX

/* Every code that a function of this library returns, with its text. The texts of the first
 * two are Go's. */
#define CTX_ERRNO_MAP(X)                                                                           \
  X(CANCELED, -1, "context canceled")                                                              \
  X(DEADLINE_EXCEEDED, -2, "context deadline exceeded")                                            \
  X(ENOMEM, -3, "out of memory")                                                                   \
  X(ECLOSED, -4, "the tree is closed")                                                             \
  X(EBUSY, -5, "in use")                                                                           \
  X(EINVAL, -6, "more than is held")

enum {
#define CTX_ERRNO(name, code, text) CTX_##name = code,
  CTX_ERRNO_MAP(CTX_ERRNO)
#undef CTX_ERRNO
};

/* What a call returns that is not over: its callback will tell. */
enum { CTX_PENDING = 1 };

typedef struct ctx_s ctx_t;
typedef struct ctx_tree_s ctx_tree_t;
typedef struct ctx_relay_s ctx_relay_t;
typedef struct ctx_host_s ctx_host_t;
typedef struct ctx_cause_s ctx_cause_t;
typedef struct ctx_cause_ops_s ctx_cause_ops_t;
typedef struct ctx_watcher_s ctx_watcher_t;
typedef struct ctx_timer_s ctx_timer_t;
typedef struct ctx_flag_s ctx_flag_t;
typedef struct ctx_counters_s ctx_counters_t;
typedef struct ctx_semaphore_s ctx_semaphore_t;
typedef struct ctx_acquire_s ctx_acquire_t;
typedef struct ctx_group_s ctx_group_t;
typedef struct ctx_begin_s ctx_begin_t;
typedef struct ctx_join_s ctx_join_t;

/* The text of a code; "unknown error" for one that is not in CTX_ERRNO_MAP. */
CTX_EXTERN const char* ctx_strerror(int code);

/* The CTX_VERSION_HEX of the library that the program runs with. The structures here are public for
 * their size, so a program must run with the version whose headers it was compiled with; before 1.0
 * that is the same major and minor number. Any thread. */
CTX_EXTERN uint32_t ctx_version(void);

/* -- The host: what a tree asks of the program around it ------------------------------- */

struct ctx_host_s {
  /* The monotonic clock. Read often; needs no more than the loop's thread. */
  uint64_t (*now)(void* data);

  /* A cheaper clock for ctx_err, or NULL. It may lag behind `now` by a few milliseconds and
   * must never be ahead of it: contexts then end that much later at most, as seen by a loop
   * that only polls; waits and timers use `now`. */
  uint64_t (*now_coarse)(void* data);

  /* Call ctx_tree_run on the loop's thread at `at_ns` or soon after; 0 means on the next turn
   * of the loop, CTX_NEVER that no call is needed. Each call replaces the one before. It must
   * neither call back into the tree nor fail; waking up too early or too often is harmless. */
  void (*wake_at)(void* data, uint64_t at_ns);

  /* Call ctx_tree_run on the loop's thread soon. Called from any thread, also while the loop's
   * thread is inside the tree. NULL if the program never shares a context. */
  void (*wake_soon)(void* data);

  /* Allocates (block NULL), grows or frees (new_size 0); NULL when out of memory. Called on the
   * loop's thread with the tree's `data`; for flags with NULL, since any thread may
   * free them, and after the host is gone. */
  void* (*alloc)(void* data, void* block, size_t old_size, size_t new_size);
};

/* -- The tree --------------------------------------------------------------------------- */

/* Prepares `tree`, in the caller's memory, with its two roots. `data` must outlive the tree, and
 * `host` the last flag of one of its contexts, too: make it static. */
CTX_EXTERN void ctx_tree_init(ctx_tree_t* tree, const ctx_host_t* host, void* data);

/* Frees what the tree allocated. Nothing is called, nothing cancelled: cancel the roots' children
 * first if they should hear of it. Flags stay valid and keep their last state. Contexts may
 * still be read, cancelled and released afterwards, but not watched. Calling it again does nothing. */
CTX_EXTERN void ctx_tree_close(ctx_tree_t* tree);

/* Lets everything happen that is due: cancels asked for by other threads, deadlines, and the
 * calls of watchers and timers that were ready at the start. The host calls it when woken.
 * Within a watcher's or timer's call it does nothing. */
CTX_EXTERN void ctx_tree_run(ctx_tree_t* tree);

/* The two roots; never done. `todo` marks a spot where a context is still to be passed in. */
CTX_EXTERN ctx_t* ctx_background(ctx_tree_t* tree);
CTX_EXTERN ctx_t* ctx_todo(ctx_tree_t* tree);

/* The host's clock now, never earlier than what any function here has seen before. */
CTX_EXTERN uint64_t ctx_now(ctx_tree_t* tree);

/* The one place where times are added: a + b, or CTX_NEVER when that is past the end. */
CTX_EXTERN uint64_t ctx_time_add(uint64_t a_ns, uint64_t b_ns);

/* -- Deriving ----------------------------------------------------------------------------- */

/* Derives `c`, in the caller's memory, from `parent`: done when the parent is, or by
 * ctx_cancel(c). From a done parent it is born done, with the parent's error and cause. */
CTX_EXTERN void ctx_with_cancel(ctx_t* c, ctx_t* parent);

/* Derives `c` from `parent`: done no later than `deadline_ns`, with `cause` (retained; may be
 * NULL) when that deadline is what ends it. A deadline not sooner than the parent's is accepted
 * and never fires: the parent's comes first, with the parent's cause. With a deadline that has
 * passed, `c` is born done. */
CTX_EXTERN void ctx_with_deadline(ctx_t* c, ctx_t* parent, uint64_t deadline_ns,
                                  ctx_cause_t* cause);

/* ctx_with_deadline with a deadline `timeout_ns` from now, on the host's exact clock. CTX_NEVER, or
 * a time so long that the sum would not fit, is no deadline of its own. */
CTX_EXTERN void ctx_with_timeout(ctx_t* c, ctx_t* parent, uint64_t timeout_ns, ctx_cause_t* cause);

/* Derives `c` from `parent` but keeps nothing of its cancellation or deadline: never done by
 * itself, the root of a fresh tree. The parent need not outlive it. Only ctx_release ends it. */
CTX_EXTERN void ctx_without_cancel(ctx_t* c, ctx_t* parent);

/* Derives `c` from `n` sources: done with the first of them that is, with its error and cause
 * (of several that are done already: the first in order), or by ctx_cancel(c). `arms` is memory
 * for `n` contexts, which `c` uses until it is done or released. Unlike other contexts it is
 * linked from birth, so release it: that, or being done, leaves nothing behind in the sources.
 * The sources, one or more, stay valid until it is done or they are released. Allocates. Returns
 * 0, or CTX_ENOMEM or CTX_ECLOSED with nothing changed. */
CTX_EXTERN int ctx_any(ctx_t* c, ctx_t* arms, ctx_t* const* sources, size_t n);

/* For bindings, whose contexts are a collector's garbage. A relay is a context, `c` in the caller's
 * structure, which stands at the border to such contexts: of those that descend from it none has a
 * cause that its owner may free. When it ends with a cause, it passes on `own` in its place, which it
 * borrows; the given one is kept in `given`, and retained, until ctx_release. Causes with the same ops
 * as `own` pass as they are.
 *
 * ctx_relay: as ctx_any of one source. */
CTX_EXTERN int ctx_relay(ctx_relay_t* r, ctx_t* arm, ctx_t* source, ctx_cause_t* own);

/* Puts a relay between `c` and its parent, with the deadline, the cause and the ctx_id of `c`, which
 * ends when it does. From now on the relay is what to cancel, and to listen to where `c` may go without
 * a ctx_release. Not for a root nor for an `any`; of ctx_without_cancel it makes another one. Cannot
 * fail. */
CTX_EXTERN void ctx_interpose(ctx_relay_t* r, ctx_t* c, ctx_cause_t* own);

/* The owner's last word on `c`, before its memory goes: cancels it if it is not done, so that
 * its watchers hear, and drops its cause. Watchers of `c` that have not been called yet
 * still will be. Neither is needed for a context that has no cause, is no `any`, was never
 * shared and was never watched: such memory may simply go. Calling it again does nothing. */
CTX_EXTERN void ctx_release(ctx_t* c);

/* -- Reading ------------------------------------------------------------------------------ */

/* 0 while `c` is not done; then CTX_CANCELED or CTX_DEADLINE_EXCEEDED for ever. Compares the
 * deadline with the clock itself, so that a loop that never returns to the event loop still
 * sees it pass; the subtree of that deadline is then cancelled on the spot. */
CTX_EXTERN int ctx_err(ctx_t* c);

/* Why `c` is done: the cause given to the cancel or deadline that ended it, here or above.
 * NULL while it is not done, and when no cause was given. Borrowed from `c`. */
CTX_EXTERN ctx_cause_t* ctx_cause(ctx_t* c);

/* The time by which `c` will be done, its own deadline or an ancestor's; CTX_NEVER if none.
 * Does not change, also once done. */
CTX_EXTERN uint64_t ctx_deadline(const ctx_t* c);

/* A label for reports; NULL at first. The text must outlive `c`. */
CTX_EXTERN void ctx_set_name(ctx_t* c, const char* name);
CTX_EXTERN const char* ctx_name(const ctx_t* c);

/* -- Cancelling --------------------------------------------------------------------------- */

/* Ends `c` with CTX_CANCELED and `cause` (retained; may be NULL), unless it is done already:
 * the first cause stays. When it returns, ctx_err of every descendant says so too; their
 * watchers are called later, by ctx_tree_run. On a root or a null cancel: nothing. */
CTX_EXTERN void ctx_cancel(ctx_t* c, ctx_cause_t* cause);

/* A cause is anything that begins with this; its meaning is its owner's. It is retained once
 * for every context that holds it and released with it. Both callbacks, and either, may be NULL;
 * they must not call into the tree. `message` is for reports and may be NULL. */
struct ctx_cause_s {
  const ctx_cause_ops_t* ops;
};
struct ctx_cause_ops_s {
  void (*retain)(ctx_cause_t* cause);
  void (*release)(ctx_cause_t* cause);
  const char* (*message)(const ctx_cause_t* cause);
};

/* For contexts whose memory is freed without ctx_release, as a garbage collector does: `c`
 * borrows the causes of its ancestors instead of retaining them. The caller sees to it
 * that the ancestors outlive `c`. */
CTX_EXTERN void ctx_borrow_cause(ctx_t* c);

/* -- Watching: C's after-func --------------------------------------------------------------- */

typedef void (*ctx_watcher_fn)(ctx_watcher_t* w);

/* Calls fn(w) once when `c` is done, from ctx_tree_run; on a done context on the next turn.
 * Within the call, `w` may be registered again, freed, and anything cancelled or unwatched.
 * `w` must not be in use. May allocate. Returns 0, or CTX_ENOMEM or CTX_ECLOSED with nothing
 * changed. */
CTX_EXTERN int ctx_watch(ctx_t* c, ctx_watcher_t* w, ctx_watcher_fn fn);

/* Takes `w` back. True if that kept its call from happening; false if it was called already
 * or never registered. Zeroed memory counts as never registered. */
CTX_EXTERN bool ctx_unwatch(ctx_watcher_t* w);

/* -- Timers ----------------------------------------------------------------------------------- */

typedef void (*ctx_timer_fn)(ctx_timer_t* t);

/* Calls fn(t) once at `at_ns` or soon after, from ctx_tree_run; with CTX_NEVER not at all. `t`
 * must not be in use. May allocate. Returns 0, or CTX_ENOMEM or CTX_ECLOSED with nothing changed. */
CTX_EXTERN int ctx_timer_start(ctx_tree_t* tree, ctx_timer_t* t, uint64_t at_ns, ctx_timer_fn fn);

/* Takes `t` back. True if that kept its call from happening. Zeroed memory counts as never
 * started. */
CTX_EXTERN bool ctx_timer_stop(ctx_timer_t* t);

/* -- Semaphores: weighted, first come first served (x/sync/semaphore) ------------------------ */

typedef void (*ctx_acquire_fn)(ctx_acquire_t* a, int err);

/* A semaphore of `size` units, none of them held. */
CTX_EXTERN void ctx_semaphore_init(ctx_semaphore_t* s, ctx_tree_t* tree, uint64_t size);

/* Takes `n` units, waiting as long as `c` lives. 0: they are held. CTX_PENDING: fn(a, err) will be
 * called once, from ctx_tree_run; with err 0 they are held, else `c` is done and they are not, also
 * when both happened in the same turn. Or the error of `c`, if it is done already: then nothing is
 * taken even if it were free; or CTX_ENOMEM, CTX_ECLOSED. More than the size waits for `c` alone,
 * or a resize, and holds up nobody. `a` is the caller's memory, in use until the call of fn; so is
 * `c`. */
CTX_EXTERN int ctx_semaphore_acquire(ctx_semaphore_t* s, ctx_t* c, ctx_acquire_t* a, uint64_t n,
                                     ctx_acquire_fn fn);

/* Takes `n` units if they are free and nobody is waiting. */
CTX_EXTERN bool ctx_semaphore_try_acquire(ctx_semaphore_t* s, uint64_t n);

/* Gives `n` units back, and to those who wait, in their order. CTX_EINVAL, with nothing changed, if
 * fewer are held. */
CTX_EXTERN int ctx_semaphore_release(ctx_semaphore_t* s, uint64_t n);

/* Changes the size. Below what is held, nobody gets any until enough has come back. A waiter
 * keeps its place in the order of asking, also while it asks for more than the size. */
CTX_EXTERN void ctx_semaphore_resize(ctx_semaphore_t* s, uint64_t size);

/* Takes a pending acquire back: fn is not called, and what was granted meanwhile returned. True if
 * it was pending. Zeroed memory counts as never pending. */
CTX_EXTERN bool ctx_acquire_stop(ctx_acquire_t* a);

/* -- Groups of tasks (x/sync/errgroup) --------------------------------------------------------- */

typedef void (*ctx_begin_fn)(ctx_begin_t* begin, int err);
typedef void (*ctx_join_fn)(ctx_join_t* join);

/* A group of tasks, none running, without a limit. `c`, which may be NULL, is the group's own
 * context, derived by the caller: it is cancelled by the first task that fails, with its cause, and
 * when a wait is over. What a task is, is the caller's affair: a work request of libuv's, say. */
CTX_EXTERN void ctx_group_init(ctx_group_t* g, ctx_tree_t* tree, ctx_t* c);

/* At most `n` tasks at a time; negative: no limit. CTX_EBUSY, with nothing changed, while any is
 * running or waits to begin. */
CTX_EXTERN int ctx_group_set_limit(ctx_group_t* g, int64_t n);

/* A task is to begin. 0: it has, also when the group's context is done. CTX_PENDING: at the limit;
 * fn(begin, err) is called from ctx_tree_run when there is a place (err 0: it has begun), or when
 * the group's context is done (where Go would wait for ever). Or that context's error, at the limit;
 * CTX_ENOMEM, CTX_ECLOSED. */
CTX_EXTERN int ctx_group_begin(ctx_group_t* g, ctx_begin_t* begin, ctx_begin_fn fn);

/* Takes a pending begin back. True if fn was still to be called. Zeroed memory counts as never
 * pending. */
CTX_EXTERN bool ctx_begin_stop(ctx_begin_t* begin);

/* The same, but false at the limit. */
CTX_EXTERN bool ctx_group_try_begin(ctx_group_t* g);

/* A task that had begun has ended; if it failed and is the first to, its cause (retained; may be
 * NULL) ends the group's context. */
CTX_EXTERN void ctx_group_end(ctx_group_t* g, bool failed, ctx_cause_t* cause);

/* Whether no task is running, and none has been given a place: ctx_group_wait would not wait. For
 * programs that have a way of their own to tell the waiters. */
CTX_EXTERN bool ctx_group_is_over(const ctx_group_t* g);

/* Waits until no task is running. 0: none is; the group's context is cancelled. CTX_PENDING: fn is
 * called then, from ctx_tree_run; tasks that began before that call are waited for, too. A group
 * may be used again afterwards. */
CTX_EXTERN int ctx_group_wait(ctx_group_t* g, ctx_join_t* join, ctx_join_fn fn);

/* Takes a pending wait back. True if fn was still to be called. Zeroed memory counts as never
 * pending. */
CTX_EXTERN bool ctx_join_stop(ctx_join_t* join);

/* -- Other threads ---------------------------------------------------------------------------- */

/* Makes a flag that any thread may poll for the end of `c` and through which any thread may
 * cancel it. It outlives the context and the tree, until the last ctx_flag_release; the caller
 * holds one reference. `c` is linked, and must be released, as long as it has a flag. Allocates.
 * Returns NULL when out of memory, when the tree is closed, or when the host has no wake_soon. */
CTX_EXTERN ctx_flag_t* ctx_share(ctx_t* c);

/* Any thread: 0, or why the context is done. Set in the same moment as ctx_err's answer, but a
 * deadline only once the loop's thread has noticed it. */
CTX_EXTERN int ctx_flag_err(const ctx_flag_t* flag);

/* Any thread: asks the loop's thread to ctx_cancel the context, at its next ctx_tree_run, for
 * which it wakes the host. True if the request was taken: then the caller's reference to `cause`
 * (may be NULL) is the library's, which releases it on the loop's thread. False if there was one
 * before, or the context is done or gone: then `cause` stays the caller's. */
CTX_EXTERN bool ctx_cancel_async(ctx_flag_t* flag, ctx_cause_t* cause);

/* Any thread: one more reference, one less. */
CTX_EXTERN void ctx_flag_retain(ctx_flag_t* flag);
CTX_EXTERN void ctx_flag_release(ctx_flag_t* flag);

/* -- Reports ------------------------------------------------------------------------------------ */

struct ctx_counters_s {
  uint64_t derived;  /* contexts made since the start, arms of `any` not counted */
  uint64_t canceled; /* of these, ended by a cancel, as far as anyone has looked */
  uint64_t expired;  /* of these, ended by a deadline, as far as anyone has looked */
  size_t linked;     /* contexts that somebody watches, or a descendant of */
  size_t watchers;   /* watchers and timers registered and not called yet */
  size_t deadlines;  /* entries in the heap: deadlines of linked contexts, and timers */
};
/* Fills in `out` as of now. */
CTX_EXTERN void ctx_counters(const ctx_tree_t* tree, ctx_counters_t* out);

/* Calls fn for every linked context, parents first, children in the order of linking; `depth` is
 * 0 for a root. Returning false ends the walk. fn must not change the tree. */
typedef bool (*ctx_walk_fn)(const ctx_t* c, unsigned depth, void* arg);
CTX_EXTERN void ctx_walk(const ctx_tree_t* tree, ctx_walk_fn fn, void* arg);

/* The parent of `c`; NULL for the two roots, for ctx_without_cancel and for ctx_any. */
CTX_EXTERN const ctx_t* ctx_parent(const ctx_t* c);

/* False for a context that can never be done: a root, and ctx_without_cancel. */
CTX_EXTERN bool ctx_can_end(const ctx_t* c);

/* A number that no other context of the tree has; rises with every context made. */
CTX_EXTERN uint64_t ctx_id(const ctx_t* c);

#include <ctx/types.h>

#ifdef __cplusplus
}
#endif

#endif
