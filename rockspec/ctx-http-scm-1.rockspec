-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "ctx-http"
version = "scm-1"

source = {
  url = "git+https://github.com/ctx-lua/ctx.git",
}

description = {
  summary = "HTTP for ctx: requests whose work dies with the client, and a client with deadlines",
  detailed = [[
    An HTTP/1 server whose request contexts end when the client leaves, the deadline passes or the
    server shuts down; a client that carries context, deadline and trace to the next service; and
    an exporter of spans (OTLP). Needs llhttp, libcurl and CMake (Debian: libllhttp-dev, on
    Debian 12 node-llhttp; libcurl4-openssl-dev, cmake).
  ]],
  homepage = "https://github.com/ctx-lua/ctx",
  license = "MIT",
  labels = { "async", "http", "luv", "context" },
}

supported_platforms = { "unix" }

-- The two rocks share internals, so they are of the same version.
dependencies = {
  "lua >= 5.4, < 5.6",
  "luv >= 1.44",
  "ctx == scm-1",
  "lua-cjson", -- for JSON bodies
}

-- For LuaRocks' variables CURL_DIR, LLHTTP_DIR and their like. Nothing is checked here: llhttp comes as
-- a library or as C sources, by system, and libcurl's headers stand in a folder that LuaRocks does
-- not know on some. CMake finds them (cmake/http.cmake), or says what is missing.
external_dependencies = {
  CURL = {},
  LLHTTP = {},
}

-- From nothing, since CMake keeps what it found for another Lua or compiler. CC and CFLAGS go by the
-- environment, where CC may have arguments. .ci/walls compares the list of Lua files with the tree.
build = {
  type = "command",
  build_command = 'rm -rf build-rock && CC="$(CC)" CFLAGS="$(CFLAGS)" cmake -S . -B build-rock'
    .. ' -DCMAKE_BUILD_TYPE=Release -DCTX_HTTP=ON -DCTX_TESTS=OFF -DLUA_INCDIR="$(LUA_INCDIR)"'
    .. ' -DCMAKE_PREFIX_PATH="$(CURL_DIR)" -DLLHTTP_DIR="$(LLHTTP_DIR)"'
    .. ' -DCMAKE_INCLUDE_PATH="$(CURL_INCDIR);$(LLHTTP_INCDIR)"'
    .. ' -DCMAKE_LIBRARY_PATH="$(CURL_LIBDIR);$(LLHTTP_LIBDIR)"'
    .. " && cmake --build build-rock --target ctx_http_wire ctx_http_curl",
  install = {
    lib = {
      ["ctx.http.curl"] = "build-rock/lib/ctx/http/curl.so",
      ["ctx.http.wire"] = "build-rock/lib/ctx/http/wire.so",
    },
    lua = {
      ["ctx.http"] = "lua/ctx/http.lua",
      ["ctx.http.answer"] = "lua/ctx/http/answer.lua",
      ["ctx.http.causes"] = "lua/ctx/http/causes.lua",
      ["ctx.http.client"] = "lua/ctx/http/client.lua",
      ["ctx.http.client.engine"] = "lua/ctx/http/client/engine.lua",
      ["ctx.http.client.failing"] = "lua/ctx/http/client/failing.lua",
      ["ctx.http.client.lookups"] = "lua/ctx/http/client/lookups.lua",
      ["ctx.http.client.options"] = "lua/ctx/http/client/options.lua",
      ["ctx.http.client.perform"] = "lua/ctx/http/client/perform.lua",
      ["ctx.http.client.response"] = "lua/ctx/http/client/response.lua",
      ["ctx.http.client.transfer"] = "lua/ctx/http/client/transfer.lua",
      ["ctx.http.defect"] = "lua/ctx/http/defect.lua",
      ["ctx.http.failure"] = "lua/ctx/http/failure.lua",
      ["ctx.http.json"] = "lua/ctx/http/json.lua",
      ["ctx.http.middleware"] = "lua/ctx/http/middleware.lua",
      ["ctx.http.paths"] = "lua/ctx/http/paths.lua",
      ["ctx.http.record"] = "lua/ctx/http/record.lua",
      ["ctx.http.router"] = "lua/ctx/http/router.lua",
      ["ctx.http.server"] = "lua/ctx/http/server/init.lua",
      ["ctx.http.server.accept"] = "lua/ctx/http/server/accept.lua",
      ["ctx.http.server.body"] = "lua/ctx/http/server/body.lua",
      ["ctx.http.server.connection"] = "lua/ctx/http/server/connection.lua",
      ["ctx.http.server.exchange"] = "lua/ctx/http/server/exchange.lua",
      ["ctx.http.server.input"] = "lua/ctx/http/server/input.lua",
      ["ctx.http.server.request"] = "lua/ctx/http/server/request.lua",
      ["ctx.http.server.response"] = "lua/ctx/http/server/response.lua",
      ["ctx.http.server.settings"] = "lua/ctx/http/server/settings.lua",
      ["ctx.http.server.timeout"] = "lua/ctx/http/server/timeout.lua",
      ["ctx.http.server.transport"] = "lua/ctx/http/server/transport.lua",
      ["ctx.http.server.watchdog"] = "lua/ctx/http/server/watchdog.lua",
      ["ctx.http.spans"] = "lua/ctx/http/spans.lua",
      ["ctx.http.status"] = "lua/ctx/http/status.lua",
      ["ctx.http.url"] = "lua/ctx/http/url.lua",
      ["ctx.propagate.otlp"] = "lua/ctx/propagate/otlp.lua",
      ["ctx.propagate.otlp.encode"] = "lua/ctx/propagate/otlp/encode.lua",
    },
  },
  copy_directories = { "docs", "examples", "types" },
}
