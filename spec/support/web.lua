-- SPDX-License-Identifier: MIT
--- A server of ctx.http on a loopback port, in this process, and clients that speak by hand.
local ctx = require "ctx"
local http = require "ctx.http"
local loopback = require "spec.support.loopback"
local process = require "spec.support.process"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local web = {}

--- Where this file stands.
web.here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

local LIMIT_MS = 200000

--- Serves while fn(c, port, server) runs, then ends the server and checks that nothing is left.
---@param options table|function  a server's, or its handler
---@param fn fun(c: ctx.Context, port: integer, server: ctx.http.Server)
function web.run(options, fn)
  options = type(options) == "function" and { handler = options } or options
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, loopback.patience_ms or LIMIT_MS)
    local server <close> = http.server(options)
    assert(server:listen("127.0.0.1", 0))
    local serving = ctx.go(server.serve, server, ctx.background())
    ctx.sleep(c, 0)
    fn(c, server:address().port, server)
    server:close()
    assert(serving:wait(c))
  end, { real = true, name = "the spec" })
end

--- The same server as a process, web_service.lua, with its port.
---@param ... string  NAME=VALUE
---@return spec.Process
---@return integer port
function web.service(c, ...)
  local p = process.lua(web.here .. "/web_service.lua", ...)
  p:expect(c, "serving on ")
  p:expect(c, "\n")
  return p, math.tointeger(p.output:match("serving on (%d+)"))
end

--- Runs fn(c, process, port) beside such a process, and ends it.
---@param options string[]
---@param fn fun(c: ctx.Context, p: spec.Process, port: integer)
function web.with_service(options, fn)
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, loopback.patience_ms or LIMIT_MS)
    local p, port = web.service(c, table.unpack(options))
    do
      local _ <close> = setmetatable({}, { __close = function() p:kill "sigkill" end })
      fn(c, p, port)
    end
    p:wait(c)
  end, { real = true, name = "the spec" })
end

--- Runs a program to its end.
---@return string stdout
---@return string stderr
---@return integer code
function web.run_program(c, file, ...)
  local result = assert(uv.spawn(c, file, { args = { ... } }))
  return result.stdout, result.stderr, result.code
end

--- A connection on which this was sent already.
---@return ctx.uv.Stream
function web.connect(c, port, text)
  local stream = assert(uv.connect(c, "127.0.0.1", port))
  if text then
    assert(stream:write(c, text))
  end
  return stream
end

--- Closes a connection so that the other side gets a reset.
function web.reset(stream)
  assert(stream:handle():close_reset())
end

local function read_headers(c, stream)
  local headers = {}
  while true do
    local line = assert(stream:read_line(c))
    if line == "" then
      return headers
    end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    headers[name:lower()] = value
  end
end

local function read_chunks(c, stream)
  local parts = {}
  while true do
    local size = tonumber(assert(stream:read_line(c)), 16)
    parts[#parts + 1] = assert(stream:read_exactly(c, size))
    assert(stream:read_line(c) == "")
    if size == 0 then
      return table.concat(parts)
    end
  end
end

--- Reads one response: its status, body and headers; nil and an error if it does not come.
---@return integer|nil status
---@return string body_or_error
---@return table headers
function web.response(c, stream)
  local line, err = stream:read_line(c)
  if not line then
    return nil, err or "the connection was closed"
  end
  local status = math.tointeger(line:match("^HTTP/1%.[01] (%d%d%d) "))
  local headers = read_headers(c, stream)
  local length = tonumber(headers["content-length"])
  if length then
    return status, assert(stream:read_exactly(c, length)), headers
  elseif headers["transfer-encoding"] == "chunked" then
    return status, read_chunks(c, stream), headers
  end
  return status, "", headers
end

--- Parks until check() holds, looking again whenever the loop turns.
function web.wait_for(c, check)
  while not check() do
    assert(ctx.sleep(c, 0))
  end
end

return web
