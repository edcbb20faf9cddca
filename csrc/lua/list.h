/* SPDX-License-Identifier: MIT */
/* May include: nothing. */
#pragma once

/* Intrusive lists: circular, with a sentinel, so that a link can leave without naming its list. */

#include <stdbool.h>
#include <stddef.h>

typedef struct lctx_link lctx_link;
struct lctx_link {
  lctx_link *next, *prev; /* circular; NULL: in no list */
};

static inline void lctx_list_init(lctx_link* list) {
  list->next = list->prev = list;
}
static inline bool lctx_list_empty(const lctx_link* list) {
  return list->next == list;
}
static inline void lctx_list_append(lctx_link* list, lctx_link* link) {
  link->next = list;
  link->prev = list->prev;
  link->prev->next = link;
  list->prev = link;
}
static inline void lctx_list_prepend(lctx_link* list, lctx_link* link) {
  lctx_list_append(list->next, link);
}
static inline void lctx_list_remove(lctx_link* link) {
  if (link->next == NULL) return;
  link->next->prev = link->prev;
  link->prev->next = link->next;
  link->next = link->prev = NULL;
}
#define LCTX_CONTAINER(pointer, type, member)                                                      \
  ((type*)(void*)(&((char*)(pointer))[-(ptrdiff_t)offsetof(type, member)]))
