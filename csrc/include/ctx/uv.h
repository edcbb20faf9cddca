/* SPDX-License-Identifier: MIT */
#ifndef CTX_UV_H
#define CTX_UV_H

/* The libuv host: drives a tree of contexts (ctx.h) from a uv_loop_t. For C programs; not for
 * the loop of a Lua state, which luv owns (ctx/lua.h).
 *
 * THREADS. A ctx_uv_t belongs to the thread that runs its loop, and so does every function here.
 * Other threads have the four functions that ctx.h names.
 *
 * COST. Three handles on the loop, whatever the number of contexts: one timer behind all deadlines,
 * one idle handle for what is due at once, one async handle for other threads.
 *
 * THE LOOP'S LIFE. Contexts and deadlines by themselves do not keep uv_run from returning; ask for
 * that with ctx_uv_ref. What is due already (the watchers of a context that was just cancelled)
 * does, for the turn in which it is called. Another thread that may still cancel does not; a
 * uv_work_t that is queued or runs does, as ever.
 *
 * WHEN. A deadline is noticed in the first turn of the loop that starts a whole millisecond after
 * it or sooner, never before it. Calls that are due at once come once per turn, before polling, so
 * that a program which keeps making more of them still gets its I/O.
 *
 * WORK ON THE THREAD POOL is cancelled in two halves, since a job is either queued or running:
 *
 *     ctx_with_deadline(&job->c, parent, at_ns, NULL);
 *     job->flag = ctx_share(&job->c);                  // the job polls ctx_flag_err(job->flag)
 *     ctx_watch(&job->c, &job->watcher, on_done);      // on_done calls uv_cancel(&job->work)
 *     uv_queue_work(loop, &job->work, do_work, after_work);
 *
 * uv_cancel takes a queued job back (after_work gets UV_ECANCELED) and refuses a running one with
 * UV_EBUSY, which sees the flag. after_work ends both: ctx_unwatch, ctx_flag_release, ctx_release.
 * A job that blocks in a call which looks at no flag runs on; give it a time limit of its own.
 * examples/embed/plain.c is the whole of it. */

#include <ctx/ctx.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ctx_uv_s ctx_uv_t;
typedef void (*ctx_uv_close_cb)(ctx_uv_t* h);

/* Prepares `h`, in the caller's memory, with a new tree that `loop` drives. `h` must stay where it
 * is, and `loop` must live, until the callback of ctx_uv_close. Times of the tree are uv_hrtime's.
 * Returns 0, or a code of libuv (for uv_strerror) with nothing left on the loop. */
CTX_EXTERN int ctx_uv_init(ctx_uv_t* h, uv_loop_t* loop);

/* The tree and the loop, valid until ctx_uv_close's callback. */
CTX_EXTERN ctx_tree_t* ctx_uv_tree(ctx_uv_t* h);
CTX_EXTERN uv_loop_t* ctx_uv_loop(const ctx_uv_t* h);

/* From now on `h` keeps uv_run from returning, whether or not anything is pending, until
 * ctx_uv_unref or ctx_uv_close: for a program with nothing to wait for but deadlines, timers or
 * other threads. Off at first. Calling it again does nothing. */
CTX_EXTERN void ctx_uv_ref(ctx_uv_t* h);

/* Takes ctx_uv_ref back. Calling it again does nothing. */
CTX_EXTERN void ctx_uv_unref(ctx_uv_t* h);

/* Closes the tree, as ctx_tree_close does, and then the handles. Nobody is called any more and
 * nothing is cancelled: what should hear of the end is told before, by ctx_cancel and
 * ctx_tree_run. Flags stay valid. `close_cb` (may be NULL) is called on a later turn of the loop,
 * once `h` is free for other use. Before a uv_walk that closes the rest of the loop, call this
 * first and let the walk skip what uv_is_closing. Calling it again does nothing; that `close_cb` is
 * dropped. To tell those who watch, as uv_close tells by UV_ECANCELED:
 *
 *     ctx_cancel(&root, NULL);         // a context of yours, above all others
 *     ctx_tree_run(ctx_uv_tree(h));    // calls their watchers
 *     ctx_uv_close(h, NULL); */
CTX_EXTERN void ctx_uv_close(ctx_uv_t* h, ctx_uv_close_cb close_cb);

/* Public for its size, and for `data`: the caller's, NULL at first. All else is the library's. */
struct ctx_uv_s {
  void* data;
  ctx_tree_t tree;
  uv_timer_t timer;
  uv_idle_t idle;
  uv_async_t async;
  uint64_t armed_ns; /* for when the timer was started; CTX_NEVER: it is not active */
  ctx_uv_close_cb close_cb;
  uint8_t open_handles; /* of the three */
  bool closing;
};

#ifdef __cplusplus
}
#endif

#endif
