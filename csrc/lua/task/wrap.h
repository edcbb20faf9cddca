/* SPDX-License-Identifier: MIT */
/* May include: ground, report, task. */
#pragma once

/* Generators: coroutines whose plain yields give values to the coroutine that iterates, the iterator, and
 * whose waits are waits of the iterator. The body of a generator has no record of its own. It yields to
 * the iterator, which yields to the scheduler; the results of a wake-up take the same way back.
 *
 * S->generator is the innermost generator whose body runs. It is set before a body is resumed, and
 * restored afterwards, so that it is right whatever runs meanwhile. */
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

/* Whether L is the body of a generator, and its iterator has resumed it. If other code resumes the body,
 * the record of its wait is not known any more: the iterator may have been closed meanwhile. */
static inline bool lctx_is_iterated(const lctx_state* S, const lua_State* L) {
  return S->generator != NULL && S->generator->co == L;
}

/* The coroutine that waits when L waits: L itself; or, if L is the body of a generator, its iterator, or
 * the first coroutine on the way there that cannot yield. */
lua_State* lctx_find_iterator(lua_State* L, lctx_state* S);
static inline lua_State* lctx_waiting_coroutine(lua_State* L, lctx_state* S) {
  return S->generator == NULL ? L : lctx_find_iterator(L, S);
}
/* Whether `L` is `co`, or iterates over it, whatever may yield on the way. */
bool lctx_waits_for(const lua_State* L, const lua_State* co, const lctx_state* S);
/* The body of a generator, if L is one, is about to yield for a wait. */
void lctx_generator_waits(lua_State* L, lctx_state* S, lctx_task* t);
