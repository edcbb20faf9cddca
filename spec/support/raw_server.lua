-- SPDX-License-Identifier: MIT
--- A server that does with each connection just what a spec says, byte by byte.
---
---     local server <close> = raw_server.start(root, function(peer)
---       local request = peer:request()
---       peer:send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
---     end)
---     client.get(root, server:url("/"))
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local uv = require "ctx.uv"

local PATIENCE_MS = 200000

local raw_server = {}

---@class spec.RawPeer
---@field stream ctx.uv.Stream
local Peer = {}
Peer.__index = Peer

--- The next request's head: { line =, text =, the headers by their names in small letters }. nil
--- when the client has gone.
function Peer:request()
  local request, lines = {}, {}
  while true do
    local line = self.stream:read_line(self.root)
    if not line then
      return nil
    elseif line == "" then
      request.text = table.concat(lines, "\n")
      return request
    end
    lines[#lines + 1] = line
    local name, value = line:match("^([^:]+):%s*(.*)$")
    if request.line then
      request[name:lower()] = value
    else
      request.line = line
    end
  end
end

--- As many bytes of a body; with nil, those of a chunked one.
function Peer:body(size)
  if size then
    return self.stream:read_exactly(self.root, size)
  end
  local parts = {}
  repeat
    local line = self.stream:read_line(self.root)
    if not line then
      return nil, table.concat(parts)
    end
    size = tonumber(line, 16)
    parts[#parts + 1] = self.stream:read_exactly(self.root, size)
    self.stream:read_line(self.root)
  until size == 0
  return table.concat(parts)
end

function Peer:send(text)
  return self.stream:write(self.root, text)
end

--- A whole response.
function Peer:answer(body, headers)
  return self:send(("HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s")
    :format(headers or "", #body, body))
end

--- Waits until the client has gone: true if it closed, or the error.
function Peer:gone()
  local chunk, err = self.stream:read(self.root)
  while chunk do
    chunk, err = self.stream:read(self.root)
  end
  return err == nil or err
end

--- Cuts the connection with a RST.
function Peer:reset()
  self.stream:handle():close_reset()
  self.stream:close()
end

---@class spec.RawServer
---@field port integer
---@field connections integer  accepted so far
local Server = {}
local metatable = { __index = Server }

function Server:url(path, scheme)
  return ("%s://127.0.0.1:%d%s"):format(scheme or "http", self.port, path or "/")
end

metatable.__close = function(self)
  self._listener:close()
  for _, stream in ipairs(self._streams) do
    stream:close()
  end
end

--- Runs serve(peer, n) in a task for the n-th connection.
---@param options? { pipe: string? }
function raw_server.start(root, serve, options)
  local pipe = options and options.pipe
  local listener = assert(pipe and uv.listen_pipe(pipe) or uv.listen("127.0.0.1", 0))
  local self = setmetatable({ _listener = listener, _streams = {}, connections = 0 }, metatable)
  self.port = not pipe and listener:address().port or 0
  ctx.go(function()
    while true do
      local stream = listener:accept(root)
      if not stream then
        return
      end
      self.connections = self.connections + 1
      self._streams[self.connections] = stream
      ctx.go(function(n)
        serve(setmetatable({ stream = stream, root = root }, Peer), n)
        stream:close()
      end, self.connections)
    end
  end)
  return self
end

--- Runs fn(c) with a limit of real time, so that what would wait for ever fails, and checks that
--- nothing is left.
function raw_server.run(fn)
  return loopback.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, PATIENCE_MS)
    fn(c)
  end)
end

--- All that is left of a response, or nil and the error.
function raw_server.rest_of(c, response)
  local parts = {}
  while true do
    local chunk, err = response:read(c)
    if not chunk then
      return not err and table.concat(parts) or nil, err
    end
    parts[#parts + 1] = chunk
  end
end

--- A gate, and what opens it: those that wait at it go on then.
---@return ctx.Context gate
---@return ctx.Cancel open
function raw_server.gate()
  local c, open = ctx.with_cancel(ctx.background())
  return c, open
end

return raw_server
