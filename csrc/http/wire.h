/* SPDX-License-Identifier: MIT */
#pragma once

#include <lua.h>

#pragma GCC visibility push(hidden)

/* head(status, reason, headers, length, keep_alive, minor, date [, hint]) -> bytes, keep_alive, length
 *
 * The head of a response. `headers` is a table: name -> value, or list of values; a number stands for
 * its text. `length` frames the body. An integer is its Content-Length; false makes it chunked, or in
 * HTTP/1.0 ended by the connection; nil means no body, and no header about one. A Content-Length among
 * the headers replaces false and nil, and must equal a number; with 204 and below 200 it is not sent.
 * `hint`: the seconds for which the connection will be kept. Returns whether the connection goes on, and
 * the Content-Length that was used, or nil.
 *
 * For a header that must not be sent (an invalid name, a value with a line break, a framing header that
 * the server itself sets) it returns nil and what is wrong. */
int http_head(lua_State* L);

/* trailers(fields) -> bytes: the lines of such a table, without the empty line; or nil and what is wrong. */
int http_trailers(lua_State* L);

#pragma GCC visibility pop
