-- SPDX-License-Identifier: MIT
--- A server under test, and clients that send it bytes and read its answers with a parser of their
--- own, which knows nothing of the server's.
local ctx = require "ctx"
local http = require "ctx.http"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local bed = {}

-- -- Clients --------------------------------------------------------------------------------------

---@class spec.http.Client
---@field stream ctx.uv.Stream
---@field c ctx.Context
local Client = {}
Client.__index = Client

--- Sends the bytes; false if the server has closed the connection already.
function Client:send(...)
  return self.stream:write(self.c, table.concat({ ... })) or false
end

--- All that comes until the end, and the error that was the end, if it was one.
function Client:rest()
  local parts = {}
  while true do
    local part, err = self.stream:read(self.c)
    if not part then
      return table.concat(parts), err
    end
    parts[#parts + 1] = part
  end
end

local function read_fields(self, raw)
  local fields = {}
  while true do
    local line = assert(self.stream:read_line(self.c))
    raw[#raw + 1] = line
    if line == "" then
      return fields
    end
    local name, value = line:match("^([%w-]+): (.*)$")
    assert(name, "no header field: " .. line)
    name = name:lower()
    fields[name] = fields[name] and fields[name] .. " | " .. value or value
  end
end

local function read_chunks(self, answer)
  local parts = {}
  while true do
    local size = assert(tonumber(assert(self.stream:read_line(self.c)), 16))
    if size == 0 then
      break
    end
    parts[#parts + 1] = assert(self.stream:read_exactly(self.c, size))
    assert(self.stream:read_exactly(self.c, 2) == "\r\n")
  end
  answer.trailers = read_fields(self, {})
  return table.concat(parts)
end

local function read_body(self, answer, method)
  local fields, status = answer.headers, answer.status
  if method == "HEAD" or status < 200 or status == 204 or status == 304 then
    return ""
  elseif fields["transfer-encoding"] then
    assert(fields["transfer-encoding"] == "chunked" and not fields["content-length"])
    return read_chunks(self, answer)
  elseif fields["content-length"] then
    return assert(self.stream:read_exactly(self.c, math.tointeger(fields["content-length"])))
  end
  return (self:rest())
end

--- The next response: { status, reason, minor, headers, body, trailers, raw }; nil at the end of
--- the connection. Of several header fields of one name, " | " joins the values.
---@param method? string  of the request
function Client:answer(method)
  local line, err = self.stream:read_line(self.c)
  if not line then
    return nil, err
  end
  local minor, status, reason = line:match("^HTTP/1%.([01]) (%d%d%d) (.*)$")
  assert(minor, "no status line: " .. line)
  local raw = { line }
  local answer = { minor = tonumber(minor), status = math.tointeger(status), reason = reason,
    headers = read_fields(self, raw) }
  answer.raw = table.concat(raw, "\r\n")
  answer.body = read_body(self, answer, method)
  return answer
end

--- Sends a request, its lines without their ends, and reads the answer.
function Client:ask(...)
  local lines = { ... }
  self:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  return self:answer(lines[1]:match("^%S+"))
end

--- GET target, with a Host.
function Client:get(target, ...)
  return self:ask("GET " .. (target or "/") .. " HTTP/1.1", "Host: spec", ...)
end

--- Turns the loop until the server has read what was sent, or has seen what was done.
function Client:settle()
  for _ = 1, 2 do
    ctx.sleep(self.c, 0)
  end
end

function Client:close()
  self.stream:close()
end

Client.__close = Client.close

-- -- Servers --------------------------------------------------------------------------------------

---@class spec.http.Bed
---@field server ctx.http.Server
---@field serving ctx.Task
---@field root ctx.Context       the root of the run
---@field c ctx.Context          ends when the spec has waited too long
---@field clock ctx.testing.Clock
---@field records ctx.http.Record[]  of the access log
---@field errors table[]         what on_error was told: { err, req, trace, where }
local Bed = {}
Bed.__index = Bed

--- A client over a stream.
---@param stream ctx.uv.Stream
---@return spec.http.Client
function Bed:client(stream)
  return setmetatable({ stream = stream, c = self.c }, Client)
end

--- A client over 127.0.0.1.
---@return spec.http.Client
function Bed:connect()
  return self:client(assert(uv.connect(self.c, "127.0.0.1", self.server:address().port)))
end

--- A client over a pair of local sockets, which takes no port.
---@return spec.http.Client
function Bed:pair()
  local fds = assert(luv.socketpair("stream", 0, { nonblock = true }, { nonblock = true }))
  self.server:serve_stream(assert(uv.open(fds[1])))
  return self:client(assert(uv.open(fds[2])))
end

--- Turns the loop until fn() is true.
function Bed:wait_until(fn)
  while not fn() do
    assert(ctx.sleep(self.c, 0))
  end
end

--- Waits until the server has no connection left.
function Bed:wait_empty()
  self:wait_until(function()
    return self.server:stats().connections == 0
  end)
end

--- Runs fn(bed) with a server of these options, which listens on 127.0.0.1 and serves; then closes
--- it, and checks that nothing is left. `fake` is a hand-moved clock.
---@param options table
---@param fn fun(bed: spec.http.Bed)
---@param fake? boolean
function bed.run(options, fn, fake)
  return testing.run(function(root, clock)
    local c, _ <close> = loopback.patient(root)
    local self = setmetatable({ root = root, c = c, clock = clock, records = {}, errors = {} }, Bed)
    local given = {
      access_log = function(record) table.insert(self.records, record) end,
      on_error = function(err, req, trace, where)
        table.insert(self.errors, { err = err, req = req, trace = trace, where = where })
      end,
    }
    for name, value in pairs(options) do
      given[name] = value
    end
    self.server = http.server(given)
    local server <close> = self.server
    assert(server:listen("127.0.0.1", 0))
    self.serving = ctx.go(server.serve, server, root)
    assert(ctx.sleep(c, 0))
    fn(self)
    server:close()
    self.serving:wait(c)
  end, { real = not fake, name = "the spec" })
end

--- Runs fn(client, bed, seen) with a client of such a server, whose handler is called as
--- handler(req, res, seen): `seen` is a table for both.
---@param handler fun(req: ctx.http.Request, res: ctx.http.Response, seen: table): any, any
---@param fn fun(client: spec.http.Client, b: spec.http.Bed, seen: table)
---@param options? table
---@param fake? boolean
function bed.with(handler, fn, options, fake)
  local seen, given = {}, {}
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  given.handler = function(req, res)
    return handler(req, res, seen)
  end
  return bed.run(given, function(b)
    local client <close> = b:connect()
    fn(client, b, seen)
  end, fake)
end

--- How an answer tells its end.
function bed.framing(answer)
  local fields = answer.headers
  return fields["content-length"] or fields["transfer-encoding"] or "none"
end

return bed
