/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

#pragma GCC visibility push(hidden)

/* head(status, reason, headers, length, keep_alive, minor, date [, hint]) -> bytes, keep_alive, length
 *
 * The head of a response. `headers` is a table: name -> value, or list of values; numbers count as
 * their text. `length` frames the body: an integer is its Content-Length, false makes it chunked (or,
 * in HTTP/1.0, ended by the end of the connection), nil is no body and no word about one. A
 * Content-Length among the headers takes the place of false, and of nil; beside a number it must be
 * the same; with 204 and below 200 it is left out. `hint`: how many seconds the connection will be
 * kept, told if it is. Returns whether the connection goes on, and the Content-Length that was used, or nil.
 *
 * A header that must not be sent so - an invalid name, a value with a line break, a framing
 * header that is the server's own - gives nil and what is wrong with it. */
int http_head(lua_State* L);

/* trailers(fields) -> bytes: the lines of such a table without their end, or nil and what is wrong. */
int http_trailers(lua_State* L);

#pragma GCC visibility pop
