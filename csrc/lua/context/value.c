/* SPDX-License-Identifier: MIT */
/* Values: request metadata by key. Which value a context has is decided here, not in the core.
 *
 * Contexts with a value form a chain of their own, which skips all others, so that looking up does
 * not grow with the depth of the tree. Along it keys are compared in C, by identity. Each link
 * carries a bit for its key and those of all keys above: most misses end at the first look. A walk
 * ends at the first link that has a table of all that can be seen from there.
 *
 * A link gets its table when walks that began there have cost as much as making one does: then a look
 * up costs the same from any depth, if there are many. And tables are far apart: in a chain that is
 * asked at each link they take memory as the chain does, not as its square. */
#include <string.h>

#include "context/value.h"

#include "context/cause.h"
#include "want.h"

enum { UV_VALUE = 2, UV_KEY = 3, UV_TABLE = 4 };
enum { FAR = 16 };        /* links that cost as much as going by a table */
enum { DEAR = 16 };       /* links that cost as much as one entry of a table to make */
enum { TYPE_FLOAT = 64 }; /* a number that is no integer */

/* Raw equality in numbers: keys are equal when type and id are and, for strings, the bytes. */
typedef struct {
  uint64_t id;
  const char* string;
  size_t length;
  int type;
} value_key;

typedef struct value_s {
  lctx_context base; /* base.values is itself */
  struct value_s* above;
  value_key key;
  uint64_t bits;
  uint32_t depth;  /* links from here to the end */
  uint32_t walked; /* by walks from here that went far; TABLE: UV_TABLE is filled */
} value_t;
enum { TABLE = UINT32_MAX };

static const char nil_marker = 0; /* stands for nil in a table of values */

static uint64_t hash(const char* s, size_t length) {
  uint64_t h = 14695981039346656037u ^ length;
  for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
  return h;
}

static value_key key_of(lua_State* L, int arg) {
  value_key key = {.type = lua_type(L, arg)};
  if (key.type == LUA_TUSERDATA) { /* ctx.key's, the usual case */
    key.id = (uint64_t)(uintptr_t)lua_touserdata(L, arg);
  } else if (key.type == LUA_TNUMBER) {
    int whole;
    key.id = (uint64_t)lua_tointegerx(L, arg, &whole); /* 1.0 is the key 1, as in tables */
    if (!whole) {
      lua_Number n = lua_tonumber(L, arg);
      key.type = TYPE_FLOAT;
      memcpy(&key.id, &n, sizeof n < sizeof key.id ? sizeof n : sizeof key.id);
    }
  } else if (key.type == LUA_TBOOLEAN) {
    key.id = (uint64_t)lua_toboolean(L, arg);
  } else if (key.type == LUA_TSTRING) {
    key.string = lua_tolstring(L, arg, &key.length);
    key.id = hash(key.string, key.length);
  } else {
    key.id = (uint64_t)(uintptr_t)lua_topointer(L, arg);
  }
  return key;
}

static uint64_t bit_of(const value_key* key) {
  return UINT64_C(1) << ((key->id * UINT64_C(0x9E3779B97F4A7C15)) >> 58);
}

static bool same(const value_key* a, const value_key* b) {
  if (a->id != b->id || a->type != b->type || a->length != b->length) return false;
  return a->string == b->string || memcmp(a->string, b->string, a->length) == 0;
}

/* nil is no key, and NaN equals nothing, itself included. */
static void check_key(lua_State* L, int arg) {
  int type = lua_type(L, arg);
  if (type == LUA_TNIL || type == LUA_TNONE) {
    luaL_argerror(L, arg, "key: nil is no key; make one with ctx.key(name)");
  }
  if (type == LUA_TNUMBER && !lua_rawequal(L, arg, arg)) {
    luaL_argerror(L, arg, "key: NaN is no key, since it does not equal itself");
  }
}

/* ctx.with_value(parent, key, value) → c. nil and false are values, too, and hide outer ones. */
static int value_with_value(lua_State* L) {
  lctx_context* parent = lctx_checkcontext(L, 1, "parent");
  check_key(L, 2);
  luaL_checkany(L, 3);
  lua_settop(L, 3);
  value_t* v = (value_t*)lua_newuserdatauv(L, sizeof *v, 4);
  *v = (value_t){{{NULL}, parent->c, parent, &v->base, 0, LCTX_VALUE, false},
                 (value_t*)parent->values,
                 key_of(L, 2),
                 0,
                 1,
                 0};
  if (v->above != NULL) v->depth += v->above->depth;
  v->bits = bit_of(&v->key) | (v->above != NULL ? v->above->bits : 0);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, UV_VALUE);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, UV_KEY);
  lua_pushvalue(L, lua_upvalueindex(LCTX_UP_CONTEXT));
  lua_setmetatable(L, -2);
  v->base.token.ops = &lctx_context_ops;
  lctx_know(L, -1);
  return 1;
}

/* Fills the table of the link on top with everything that can be seen from it; pushes the table. */
static void push_table(lua_State* L, value_t* from) {
  if (from->walked == TABLE) {
    lua_getiuservalue(L, -1, UV_TABLE);
    return;
  }
  lua_newtable(L);
  for (value_t* v = from; v != NULL; v = v->above) {
    lctx_pushknown(L, 1, &v->base);
    lua_getiuservalue(L, -1, UV_KEY);
    lua_pushvalue(L, -1);
    bool hidden = lua_rawget(L, -4) != LUA_TNIL;
    lua_pop(L, 1);
    if (!hidden) {
      if (lua_getiuservalue(L, -2, UV_VALUE) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushlightuserdata(L, (void*)&nil_marker);
      }
      lua_rawset(L, -4);
      lua_pop(L, 1);
    } else {
      lua_pop(L, 2);
    }
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -3, UV_TABLE);
  from->walked = TABLE;
}

static int by_table(lua_State* L, value_t* from) {
  lctx_pushknown(L, 1, &from->base);
  push_table(L, from);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  if (lua_touserdata(L, -1) == &nil_marker) lua_pushnil(L);
  return 1;
}

/* A walk from there went far. Makes a table there, if all such walks have cost as much as that. */
static void note_walk(lua_State* L, value_t* from, uint32_t links) {
  from->walked += links;
  if (from->walked / DEAR < from->depth) return;
  int top = lua_gettop(L);
  lctx_pushknown(L, 1, &from->base);
  push_table(L, from);
  lua_settop(L, top);
}

/* Goes on at `v` with a walk that began at `from`, up to a table. */
static int from_afar(lua_State* L, value_t* from, value_t* v, const value_key* key) {
  uint64_t bit = bit_of(key);
  uint32_t links = FAR;
  while (v != NULL && (v->bits & bit) != 0 && v->walked != TABLE && !same(&v->key, key)) {
    v = v->above;
    links++;
  }
  if (v == NULL || (v->bits & bit) == 0) {
    lua_pushnil(L);
  } else if (v->walked == TABLE) {
    (void)by_table(L, v);
  } else {
    lctx_pushknown(L, 1, &v->base);
    lua_getiuservalue(L, -1, UV_VALUE);
  }
  note_walk(L, from, links);
  return 1;
}

/* The usual cases: a miss, which the bits of the first link tell, and a value that is near. */
int lctx_context_value(lua_State* L) {
  lctx_context* c = lctx_checkcontext(L, 1, "c (call it as c:value(key))");
  value_key key = key_of(L, 2);
  if (key.type != LUA_TUSERDATA) check_key(L, 2);
  uint64_t bit = bit_of(&key);
  value_t* from = (value_t*)c->values;
  if (from != NULL && from->walked == TABLE) return by_table(L, from);
  int links = 0;
  for (value_t* v = from; v != NULL && (v->bits & bit) != 0; v = v->above) {
    if (same(&v->key, &key)) {
      lctx_pushknown(L, 1, &v->base);
      lua_getiuservalue(L, -1, UV_VALUE);
      return 1;
    }
    if (++links > FAR) return from_afar(L, from, v->above, &key);
  }
  lua_pushnil(L);
  return 1;
}

/* -- Keys ------------------------------------------------------------------------------------ */

/* ctx.key(name) → a key that equals only itself. The name is for people. */
static int value_key_new(lua_State* L) {
  lctx_state* S = lctx_upstate(L);
  if (lua_type(L, 1) != LUA_TSTRING) lctx_typeerror(L, 1, "name", "a string");
  lua_newuserdatauv(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lctx_pushref(L, S, LCTX_REF_KEY);
  lua_setmetatable(L, -2);
  return 1;
}

static int key_tostring(lua_State* L) {
  if (!lua_isuserdata(L, 1) || lua_getiuservalue(L, 1, 1) != LUA_TSTRING) {
    return lctx_typeerror(L, 1, "key", "a key");
  }
  return 1;
}

/* Only a key that ctx.key made has a name to be shown. Another one may be a secret itself. */
void lctx_pushkeyname(lua_State* L, lctx_state* S, lctx_context* value) {
  lctx_pushknown(L, 1, value);
  lua_getiuservalue(L, -1, UV_KEY);
  lua_replace(L, -2);
  bool made = false;
  if (lua_getmetatable(L, -1)) {
    lctx_pushref(L, S, LCTX_REF_KEY);
    made = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (made) {
    lua_getiuservalue(L, -1, 1);
  } else {
    lua_pushstring(L, luaL_typename(L, -1));
  }
  lua_replace(L, -2);
}

void lctx_open_value(lua_State* L, lctx_state* S) {
  static const luaL_Reg functions[] = {
      {"with_value", value_with_value}, {"key", value_key_new}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__tostring", key_tostring}, {NULL, NULL}};
  lctx_register(L, S, functions);
  lctx_pushref(L, S, LCTX_REF_KEY);
  lctx_register(L, S, metamethods);
  lua_pushstring(L, "ctx.Key");
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}
