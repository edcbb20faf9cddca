/* SPDX-License-Identifier: MIT */
/* The contexts that were not cancelled yet, in a table with weak values.
 *
 * Every context that comes with a cancel takes a slot and gives it back when cancelled. A slot in
 * use whose context has been collected is a lost cancel. It is found without finalizers, which would
 * cost more than making a context. The slots are scanned when none is free, and when the program
 * asks. */
#include "report/live.h"

#include "enter.h"
#include "report/where.h"

enum { FIRST_SLOTS = 64 };

/* A slot in use holds the address of its number in the context, to be compared, never followed. A free
 * one holds the number of the next free one, doubled, plus one: no address is odd. Number 0 ends the
 * list; slot 0 is never used. From slots_top on none is in use, nor in the list: what a wave of contexts
 * needed is not looked through when it is over. */
static bool is_free(uintptr_t slot) {
  return (slot & 1) != 0;
}

static void set_free(lctx_state* S, uint32_t i) {
  S->slots[i] = (uintptr_t)S->slots_free * 2 + 1;
  S->slots_free = i;
}

static void report_lost(lua_State* L, lctx_state* S, uint32_t slot) {
  lctx_pushref(L, S, LCTX_REF_LINES);
  bool known = lua_rawgeti(L, -1, slot) == LUA_TSTRING;
  lua_remove(L, -2);
  if (known) {
    lctx_hook(L, S, "lost_cancel", 1, 0);
  } else {
    lua_pop(L, 1);
  }
}

static bool resize_slots(lua_State* L, lctx_state* S, uint32_t size) {
  void* data;
  lua_Alloc alloc = lua_getallocf(L, &data);
  void* slots = alloc(data, S->slots, S->slots_size * sizeof *S->slots, size * sizeof *S->slots);
  if (slots == NULL) return false;
  S->slots = (uintptr_t*)slots;
  S->slots_size = size;
  return true;
}

/* Leaves out the free slots at the end, if that is worth the while: lists the others anew. */
static void lower_top(lua_State* L, lctx_state* S) {
  uint32_t top = S->slots_top;
  while (top > 1 && is_free(S->slots[top - 1])) top--;
  if (top > S->slots_top / 2) return;
  S->slots_top = top;
  S->slots_free = 0;
  while (top-- > 1) {
    if (is_free(S->slots[top])) set_free(S, top);
  }
  uint32_t size = S->slots_size;
  while (size > FIRST_SLOTS && S->slots_top < size / 4) size /= 2;
  if (size < S->slots_size) (void)resize_slots(L, S, size);
}

/* Answers how many slots are in use. */
static uint32_t scan_slots(lua_State* L, lctx_state* S) {
  uint32_t used = 0;
  lctx_pushref(L, S, LCTX_REF_LIVE);
  /* Backwards, so that the slots that come free are handed out from the front. The size is read
   * each time, as reports run user code. */
  for (uint32_t i = S->slots_top; i-- > 1;) {
    if (i >= S->slots_top || is_free(S->slots[i])) continue;
    bool gone = lua_rawgeti(L, -1, i) == LUA_TNIL;
    lua_pop(L, 1);
    if (!gone) {
      used++;
      continue;
    }
    S->lost++;
    set_free(S, i);
    if (S->debug) report_lost(L, S, i);
  }
  lua_pop(L, 1);
  lower_top(L, S);
  return used;
}

void lctx_live_scan(lua_State* L, lctx_state* S) {
  if (S->slots_top > 1 && lua_checkstack(L, 10)) (void)scan_slots(L, S);
}

static void grow_slots(lua_State* L, lctx_state* S) {
  if (!resize_slots(L, S, S->slots_size == 0 ? FIRST_SLOTS : S->slots_size * 2)) {
    luaL_error(L, "not enough memory");
  }
  if (S->slots_top == 0) S->slots_top = 1;
}

/* The slot to take next; 0 if there is none. */
static uint32_t next_slot(const lctx_state* S) {
  if (S->slots_free != 0) return S->slots_free;
  return S->slots_top < S->slots_size ? S->slots_top : 0;
}

static void take_slot(lctx_state* S, uint32_t slot) {
  if (slot == S->slots_free) {
    S->slots_free = (uint32_t)(S->slots[slot] / 2);
  } else {
    S->slots_top++;
  }
}

/* Pops the line on top. */
static void remember_line(lua_State* L, lctx_state* S, uint32_t slot) {
  lctx_pushref(L, S, LCTX_REF_LINES);
  lua_insert(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
}

void lctx_live_add(lua_State* L, lctx_state* S, uint32_t* place, int index) {
  bool debug = S->debug;
  /* The line that made the context. First, as it may run finalizers, which take slots, too. */
  if (debug) lctx_pushwhere(L, S);
  if (S->slots_free == 0 && S->slots_top == S->slots_size && !S->closed) {
    /* Growing by a half-empty table at the latest keeps scans as rare as doublings. */
    if (S->slots_size == 0 || scan_slots(L, S) > S->slots_size / 2) grow_slots(L, S);
  }
  uint32_t slot = next_slot(S); /* 0 has no place among the live ones, but its line may be kept */
  if (debug) remember_line(L, S, slot);
  if (slot == 0) return;
  lua_pushvalue(L, index);
  lua_rawseti(L, lua_upvalueindex(LCTX_UP_LIVE), slot);
  take_slot(S, slot);
  S->slots[slot] = (uintptr_t)place;
  *place = slot;
}

void lctx_live_remove(lctx_state* S, uint32_t* place) {
  uint32_t slot = *place;
  if (slot == 0) return;
  /* A context that only a finalizer brought back may have lost its slot to another meanwhile. */
  if (slot < S->slots_top && S->slots[slot] == (uintptr_t)place) set_free(S, slot);
  *place = 0;
}

/* core.contexts() → list of {context =, made =}: those that were not cancelled; some of them are done. */
static int core_contexts(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  lctx_live_scan(L, S);
  lua_newtable(L);
  lctx_pushref(L, S, LCTX_REF_LINES);
  lua_Integer n = 0;
  for (uint32_t i = 1; i < S->slots_top; i++) {
    if (is_free(S->slots[i])) continue;
    if (lua_rawgeti(L, lua_upvalueindex(LCTX_UP_LIVE), i) == LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    lua_createtable(L, 0, 2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "context");
    lua_rawgeti(L, -2, i);
    lua_setfield(L, -2, "made");
    lua_rawseti(L, 1, ++n);
  }
  lua_settop(L, 1);
  return 1;
}

void lctx_open_live(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {{"contexts", core_contexts}, {NULL, NULL}};
  lctx_register(L, S, functions);
}
