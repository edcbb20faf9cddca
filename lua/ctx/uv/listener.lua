-- SPDX-License-Identifier: MIT
--- Listening sockets and pipes.
---
--- A connection goes to the task that has waited longest. With nobody waiting luv takes one from
--- the kernel and stops; the others stay in the kernel's backlog, so a slow server makes its peers
--- wait. A socket that was handed to a task whose context had ended in the same turn comes back,
--- and goes to the next (L15).
local core = require "ctx.core"
local ctx = require "ctx"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local known = require "ctx.uv.options"
local want = require "ctx.want"
local paths = require "ctx.uv.path"
local report = require "ctx.report"
local stream = require "ctx.uv.stream"

local check, check_context = want.argument, want.context
local uv = host.uv

local BACKLOG = 128
-- The version of libuv from which on a port can be shared.
local REUSEPORT = 1 << 16 | 49 << 8
-- libuv 1.44 asks again and again, within one turn, about a connection that it cannot take.
local MANY = 1000

---@class ctx.uv.Listener
---@field _handle userdata
---@field _new fun(): userdata    a handle for one connection
---@field _options ctx.uv.ListenOptions
---@field _waiting fun(...)[]     tasks in accept, in order
---@field _returned userdata[]    connections that came back
---@field _pending boolean        luv holds a connection for us
---@field _errors integer         that came one after the other
---@field _spare integer?         a descriptor to give up when there are none left
---@field _closed any?
---@field inherited boolean?      other processes may have the socket, too
local Listener = {}
local metatable = { __name = "ctx.uv.Listener", __index = Listener }

local listener = { class = Listener }

-- -- Connections ----------------------------------------------------------------------------------

local function open_spare()
  return (uv.fs_open("/dev/null", "r", 0))
end

--- Hands a connection to the first who waits, or keeps it. In await, `free` gives it back here.
local function give(self, handle)
  local waiter = table.remove(self._waiting, 1)
  if self._closed then
    host.close(handle)
  elseif waiter then
    waiter(handle)
  else
    self._returned[#self._returned + 1] = handle
  end
end

--- Takes the connection that luv holds.
local function take(self)
  local handle = assert(self._new())
  local ok, said = self._handle:accept(handle)
  if not ok then
    host.close(handle)
    return nil, said
  end
  return handle
end

--- libuv reports what it could not take, and 1.44 tries again at once: nothing may be left that
--- makes it do so for ever. With no descriptor left, one that was kept for this takes the
--- connection, and closes it.
local function on_error(self, said)
  self._errors = self._errors + 1
  if self._spare and (said == "EMFILE" or said == "ENFILE") then
    uv.fs_close(self._spare)
    self._spare = nil
    self._starved = true
    return report.send(("ctx.uv: %s: a connection was dropped: %s")
      :format(tostring(self), said), "uv")
  end
  if self._errors > MANY then
    return self:close(said)
  end
  local waiter = table.remove(self._waiting, 1)
  if waiter then
    waiter(nil, failure.of(nil, said, "accept"))
  end
end

local function on_connection(self, said)
  if said then
    return on_error(self, said)
  end
  self._errors = 0
  if self._starved then
    self._starved = false
    local handle = take(self)
    if handle then
      host.close(handle)
    end
    self._spare = open_spare()
  elseif #self._waiting > 0 then
    local handle = take(self)
    if handle then
      give(self, handle)
    end
  else
    self._pending = true
  end
end

-- -- Accepting ------------------------------------------------------------------------------------

local function wait(self, c)
  core.check_wait(c, "listener:accept")
  local handle = self._handle
  handle:ref()
  local found, err = ctx.await(c, function(resolve)
    self._waiting[#self._waiting + 1] = resolve
    return function()
      for i, waiter in ipairs(self._waiting) do
        if waiter == resolve then
          return table.remove(self._waiting, i)
        end
      end
    end
  end, function(connection)
    if connection then
      give(self, connection)
    end
  end)
  if #self._waiting == 0 and not handle:is_closing() then
    handle:unref()
  end
  if found and c:err() then
    give(self, found)
    return nil, failure.ended(c)
  end
  return found, err
end

--- A connection that is here already, if there is one.
local function held(self)
  local handle = table.remove(self._returned, 1)
  if not handle and self._pending then
    self._pending = false
    handle = take(self)
  end
  return handle
end

--- The next connection. When descriptors have run out, the peer's connection is closed at once, as
--- libuv does, and accept goes on waiting.
---@async
---@param c ctx.Context
---@return ctx.uv.Stream|nil connection  close it
---@return any? err                      code ECLOSED after close
function Listener:accept(c)
  want.self(self, metatable, "accept")
  check_context(c, "accept")
  if c:err() then
    return nil, failure.ended(c)
  elseif self._closed then
    return nil, failure.closed("accept", self._closed)
  end
  local handle, err = held(self), nil
  if not handle then
    handle, err = wait(self, c)
  end
  if not handle then
    return nil, err
  end
  return stream.new(handle, self._options)
end

--- Internal: what accept would return without a wait, or nil.
---@return ctx.uv.Stream?
function Listener:_held()
  local handle = held(self)
  return handle and stream.new(handle, self._options)
end

--- Internal: a stream for a connection that was taken from this socket behind luv's back. The
--- descriptor becomes the stream's.
---@param fd integer
---@return ctx.uv.Stream
function Listener:_adopt(fd)
  local handle = assert(self._new())
  assert(handle:open(fd))
  return stream.new(handle, self._options)
end

--- Stops listening; connections that nobody has accepted are closed, and whoever waits in accept is
--- woken with an error of code ECLOSED. Again: nothing.
---@param why? string
function Listener:close(why)
  want.self(self, metatable, "close")
  if self._closed then
    return
  end
  self._closed = type(why) == "string" and why or "by its owner"
  host.close(self._handle)
  if self._spare then
    uv.fs_close(self._spare)
    self._spare = nil
  end
  for _, handle in ipairs(self._returned) do
    host.close(handle)
  end
  local waiting = self._waiting
  self._returned, self._waiting = {}, {}
  for _, waiter in ipairs(waiting) do
    waiter(nil, failure.closed("accept", self._closed))
  end
end

--- Where it listens: `{ ip, port, family }`, or the path of a pipe.
function Listener:address()
  want.self(self, metatable, "address")
  if self._closed then
    return nil, failure.closed("address", self._closed)
  end
  local found, said = self._handle:getsockname()
  if not found then
    return nil, failure.of(nil, said, "address")
  end
  return found
end

---@return boolean
function Listener:is_closed()
  want.self(self, metatable, "is_closed")
  return self._closed ~= nil
end

--- luv's own handle.
function Listener:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  local state = self._closed and ", closed" or ""
  return ("ctx.uv.Listener (%s%s)"):format(tostring(self._handle), state)
end

-- -- Opening --------------------------------------------------------------------------------------

--- Finishes a bound handle; closes it when that fails.
local function open(handle, new, options, what)
  local self = setmetatable({
    _handle = handle, _new = new, _options = options, _waiting = {}, _returned = {},
    _pending = false, _errors = 0,
  }, metatable)
  local ok, said = handle:listen(options.backlog or BACKLOG, host.guarded(function(err)
    on_connection(self, err)
  end))
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, what)
  end
  self._spare = open_spare()
  handle:unref()
  return self
end

---@class ctx.uv.ListenOptions: ctx.uv.StreamOptions
---@field backlog? integer     128
---@field ipv6only? boolean
---@field reuseport? boolean    several processes on one port; with libuv 1.49 and newer

--- Listens on an address of this machine; nothing here waits. Port 0: any that is free.
---@param address string  numeric; or "localhost", 127.0.0.1; or "*", all of both families
---@param port integer
---@param options? ctx.uv.ListenOptions  the rest is for the accepted streams
---@return ctx.uv.Listener|nil
---@return any? err
function listener.listen(address, port, options)
  check(type(address) == "string", "listen", 1, "host", "a string", address)
  check(math.type(port) == "integer" and port >= 0 and port < 65536, "listen", 2, "port",
    "a port number", port)
  options = options == nil and {} or options
  want.options(options, "listen", 3, known.listen)
  local what = ("listen on %s:%d"):format(address, port)
  local ip = ({ localhost = "127.0.0.1", ["*"] = "::" })[address] or address
  if not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", what, "not a numeric address")
  elseif options.reuseport and uv.version() < REUSEPORT then
    -- Older ones take no notice: the second process would get EADDRINUSE.
    return nil, failure.new("ENOTSUP", what, "reuseport takes libuv 1.49 or newer")
  end
  local handle = assert(uv.new_tcp())
  local flags = { ipv6only = options.ipv6only, reuseport = options.reuseport }
  local ok, said = handle:bind(ip, port, next(flags) and flags or nil)
  if not ok and address == "*" then
    ok, said = handle:bind("0.0.0.0", port)
  end
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, what)
  end
  return open(handle, uv.new_tcp, options, what)
end

--- Listens on a pipe: a socket in the file system, at a path that must not exist. Closing the
--- listener removes it.
---@param path string
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil
---@return any? err
function listener.listen_pipe(path, options)
  check(type(path) == "string", "listen_pipe", 1, "path", "a string", path)
  options = options == nil and {} or options
  want.options(options, "listen_pipe", 2, known.listen)
  local what = "listen on " .. path
  local wrong = paths.pipe_fault(path, what)
  if wrong then
    return nil, wrong
  end
  local handle = assert(uv.new_pipe(false))
  local ok, said = handle:bind(path)
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, what)
  end
  return open(handle, function() return uv.new_pipe(false) end, options, what)
end

--- Listens on a socket that is bound, and may listen, already: one that was inherited, as systemd
--- passes them from descriptor 3 on. It becomes the listener's.
---@param fd integer
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil
---@return any? err
function listener.listen_fd(fd, options)
  check(math.type(fd) == "integer" and fd >= 0, "listen_fd", 1, "fd", "a descriptor", fd)
  options = options == nil and {} or options
  want.options(options, "listen_fd", 2, known.listen)
  local kind = uv.guess_handle(fd)
  local what = ("listen on descriptor %d"):format(fd)
  if kind ~= "tcp" and kind ~= "pipe" then
    return nil, failure.new("ENOTSOCK", what)
  end
  local function new()
    return kind == "tcp" and uv.new_tcp() or uv.new_pipe(false)
  end
  local handle = assert(new())
  local ok, said = handle:open(fd)
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, what)
  end
  local self, err = open(handle, new, options, what)
  if self then
    self.inherited = true
  end
  return self, err
end

return listener
