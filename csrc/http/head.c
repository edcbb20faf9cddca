/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum { STATUS = 1, REASON, HEADERS, LENGTH, KEEP_ALIVE, MINOR, DATE, HINT, ARGUMENTS = HINT };

/* The head is walked through twice: once to check and count it, once to write it. A finalizer may
 * change the headers meanwhile, so never more is written than there is room for. */
struct head {
  lua_State* L;
  char* out; /* NULL while counting */
  size_t size, room;
  lua_Integer length; /* -1: the program gave none */
  int keep_alive, has_date, has_hint;
  int trailers;      /* the lines are trailers: the server adds none */
  const char* wrong; /* why it must not be sent so */
};

static void put(struct head* h, const char* s, size_t n) {
  if (h->out && n > h->room - h->size) {
    h->wrong = "longer than before";
    return;
  }
  if (h->out) memcpy(h->out + h->size, s, n);
  h->size += n;
}

static void put_number(struct head* h, lua_Integer n) {
  char digits[24];
  char* at = digits + sizeof digits;
  do {
    *--at = (char)('0' + n % 10);
    n /= 10;
  } while (n > 0);
  put(h, at, (size_t)(digits + sizeof digits - at));
}

static void put_text(struct head* h, const char* s) {
  put(h, s, strlen(s));
}

/* ---- what the program gave ------------------------------------------------------------------- */

/* RFC 9110, 5.6.2. */
static int is_token(const char* s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    int alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return 0;
  }
  return n > 0;
}

/* RFC 9110, 5.5. Line breaks are among these. */
static int is_value(const char* s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return 0;
  }
  return 1;
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int is_same(const char* s, const char* word, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (lower(s[i]) != lower(word[i])) return 0;
  }
  return 1;
}

/* Whether it is this word, in any case. */
#define SAME(s, n, word) ((n) == sizeof(word) - 1 && is_same(s, word, n))

static void take_length(struct head* h, const char* value, size_t size) {
  lua_Integer length = 0;
  int digits = size > 0 && size < 18;
  for (size_t i = 0; digits && i < size; i++) {
    digits = value[i] >= '0' && value[i] <= '9';
    length = length * 10 + (value[i] - '0');
  }
  if (!digits) {
    h->wrong = "not a length";
  } else if (lua_isinteger(h->L, LENGTH) && lua_tointeger(h->L, LENGTH) != length) {
    h->wrong = "not the length of the body";
  } else if (h->length >= 0 && h->length != length) {
    h->wrong = "two lengths that differ";
  } else {
    h->length = length;
  }
}

/* Whether the line is written as it is: the server itself frames the message. */
static int is_plain(struct head* h, const char* name, size_t name_size, const char* value,
                    size_t size) {
  if (h->trailers) return 1;
  if (SAME(name, name_size, "content-length")) {
    take_length(h, value, size);
    return 0;
  } else if (SAME(name, name_size, "transfer-encoding")) {
    h->wrong = "the server frames the body";
    return 0;
  } else if (SAME(name, name_size, "connection")) {
    if (SAME(value, size, "close")) h->keep_alive = 0;
    return 0;
  }
  if (SAME(name, name_size, "date")) h->has_date = 1;
  if (SAME(name, name_size, "keep-alive")) h->has_hint = 1;
  return 1;
}

/* Names whose registered spelling is not that of put_name. */
static const struct {
  const char* name;
  size_t size;
} SPELLINGS[] = {
    {"ETag", 4}, {"WWW-Authenticate", 16}, {"X-Request-ID", 12}, {"DAV", 3}, {"MIME-Version", 12}};

/* Writes a name in one spelling: capitals at the beginning and after a hyphen. */
static void put_name(struct head* h, const char* name, size_t size) {
  size_t from = h->size;
  put(h, name, size);
  if (!h->out || h->wrong) return;
  char* at = h->out + from;
  for (size_t i = 0; i < size; i++) {
    int first = i == 0 || at[i - 1] == '-';
    if (first && at[i] >= 'a' && at[i] <= 'z') at[i] = (char)(at[i] - 32);
    if (!first && at[i] >= 'A' && at[i] <= 'Z') at[i] = (char)(at[i] + 32);
  }
  for (size_t i = 0; i < sizeof SPELLINGS / sizeof *SPELLINGS; i++) {
    if (size == SPELLINGS[i].size && is_same(at, SPELLINGS[i].name, size))
      memcpy(at, SPELLINGS[i].name, size);
  }
}

/* The shortest text that reads back as this number, without a fraction if it is whole, and with a
 * decimal point in every locale. */
static void write_number(char* text, size_t room, lua_Number n) {
  const char* point = localeconv()->decimal_point;
  (void)snprintf(text, room, "%.15g", n);
  if (strtod(text, NULL) != n) (void)snprintf(text, room, "%.17g", n);
  char* at = *point != '\0' ? strstr(text, point) : NULL;
  if (at == NULL) return;
  *at = '.';
  memmove(at + 1, at + strlen(point), strlen(at + strlen(point)) + 1);
}

/* A length that is a float, such as 5.0. */
static void make_whole(lua_State* L) {
  int is_whole;
  lua_Integer n = lua_tointegerx(L, -1, &is_whole);
  if (!is_whole) return;
  lua_pushinteger(L, n);
  lua_replace(L, -2);
}

/* The text of the string or number on top of the stack, which may be in `number`; NULL: another value. */
static const char* text_of(struct head* h, int is_length, char* number, size_t room, size_t* size) {
  lua_State* L = h->L;
  if (is_length && lua_type(L, -1) == LUA_TNUMBER) make_whole(L);
  if (lua_type(L, -1) != LUA_TNUMBER || lua_isinteger(L, -1)) return lua_tolstring(L, -1, size);
  lua_Number n = lua_tonumber(L, -1);
  if (n - n != 0) return NULL; /* neither infinite nor NaN */
  write_number(number, room, n);
  *size = strlen(number);
  return number;
}

/* One line of the name at `name` and the value on top of the stack, which stays. */
static void put_line(struct head* h, int name) {
  char number[64];
  size_t name_size, size = 0;
  const char* name_at = lua_tolstring(h->L, name, &name_size);
  const char* value = NULL;
  if (lua_isstring(h->L, -1))
    value = text_of(h, SAME(name_at, name_size, "content-length"), number, sizeof number, &size);
  if (value == NULL) {
    h->wrong = "a string, a number or a list of them expected";
  } else if (!is_value(value, size)) {
    h->wrong = "a control character in the value";
  } else if (is_plain(h, name_at, name_size, value, size)) {
    put_name(h, name_at, name_size);
    put(h, ": ", 2);
    put(h, value, size);
    put(h, "\r\n", 2);
  }
}

/* Whether the table at the index is a list of n values, without other keys than the `n` of table.pack:
 * other keys would be ignored. */
static int is_list(lua_State* L, int index, lua_Integer n) {
  lua_Integer count = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_isinteger(L, -1)) {
      count++;
    } else if (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "n") != 0) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return count == n;
}

/* The lines of the key and the value on top of the stack; both stay. */
static void put_lines(struct head* h) {
  lua_State* L = h->L;
  int value = lua_gettop(L), name = value - 1;
  size_t size;
  if (lua_type(L, name) != LUA_TSTRING) {
    h->wrong = "the name of a header is a string";
    return;
  }
  const char* at = lua_tolstring(L, name, &size);
  if (!is_token(at, size)) {
    h->wrong = "not the name of a header";
  } else if (!lua_istable(L, value)) {
    lua_pushvalue(L, value); /* a copy: lua_tolstring must not change the table */
    put_line(h, name);
    lua_pop(L, 1);
  } else {
    lua_Integer n = (lua_Integer)lua_rawlen(L, value);
    if (!is_list(L, value, n)) h->wrong = "a string, a number or a list of them expected";
    for (lua_Integer i = 1; i <= n && !h->wrong; i++) {
      lua_rawgeti(L, value, i);
      put_line(h, name);
      lua_pop(L, 1);
    }
  }
}

/* The lines of the table at `headers`. At the first that cannot be sent, pushes "name: what is wrong" and
 * returns 0. */
static int put_headers(struct head* h, int headers) {
  lua_State* L = h->L;
  if (!lua_istable(L, headers)) return 1;
  lua_pushnil(L);
  while (lua_next(L, headers)) {
    put_lines(h);
    if (h->wrong) {
      lua_pushfstring(L, "header %s: %s", luaL_tolstring(L, -2, NULL), h->wrong);
      return 0;
    }
    lua_pop(L, 1);
  }
  return 1;
}

/* ---- what the server adds -------------------------------------------------------------------- */

static void put_status(struct head* h) {
  put_text(h, lua_tointeger(h->L, MINOR) == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  put_number(h, lua_tointeger(h->L, STATUS));
  put(h, " ", 1);
  put_text(h, lua_tostring(h->L, REASON));
  put(h, "\r\n", 2);
}

/* Writes how the body ends. In HTTP/1.0, with unknown length: with the connection. */
static void put_framing(struct head* h) {
  lua_Integer status = lua_tointeger(h->L, STATUS);
  if (status < 200 || status == 204) h->length = -1; /* RFC 9110, 8.6 */
  if (lua_isinteger(h->L, LENGTH)) h->length = lua_tointeger(h->L, LENGTH);
  if (h->length >= 0) {
    put_text(h, "Content-Length: ");
    put_number(h, h->length);
    put(h, "\r\n", 2);
  } else if (lua_isboolean(h->L, LENGTH)) {
    if (lua_tointeger(h->L, MINOR) == 0) {
      h->keep_alive = 0;
    } else {
      put_text(h, "Transfer-Encoding: chunked\r\n");
    }
  }
}

static void put_rest(struct head* h) {
  put_framing(h);
  if (!h->has_date) {
    put_text(h, "Date: ");
    put_text(h, lua_tostring(h->L, DATE));
    put(h, "\r\n", 2);
  }
  if (!h->keep_alive) {
    put_text(h, "Connection: close\r\n");
  } else if (lua_tointeger(h->L, MINOR) == 0) {
    put_text(h, "Connection: keep-alive\r\n");
  }
  if (h->keep_alive && !h->has_hint && lua_isinteger(h->L, HINT)) {
    put_text(h, "Keep-Alive: timeout=");
    put_number(h, lua_tointeger(h->L, HINT));
    put(h, "\r\n", 2);
  }
  put(h, "\r\n", 2);
}

/* Returns 0 with a message on the stack if it must not be sent. */
static int put_head(struct head* h) {
  put_status(h);
  if (!put_headers(h, HEADERS)) return 0;
  put_rest(h);
  return 1;
}

/* Pushes the bytes and returns 1; or returns 0 with a message on the stack. */
static int put_twice(struct head* h, int (*put_all)(struct head*)) {
  luaL_Buffer buffer;
  if (!put_all(h)) return 0;
  h->room = h->size;
  h->out = luaL_buffinitsize(h->L, &buffer, h->room);
  h->size = 0;
  if (!put_all(h) || h->wrong) {
    lua_pushliteral(h->L, "changed while they were read");
    return 0;
  }
  luaL_pushresultsize(&buffer, h->size);
  return 1;
}

static int fail(lua_State* L) {
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

int http_head(lua_State* L) {
  struct head h = {.L = L, .length = -1};
  lua_settop(L, ARGUMENTS);
  lua_tostring(L, REASON);
  h.keep_alive = lua_toboolean(L, KEEP_ALIVE);
  if (!put_twice(&h, put_head)) return fail(L);
  lua_pushboolean(L, h.keep_alive);
  if (h.length < 0) return 2;
  lua_pushinteger(L, h.length);
  return 3;
}

static int put_trailers(struct head* h) {
  return put_headers(h, 1);
}

int http_trailers(lua_State* L) {
  struct head h = {.L = L, .length = -1, .trailers = 1};
  lua_settop(L, 1);
  return put_twice(&h, put_trailers) ? 1 : fail(L);
}
