/* SPDX-License-Identifier: MIT */
/* Other threads: flags that outlive their context, and the inbox through which they cancel it.
 *
 * A flag has an ear in its context: a linked child, so that the walk that ends the context sets the
 * flag. Only the loop's thread uses ears and the list of flags. The mutex of the inbox guards the
 * fields that both sides use. `err` is atomic, so that polling costs very little. */
#include <pthread.h>
#include <stdatomic.h>

#include "internal.h"

typedef struct ctx_inbox_s {
  pthread_mutex_t mutex;
  const ctx_host_t* host;
  ctx_tree_t* tree;         /* NULL once the tree is closed */
  ctx_flag_t *first, *last; /* the queue of flags with a request for the loop's thread */
  size_t references;        /* the tree's and one for each flag */
  ctx_flag_t* flags;        /* the loop's thread: all flags with an ear, in no order */
} inbox_t;

struct ctx_flag_s {
  atomic_int err;
  inbox_t* inbox;
  /* Under the mutex: */
  size_t references;  /* held by callers */
  ctx_cause_t* cause; /* of the request, until it is carried out */
  ctx_flag_t* queue;  /* the next one in the inbox */
  bool queued;
  bool asked; /* a request was accepted: no other will be */
  bool hears; /* its ear is linked */
  /* The loop's thread: */
  ctx_t ear;
  ctx_flag_t *next, *prev; /* in the inbox's list of flags with an ear */
};

static void* get_memory(const ctx_host_t* host, size_t size) {
  return host->alloc(NULL, NULL, 0, size);
}

/* Drops one reference, with the mutex held, and unlocks it. */
static void leave(inbox_t* inbox, size_t references) {
  inbox->references -= references;
  bool last = inbox->references == 0;
  pthread_mutex_unlock(&inbox->mutex);
  if (!last) return;
  pthread_mutex_destroy(&inbox->mutex);
  inbox->host->alloc(NULL, inbox, sizeof *inbox, 0);
}

/* With the mutex held, which it unlocks: frees the flag if nothing refers to it any more. */
static void leave_flag(ctx_flag_t* flag) {
  inbox_t* inbox = flag->inbox;
  bool dead = flag->references == 0 && !flag->hears && !flag->queued;
  if (dead) inbox->host->alloc(NULL, flag, sizeof *flag, 0);
  leave(inbox, dead ? 1 : 0);
}

static void post_flag(inbox_t* inbox, ctx_flag_t* flag) {
  if (flag->queued) return;
  flag->queued = true;
  flag->queue = NULL;
  if (inbox->first == NULL) {
    inbox->first = flag;
  } else {
    inbox->last->queue = flag;
  }
  inbox->last = flag;
}

static inbox_t* open_inbox(ctx_tree_t* tree) {
  if (tree->inbox != NULL) return tree->inbox;
  inbox_t* inbox = get_memory(tree->host, sizeof *inbox);
  if (inbox == NULL) return NULL;
  *inbox = (inbox_t){.host = tree->host, .tree = tree, .references = 1};
  if (pthread_mutex_init(&inbox->mutex, NULL) != 0) {
    tree->host->alloc(NULL, inbox, sizeof *inbox, 0);
    return NULL;
  }
  tree->inbox = inbox;
  return inbox;
}

/* Links the ear of a new flag into the live `c`. */
static int listen_on(ctx_flag_t* flag) {
  if (ctx__link(&flag->ear) != 0) return CTX_ENOMEM;
  inbox_t* inbox = flag->inbox;
  flag->hears = true;
  flag->next = inbox->flags;
  if (flag->next != NULL) flag->next->prev = flag;
  inbox->flags = flag;
  return 0;
}

/* The ear is in no list of contexts any more. */
static void deaf(ctx_flag_t* flag) {
  inbox_t* inbox = flag->inbox;
  if (flag->next != NULL) flag->next->prev = flag->prev;
  if (flag->prev != NULL) {
    flag->prev->next = flag->next;
  } else {
    inbox->flags = flag->next;
  }
  pthread_mutex_lock(&inbox->mutex);
  flag->hears = false;
  leave_flag(flag);
}

static void unlink_ear(ctx_flag_t* flag) {
  ctx_t* c = flag->ear.parent;
  ctx__unlink(&flag->ear);
  ctx__prune(c);
  deaf(flag);
}

ctx_flag_t* ctx_share(ctx_t* c) {
  ctx_tree_t* tree = c->tree;
  if (tree->closed || tree->host->wake_soon == NULL) return NULL;
  inbox_t* inbox = open_inbox(tree);
  if (inbox == NULL) return NULL;
  ctx_flag_t* flag = get_memory(tree->host, sizeof *flag);
  if (flag == NULL) return NULL;
  *flag = (ctx_flag_t){.inbox = inbox, .references = 1};
  atomic_init(&flag->err, ctx_err(c));
  ctx__init(&flag->ear, tree, c, CTX__FLAG);
  flag->ear.due.flags |= CTX__BORROWS;
  if (ctx_flag_err(flag) == 0 && listen_on(flag) != 0) {
    tree->host->alloc(NULL, flag, sizeof *flag, 0);
    return NULL;
  }
  pthread_mutex_lock(&inbox->mutex);
  inbox->references++;
  pthread_mutex_unlock(&inbox->mutex);
  return flag;
}

void ctx__flag_hear(ctx_t* ear) {
  ctx_flag_t* flag = CTX__CONTAINER(ear, ctx_flag_t, ear);
  atomic_store_explicit(&flag->err, -(int)ear->due.status, memory_order_release);
  deaf(flag);
}

int ctx_flag_err(const ctx_flag_t* flag) {
  return atomic_load_explicit(&flag->err, memory_order_acquire);
}

bool ctx_cancel_async(ctx_flag_t* flag, ctx_cause_t* cause) {
  inbox_t* inbox = flag->inbox;
  pthread_mutex_lock(&inbox->mutex);
  bool taken = inbox->tree != NULL && flag->hears && !flag->asked;
  if (taken) {
    flag->asked = true;
    flag->cause = cause;
    post_flag(inbox, flag);
    /* Under the mutex, so that the tree and its host stay until the call returns. */
    inbox->host->wake_soon(inbox->tree->data);
  }
  pthread_mutex_unlock(&inbox->mutex);
  return taken;
}

void ctx_flag_retain(ctx_flag_t* flag) {
  pthread_mutex_lock(&flag->inbox->mutex);
  flag->references++;
  pthread_mutex_unlock(&flag->inbox->mutex);
}

void ctx_flag_release(ctx_flag_t* flag) {
  inbox_t* inbox = flag->inbox;
  pthread_mutex_lock(&inbox->mutex);
  flag->references--;
  /* The loop's thread unlinks the ear, at its next turn. */
  if (flag->references == 0 && flag->hears && inbox->tree != NULL) post_flag(inbox, flag);
  leave_flag(flag);
}

static void release_cause(ctx_cause_t* cause) {
  if (cause != NULL && cause->ops != NULL && cause->ops->release != NULL) {
    cause->ops->release(cause);
  }
}

/* Carries out the request of a flag from the queue that has an ear. It may free the flag. */
static void serve(ctx_flag_t* flag, bool asked, bool gone, ctx_cause_t* cause) {
  ctx_t* c = flag->ear.parent;
  if (asked && c->due.kind > CTX__WITHOUT) {
    ctx_cancel(c, cause);
  } else if (gone) {
    unlink_ear(flag);
  }
}

void ctx__inbox_run(ctx_tree_t* tree) {
  inbox_t* inbox = tree->inbox;
  for (;;) {
    pthread_mutex_lock(&inbox->mutex);
    ctx_flag_t* flag = inbox->first;
    if (flag == NULL) break;
    inbox->first = flag->queue;
    flag->queued = false;
    ctx_cause_t* cause = flag->cause;
    flag->cause = NULL;
    bool asked = flag->asked, gone = flag->references == 0;
    if (flag->hears) {
      pthread_mutex_unlock(&inbox->mutex);
      serve(flag, asked, gone, cause);
    } else {
      leave_flag(flag);
    }
    release_cause(cause);
  }
  pthread_mutex_unlock(&inbox->mutex);
}

void ctx__inbox_close(ctx_tree_t* tree) {
  inbox_t* inbox = tree->inbox;
  pthread_mutex_lock(&inbox->mutex);
  inbox->tree = NULL;
  pthread_mutex_unlock(&inbox->mutex);
  while (inbox->flags != NULL) unlink_ear(inbox->flags);
  ctx__inbox_run(tree);
  tree->inbox = NULL;
  pthread_mutex_lock(&inbox->mutex);
  leave(inbox, 1);
}
