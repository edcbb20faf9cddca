/* SPDX-License-Identifier: MIT */
#ifndef CTX_CTX_H
#define CTX_CTX_H

/* ctx: a tree of contexts that carries cancellation and deadlines, after Go's package
 * context, for programs that run an event loop.
 *
 * THREADS. A tree and all of its objects belong to one thread, the loop's. Any thread may call
 * ctx_flag_err, ctx_flag_retain, ctx_flag_release and ctx_cancel_async, and functions without a
 * tree, such as ctx_version. In a signal handler only ctx_flag_err is safe; the others lock a mutex
 * or allocate. To cancel on a signal, let the loop receive it (uv_signal_t, a pipe) and cancel
 * there.
 *
 * MEMORY. The caller owns the memory of every structure here and may embed it in its own.
 * A context must not move, and its parent must stay valid, until ctx_release of the
 * context; release children before their parent. Only functions that say so allocate,
 * through the host. Cancelling allocates nothing and cannot fail.
 *
 * LINKING. A context enters its parent's list of children, and its deadline the heap of
 * deadlines, only while something watches it or one of its descendants; else deriving and
 * cancelling touch no list. Programs see no difference: ctx_err looks up the tree when a
 * context was cancelled since it last looked, and compares the deadline with the clock.
 *
 * TIME is absolute, in nanoseconds on the host's monotonic clock; its parameters end with _ns.
 * CTX_NEVER is the largest time. Sums saturate (ctx_time_add).
 *
 * ORDER. Watchers and timers are called by ctx_tree_run only, never from within the call
 * that causes them, and never within the call that registered them. Deadlines fire by time, equal
 * ones in the order in which they were made. The watchers of one context are called in the order
 * of their registration, a parent's before its children's. */

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

/* Programs do not define this. While the library itself is compiled (CTX_BUILD, which its own headers
 * define) it decides which names are visible from outside: all of a shared library
 * (CTX_BUILD_SHARED, which its build defines), none of a Lua module or a static library. So two
 * modules in one program cannot replace each other's functions. */
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

/* The result of a call that is not finished: its callback has the outcome. */
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

/* The CTX_VERSION_HEX of the library that the program runs with. The structures here are public
 * because their size is, so a program must run with the version of the headers that it was compiled
 * with; before 1.0 that is the same major and minor number. Any thread. */
CTX_EXTERN uint32_t ctx_version(void);

/* -- The host: what a tree asks of the program around it ------------------------------- */

struct ctx_host_s {
  /* The monotonic clock. Called often, on the loop's thread only. */
  uint64_t (*now)(void* data);

  /* A cheaper clock for ctx_err, or NULL. It may lag behind `now` by a few milliseconds and
   * must never be ahead of it. In a loop that only polls, contexts may end that much later;
   * waits and timers use `now`. */
  uint64_t (*now_coarse)(void* data);

  /* Call ctx_tree_run on the loop's thread at `at_ns` or soon after; 0 means on the next turn
   * of the loop, CTX_NEVER that no call is needed. Each call replaces the one before. It must
   * not call back into the tree, and cannot fail. Waking up too early or too often is harmless. */
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

/* Frees the memory that the tree allocated. It calls and cancels nothing: cancel the roots'
 * children first if their watchers should be called. Flags stay valid and keep their last state.
 * Contexts may still be read, cancelled and released afterwards, but not watched. Calling it again
 * does nothing. */
CTX_EXTERN void ctx_tree_close(ctx_tree_t* tree);

/* Does all work that is due: cancels that other threads asked for, deadlines, and the calls of
 * watchers and timers that were ready at the start. The host calls it when woken.
 * Within a watcher's or timer's call it does nothing. */
CTX_EXTERN void ctx_tree_run(ctx_tree_t* tree);

/* The two roots; never done. `todo` marks a place where the caller should pass a context. */
CTX_EXTERN ctx_t* ctx_background(ctx_tree_t* tree);
CTX_EXTERN ctx_t* ctx_todo(ctx_tree_t* tree);

/* The host's clock now, never earlier than a time that a function here has read before. */
CTX_EXTERN uint64_t ctx_now(ctx_tree_t* tree);

/* The only function that adds times: a + b, or CTX_NEVER if the sum does not fit. */
CTX_EXTERN uint64_t ctx_time_add(uint64_t a_ns, uint64_t b_ns);

/* -- Deriving ----------------------------------------------------------------------------- */

/* Derives `c`, in the caller's memory, from `parent`: done when the parent is, or by
 * ctx_cancel(c). If the parent is done, it is done from the start, with the parent's error and
 * cause. */
CTX_EXTERN void ctx_with_cancel(ctx_t* c, ctx_t* parent);

/* Derives `c` from `parent`: done no later than `deadline_ns`, with `cause` (retained; may be
 * NULL) if that deadline ends it. A deadline that is not earlier than the parent's is accepted
 * and never fires: the parent's comes first, with the parent's cause. With a deadline that has
 * passed, `c` is done from the start. */
CTX_EXTERN void ctx_with_deadline(ctx_t* c, ctx_t* parent, uint64_t deadline_ns,
                                  ctx_cause_t* cause);

/* ctx_with_deadline with a deadline `timeout_ns` from now, on the host's exact clock. CTX_NEVER, or
 * a time so long that the sum would not fit, is no deadline of its own. */
CTX_EXTERN void ctx_with_timeout(ctx_t* c, ctx_t* parent, uint64_t timeout_ns, ctx_cause_t* cause);

/* Derives `c` from `parent` without its cancellation and deadline: it is the root of a new tree and
 * never done by itself. The parent need not outlive it. Only ctx_release ends it. */
CTX_EXTERN void ctx_without_cancel(ctx_t* c, ctx_t* parent);

/* Derives `c` from `n` sources: done with the first of them that is done, with its error and cause,
 * or by ctx_cancel(c). If several are done already, the first in order counts. `arms` is memory
 * for `n` contexts, which `c` uses until it is done or released. Unlike other contexts it is
 * linked from the start, so release it. When it is done or released, the sources do not refer to it.
 * The sources, one or more, stay valid until it is done or they are released. Allocates. Returns
 * 0, or CTX_ENOMEM or CTX_ECLOSED with nothing changed. */
CTX_EXTERN int ctx_any(ctx_t* c, ctx_t* arms, ctx_t* const* sources, size_t n);

/* For bindings, whose contexts a garbage collector frees. A relay is a context, `c` in the caller's
 * structure, above such contexts. No context below it has a cause that the cause's owner may free.
 * When the relay ends with a cause, it passes on `own` instead, which it borrows. It keeps and retains
 * the given cause in `given` until ctx_release. Causes with the same ops as `own` are passed on
 * unchanged.
 *
 * ctx_relay: as ctx_any of one source. */
CTX_EXTERN int ctx_relay(ctx_relay_t* r, ctx_t* arm, ctx_t* source, ctx_cause_t* own);

/* Puts a relay between `c` and its parent, with the deadline, the cause and the ctx_id of `c`, which
 * ends when the relay ends. From now on cancel the relay, and watch it where `c` may be freed without
 * ctx_release. Not for a root or an `any`; for a ctx_without_cancel it makes another one. Cannot
 * fail. */
CTX_EXTERN void ctx_interpose(ctx_relay_t* r, ctx_t* c, ctx_cause_t* own);

/* The owner calls it before it frees the memory of `c`. It cancels `c` if it is not done, so that
 * its watchers are called, and drops its cause. Watchers of `c` that were not called yet will
 * still be called. A context without a cause that is not an `any`, and was never shared or watched,
 * may be freed without it. Calling it again does nothing. */
CTX_EXTERN void ctx_release(ctx_t* c);

/* -- Reading ------------------------------------------------------------------------------ */

/* 0 while `c` is not done; afterwards always CTX_CANCELED or CTX_DEADLINE_EXCEEDED. It compares the
 * deadline with the clock, so that code that never returns to the event loop sees it pass. The
 * subtree of that deadline is then cancelled in this call. */
CTX_EXTERN int ctx_err(ctx_t* c);

/* The cause that was given to the cancel or deadline that ended `c`, here or above. NULL while `c`
 * is not done, and without a cause. Borrowed from `c`. */
CTX_EXTERN ctx_cause_t* ctx_cause(ctx_t* c);

/* The time by which `c` will be done, its own deadline or an ancestor's; CTX_NEVER without one.
 * It never changes, not even when `c` is done. */
CTX_EXTERN uint64_t ctx_deadline(const ctx_t* c);

/* A label for reports; NULL at first. The text must outlive `c`. */
CTX_EXTERN void ctx_set_name(ctx_t* c, const char* name);
CTX_EXTERN const char* ctx_name(const ctx_t* c);

/* -- Cancelling --------------------------------------------------------------------------- */

/* Ends `c` with CTX_CANCELED and `cause` (retained; may be NULL), unless it is done already:
 * the first cause stays. When it returns, ctx_err of every descendant is set, too; their
 * watchers are called later, by ctx_tree_run. On a root it does nothing. */
CTX_EXTERN void ctx_cancel(ctx_t* c, ctx_cause_t* cause);

/* A cause is a structure that begins with this; its owner decides its meaning. It is retained once
 * for every context that holds it, and released with that context. Each callback may be NULL, and
 * must not call into the tree. `message` is for reports. */
struct ctx_cause_s {
  const ctx_cause_ops_t* ops;
};
struct ctx_cause_ops_s {
  void (*retain)(ctx_cause_t* cause);
  void (*release)(ctx_cause_t* cause);
  const char* (*message)(const ctx_cause_t* cause);
};

/* For contexts whose memory is freed without ctx_release, as a garbage collector does: `c`
 * borrows the causes of its ancestors instead of retaining them. The caller makes sure that
 * the ancestors outlive `c`. */
CTX_EXTERN void ctx_borrow_cause(ctx_t* c);

/* -- Watching: C's after-func --------------------------------------------------------------- */

typedef void (*ctx_watcher_fn)(ctx_watcher_t* w);

/* Calls fn(w) once when `c` is done, from ctx_tree_run; if `c` is done already, on the next turn.
 * Within the call, `w` may be registered again or freed, and any context cancelled or unwatched.
 * `w` must not be in use. May allocate. Returns 0, or CTX_ENOMEM or CTX_ECLOSED with nothing
 * changed. */
CTX_EXTERN int ctx_watch(ctx_t* c, ctx_watcher_t* w, ctx_watcher_fn fn);

/* Removes `w`. True if this has prevented its call; false if it was called already or was never
 * registered. Zeroed memory counts as never registered. */
CTX_EXTERN bool ctx_unwatch(ctx_watcher_t* w);

/* -- Timers ----------------------------------------------------------------------------------- */

typedef void (*ctx_timer_fn)(ctx_timer_t* t);

/* Calls fn(t) once at `at_ns` or soon after, from ctx_tree_run; with CTX_NEVER not at all. `t`
 * must not be in use. May allocate. Returns 0, or CTX_ENOMEM or CTX_ECLOSED with nothing changed. */
CTX_EXTERN int ctx_timer_start(ctx_tree_t* tree, ctx_timer_t* t, uint64_t at_ns, ctx_timer_fn fn);

/* Stops `t`. True if this has prevented its call. Zeroed memory counts as never started. */
CTX_EXTERN bool ctx_timer_stop(ctx_timer_t* t);

/* -- Semaphores: weighted, first come first served (x/sync/semaphore) ------------------------ */

typedef void (*ctx_acquire_fn)(ctx_acquire_t* a, int err);

/* A semaphore of `size` units, none of them held. */
CTX_EXTERN void ctx_semaphore_init(ctx_semaphore_t* s, ctx_tree_t* tree, uint64_t size);

/* Takes `n` units; waits for them until `c` is done. 0: they are held. CTX_PENDING: fn(a, err) will
 * be called once, from ctx_tree_run. With err 0 they are held; else `c` is done and they are not held,
 * also if both happened in the same turn. If `c` is done already, returns its error and takes nothing,
 * even if units are free. Also CTX_ENOMEM, CTX_ECLOSED. A request for more than the size waits for the
 * end of `c` or a resize, and delays no other. `a` is the caller's memory; it and `c` are in use until
 * the call of fn. */
CTX_EXTERN int ctx_semaphore_acquire(ctx_semaphore_t* s, ctx_t* c, ctx_acquire_t* a, uint64_t n,
                                     ctx_acquire_fn fn);

/* Takes `n` units if they are free and no other request waits. */
CTX_EXTERN bool ctx_semaphore_try_acquire(ctx_semaphore_t* s, uint64_t n);

/* Releases `n` units, which go to waiting requests in their order. CTX_EINVAL, with nothing changed,
 * if fewer are held. */
CTX_EXTERN int ctx_semaphore_release(ctx_semaphore_t* s, uint64_t n);

/* Changes the size. If more units are held, no request gets any until enough were released. A
 * request keeps its place in the order of asking, even while it asks for more than the size. */
CTX_EXTERN void ctx_semaphore_resize(ctx_semaphore_t* s, uint64_t size);

/* Removes a pending acquire: fn is not called, and units that were granted meanwhile are released.
 * True if it was pending. Zeroed memory counts as never pending. */
CTX_EXTERN bool ctx_acquire_stop(ctx_acquire_t* a);

/* -- Groups of tasks (x/sync/errgroup) --------------------------------------------------------- */

typedef void (*ctx_begin_fn)(ctx_begin_t* begin, int err);
typedef void (*ctx_join_fn)(ctx_join_t* join);

/* A group of tasks, none running, without a limit. `c`, which may be NULL, is the group's own
 * context, derived by the caller: it is cancelled by the first task that fails, with its cause, and
 * at the end of a wait. The caller decides what a task is: a work request of libuv, for instance. */
CTX_EXTERN void ctx_group_init(ctx_group_t* g, ctx_tree_t* tree, ctx_t* c);

/* At most `n` tasks at a time; negative: no limit. CTX_EBUSY, with nothing changed, while any is
 * running or waits to begin. */
CTX_EXTERN int ctx_group_set_limit(ctx_group_t* g, int64_t n);

/* Asks for a place to begin a task. 0: the task has begun, even if the group's context is done.
 * CTX_PENDING, at the limit: fn(begin, err) will be called from ctx_tree_run when there is a place (err
 * 0: it has begun), or when the group's context is done (where Go waits for ever). At the limit with
 * a done context: its error. Also CTX_ENOMEM, CTX_ECLOSED. */
CTX_EXTERN int ctx_group_begin(ctx_group_t* g, ctx_begin_t* begin, ctx_begin_fn fn);

/* Removes a pending begin. True if this has prevented the call of fn. Zeroed memory counts as never
 * pending. */
CTX_EXTERN bool ctx_begin_stop(ctx_begin_t* begin);

/* The same without waiting: false at the limit. */
CTX_EXTERN bool ctx_group_try_begin(ctx_group_t* g);

/* A task that had begun has ended. If it is the first that failed, its cause (retained; may be
 * NULL) ends the group's context. */
CTX_EXTERN void ctx_group_end(ctx_group_t* g, bool failed, ctx_cause_t* cause);

/* Whether no task is running and none has a place: then ctx_group_wait would not wait. For programs
 * that wake their waiters by themselves. */
CTX_EXTERN bool ctx_group_is_over(const ctx_group_t* g);

/* Waits until no task is running. 0: none is, and the group's context is cancelled. CTX_PENDING: fn
 * will be called when none is, from ctx_tree_run; it also waits for tasks that begin before that call.
 * A group may be used again afterwards. */
CTX_EXTERN int ctx_group_wait(ctx_group_t* g, ctx_join_t* join, ctx_join_fn fn);

/* Removes a pending wait. True if this has prevented the call of fn. Zeroed memory counts as never
 * pending. */
CTX_EXTERN bool ctx_join_stop(ctx_join_t* join);

/* -- Other threads ---------------------------------------------------------------------------- */

/* Makes a flag by which any thread may ask whether `c` is done, and may cancel it. The flag
 * outlives the context and the tree, until the last ctx_flag_release; the caller has one
 * reference. While it has a flag, `c` is linked and must be released. Allocates.
 * Returns NULL when out of memory, when the tree is closed, or when the host has no wake_soon. */
CTX_EXTERN ctx_flag_t* ctx_share(ctx_t* c);

/* Any thread: 0, or the error of the context. It is set at the same moment as ctx_err's result, but
 * for a deadline only once the loop's thread has noticed it. */
CTX_EXTERN int ctx_flag_err(const ctx_flag_t* flag);

/* Any thread: asks the loop's thread to ctx_cancel the context at its next ctx_tree_run, and wakes
 * the host. True if the request was accepted: then the library owns the caller's reference to `cause`
 * (may be NULL), and releases it on the loop's thread. False after an earlier request, or if the
 * context is done or freed: then the caller still owns `cause`. */
CTX_EXTERN bool ctx_cancel_async(ctx_flag_t* flag, ctx_cause_t* cause);

/* Any thread: one more reference, one less. */
CTX_EXTERN void ctx_flag_retain(ctx_flag_t* flag);
CTX_EXTERN void ctx_flag_release(ctx_flag_t* flag);

/* -- Reports ------------------------------------------------------------------------------------ */

struct ctx_counters_s {
  uint64_t derived;  /* contexts made since the start, arms of `any` not counted */
  uint64_t canceled; /* of these, ended by a cancel, as far as it was noticed */
  uint64_t expired;  /* of these, ended by a deadline, as far as it was noticed */
  size_t linked;     /* contexts that are watched or have a watched descendant */
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

/* A number that no other context of the tree has; it rises with every context. */
CTX_EXTERN uint64_t ctx_id(const ctx_t* c);

#include <ctx/types.h>

#ifdef __cplusplus
}
#endif

#endif
