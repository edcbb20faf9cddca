/* SPDX-License-Identifier: MIT */
/* Bytes that callbacks of libcurl keep for Lua. */
#include <string.h>

#include "curl_module.h"

enum { FIRST_CAPACITY = 1024 };

bool hcurl_append(hcurl_pool* p, hcurl_buffer* b, const void* data, size_t size) {
  if (size == 0) return true;
  if (size > b->capacity - b->size) {
    size_t capacity = b->capacity == 0 ? FIRST_CAPACITY : b->capacity;
    while (capacity - b->size < size) {
      if (capacity > SIZE_MAX / 2) return false;
      capacity *= 2;
    }
    char* grown = p->alloc(p->alloc_data, b->data, b->capacity, capacity);
    if (grown == NULL) return false;
    b->data = grown;
    b->capacity = capacity;
  }
  memcpy(b->data + b->size, data, size);
  b->size += size;
  return true;
}

void hcurl_release(hcurl_pool* p, hcurl_buffer* b) {
  if (b->data != NULL) (void)p->alloc(p->alloc_data, b->data, b->capacity, 0);
  *b = (hcurl_buffer){NULL, 0, 0};
}
