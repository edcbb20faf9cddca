/* SPDX-License-Identifier: MIT */
#include "anchor.h"

enum { MANY = 1024 }; /* slots: when all of so many are free, the table goes */

/* A wave is over: its table is not kept for ever. */
static void start_anew(lua_State* L, lctx_state* S, lctx_anchors* anchors) {
  lua_newtable(L);
  if (anchors->used > 0) { /* a finalizer was quicker */
    lua_pop(L, 1);
    return;
  }
  lctx_setref(L, S, anchors->ref);
  anchors->size = anchors->free = 0;
}

uint32_t lctx_anchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, int index) {
  index = lua_absindex(L, index);
  if (anchors->used == 0 && anchors->size > MANY) start_anew(L, S, anchors);
  uint32_t slot = anchors->free, next = 0;
  lctx_pushref(L, S, anchors->ref);
  if (slot == 0) {
    slot = anchors->size + 1;
  } else {
    lua_rawgeti(L, -1, slot);
    next = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  if (slot > anchors->size) anchors->size = slot;
  anchors->free = next;
  anchors->used++;
  return slot;
}

void lctx_unanchor(lua_State* L, lctx_state* S, lctx_anchors* anchors, uint32_t slot) {
  if (slot == 0) return;
  lctx_pushref(L, S, anchors->ref);
  lua_pushinteger(L, anchors->free);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  anchors->free = slot;
  anchors->used--;
}

int lctx_push_anchored(lua_State* L, lctx_state* S, const lctx_anchors* anchors, uint32_t slot) {
  lctx_pushref(L, S, anchors->ref);
  int type = lua_rawgeti(L, -1, slot);
  lua_remove(L, -2);
  return type;
}
