/* SPDX-License-Identifier: MIT */
/* May include: ground, context, task. */
#pragma once

/* The invariants of records (record.h), checked: in builds with CTX_CHECK, which the presets for
 * development and those with sanitizers are. */
#include "state.h"

#ifdef CTX_CHECK
/* Called after each turn of the scheduler. Ends the process at the first invariant that does not hold.
 * Looks at every record if there are few, else at some more of them in each call. */
void lctx_check_records(lctx_state* S);
#else
static inline void lctx_check_records(lctx_state* S) {
  (void)S;
}
#endif
