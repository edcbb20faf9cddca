/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

/* Generators: coroutines whose plain yields give values to the coroutine that iterates, and whose waits
 * are that one's waits. The body of a generator has no record of its own: it yields to the iterator,
 * which yields on, up to the scheduler; and what wakes the iterator is handed down the same way.
 *
 * S->generator is the innermost one whose body runs: set before a body is resumed, put back behind
 * it, so that it is right whatever else runs meanwhile. */
#include "state.h"

struct lctx_generator {
  const void* tag;
  lua_State *co,
      *iterator;         /* its body; the coroutine that iterates, while the body runs or waits */
  lctx_generator* outer; /* whose body iterates */
  lctx_task* t;          /* the record of its wait */
  bool busy, waiting;    /* its body runs or waits; it waits */
  bool nested;           /* while it waits: the iterator is a body, too */
};

/* Whether L is the body of a generator, and it is its iterator that has resumed it. To a body that
 * somebody else resumes the record of its wait is not known any more: the iterator may have been
 * closed meanwhile. */
static inline bool lctx_is_iterated(const lctx_state* S, const lua_State* L) {
  return S->generator != NULL && S->generator->co == L;
}

/* The coroutine that waits when L does: L itself, or where L is the body of a generator the one that
 * iterates; or the first on the way there that cannot yield. */
lua_State* lctx_find_iterator(lua_State* L, lctx_state* S);
static inline lua_State* lctx_waiting_coroutine(lua_State* L, lctx_state* S) {
  return S->generator == NULL ? L : lctx_find_iterator(L, S);
}
/* Whether `L` is `co`, or iterates over it, whatever may yield on the way. */
bool lctx_waits_for(const lua_State* L, const lua_State* co, const lctx_state* S);
/* The body of a generator, if L is one, is about to yield for a wait. */
void lctx_generator_waits(lua_State* L, lctx_state* S, lctx_task* t);
