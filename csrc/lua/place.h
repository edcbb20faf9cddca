/* SPDX-License-Identifier: MIT */
#ifndef LCTX_PLACE_H
#define LCTX_PLACE_H

/* What a task's record keeps alive while it needs it: in tables by its slot, each of which has a
 * place for every record that has a thread.
 *
 * The tables stand on the stack of a thread of their own, the shelf. So they are at hand in any
 * function, without a look into the registry; and since the places are there, filling one allocates
 * nothing and raises no error, which on the shelf nobody would catch. */
#include "lctx.h"

/* Indices on the shelf. */
enum lctx_place {
  LCTX_PLACE_THREAD = 1, /* its coroutine */
  LCTX_PLACE_ANCHOR,     /* what that waits on */
  LCTX_PLACE_LIST,       /* the owner of the list that it stands in; or what aborts an await */
  LCTX_PLACE_GROUP,      /* the task's group */
  LCTX_PLACE_HANDLE,     /* the task's handle; weak values */
  LCTX_PLACES = LCTX_PLACE_HANDLE
};

/* Puts the value on top into the record's place; pops it. */
static inline void lctx_put(lua_State* L, lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  lua_xmove(L, shelf, 1);
  lua_rawseti(shelf, place, t->slot);
}
/* Pushes what is in the record's place; returns its type. */
static inline int lctx_pushplace(lua_State* L, lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  int type = lua_rawgeti(shelf, place, t->slot);
  lua_xmove(shelf, L, 1);
  return type;
}
/* Puts false there: not nil, so that the place stays and lctx_put cannot fail. */
static inline void lctx_empty(lctx_task* t, enum lctx_place place) {
  lua_State* shelf = t->S->shelf;
  lua_pushboolean(shelf, 0);
  lua_rawseti(shelf, place, t->slot);
}
/* Lets go of the owner of the list that the coroutine stood in. */
static inline void lctx_unlist(lctx_task* t) {
  if (t->listed) lctx_empty(t, LCTX_PLACE_LIST);
  t->listed = false;
}

#endif
