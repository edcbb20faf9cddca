/* SPDX-License-Identifier: MIT */
#ifndef CTX_UV_H
#define CTX_UV_H

/* The libuv host: drives a tree of contexts (ctx.h) from a uv_loop_t. For C programs; not for
 * the loop of a Lua state, which luv owns (ctx/lua.h).
 *
 * THREADS. A ctx_uv_t and every function here belong to the thread that runs the loop.
 * Other threads have the four functions that ctx.h names.
 *
 * COST. Three handles on the loop, for any number of contexts: a timer for all deadlines, an idle
 * handle for calls that are due at once, and an async handle for other threads.
 *
 * THE LOOP'S LIFE. Contexts and deadlines do not keep uv_run from returning; ask for that with
 * ctx_uv_ref. Calls that are due (the watchers of a context that was just cancelled) do, for the
 * turn in which they are made. Another thread that may still cancel does not. A uv_work_t that is
 * queued or runs does, as always.
 *
 * WHEN. A deadline is noticed in a turn of the loop that starts at most a whole millisecond after
 * it, never before it. Calls that are due at once are made once per turn, before polling, so that
 * a program which keeps causing more of them still gets its I/O.
 *
 * WORK ON THE THREAD POOL is cancelled in two ways, since a job is either queued or running:
 *
 *     ctx_with_deadline(&job->c, parent, at_ns, NULL);
 *     job->flag = ctx_share(&job->c);                  // the job polls ctx_flag_err(job->flag)
 *     ctx_watch(&job->c, &job->watcher, on_done);      // on_done calls uv_cancel(&job->work)
 *     uv_queue_work(loop, &job->work, do_work, after_work);
 *
 * uv_cancel removes a queued job (after_work gets UV_ECANCELED). For a running job it fails with
 * UV_EBUSY, and the job sees the flag. after_work ends both: ctx_unwatch, ctx_flag_release,
 * ctx_release. A job that blocks in a call and does not look at its flag runs on; give it a time
 * limit of its own. examples/embed/plain.c is a whole program. */

#include <ctx/ctx.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ctx_uv_s ctx_uv_t;
typedef void (*ctx_uv_close_cb)(ctx_uv_t* h);

/* Prepares `h`, in the caller's memory, with a new tree that `loop` drives. `h` must not move, and
 * `loop` must live, until the callback of ctx_uv_close. Times of the tree are those of uv_hrtime.
 * Returns 0, or a code of libuv (for uv_strerror) without a handle on the loop. */
CTX_EXTERN int ctx_uv_init(ctx_uv_t* h, uv_loop_t* loop);

/* The tree and the loop, valid until ctx_uv_close's callback. */
CTX_EXTERN ctx_tree_t* ctx_uv_tree(ctx_uv_t* h);
CTX_EXTERN uv_loop_t* ctx_uv_loop(const ctx_uv_t* h);

/* From now on `h` keeps uv_run from returning, even if nothing is pending, until ctx_uv_unref or
 * ctx_uv_close. It is for programs that wait only for deadlines, timers or other threads. Off at
 * first. Calling it again does nothing. */
CTX_EXTERN void ctx_uv_ref(ctx_uv_t* h);

/* Undoes ctx_uv_ref. Calling it again does nothing. */
CTX_EXTERN void ctx_uv_unref(ctx_uv_t* h);

/* Closes the tree, as ctx_tree_close does, and then the handles. It calls no watcher and cancels
 * nothing: cancel before, with ctx_cancel and ctx_tree_run. Flags stay valid. `close_cb` (may be
 * NULL) is called on a later turn of the loop, when `h` may be used for something else. Call this
 * before a uv_walk that closes the rest of the loop, and let the walk skip handles for which
 * uv_is_closing is true. Calling it again does nothing; that `close_cb` is dropped. To call the
 * watchers before:
 *
 *     ctx_cancel(&root, NULL);         // a context of yours, above all others
 *     ctx_tree_run(ctx_uv_tree(h));    // calls their watchers
 *     ctx_uv_close(h, NULL); */
CTX_EXTERN void ctx_uv_close(ctx_uv_t* h, ctx_uv_close_cb close_cb);

/* Public because of its size. `data` is for the caller, NULL at first; the library owns the rest. */
struct ctx_uv_s {
  void* data;
  ctx_tree_t tree;
  uv_timer_t timer;
  uv_idle_t idle;
  uv_async_t async;
  uint64_t armed_ns; /* the time for which the timer was started; CTX_NEVER: not active */
  ctx_uv_close_cb close_cb;
  uint8_t open_handles; /* of the three */
  bool closing;
};

#ifdef __cplusplus
}
#endif

#endif
