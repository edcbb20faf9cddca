-- SPDX-License-Identifier: MIT
--- Listening sockets and pipes.
---
--- A connection goes to the task that has waited longest. With nobody waiting luv takes one from
--- the kernel and stops; the others stay in the kernel's backlog, so a slow server makes its peers
--- wait. A socket that came for a task whose context ended in the same turn goes to the next.
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local inbox = require "ctx.uv.inbox"
local line = require "ctx.line"
local paths = require "ctx.uv.path"
local report = require "ctx.report"
local stream = require "ctx.uv.stream"
local want = require "ctx.want"

local uv = host.uv

local ACCEPT = line.name("listener:accept")
local BACKLOG = 128
-- libuv 1.44 asks again and again, within one turn, about a connection that it cannot take.
local MANY = 1000

---@class ctx.uv.Listener
---@field _handle userdata
---@field _new fun(): userdata    a handle for one connection
---@field _options ctx.uv.ListenOptions
---@field _inbox ctx.uv.Inbox     of connections
---@field _pending boolean        luv holds a connection for us
---@field _errors integer         that came one after the other
---@field _spare integer|false    a descriptor to give up when there are none left
---@field _starved boolean        it has been given up
---@field inherited boolean?      other processes may have the socket, too
local Listener = {}
local metatable = { __name = "ctx.uv.Listener", __index = Listener }

local listener = { class = Listener }

-- -- Connections ----------------------------------------------------------------------------------

local function open_spare()
  return uv.fs_open("/dev/null", "r", 0) or false
end

--- Takes the connection that luv holds into the scope.
local function take(self, scope)
  scope.handle = assert(self._new())
  local ok, said = self._handle:accept(scope.handle)
  self._pending = false
  return ok ~= nil, said
end

--- The same into the inbox, for accept.
local function take_in(self)
  local scope <close> = host.owned()
  if take(self, scope) then
    self._inbox:give(scope.handle, scope)
  end
end

--- libuv reports what it could not take, and 1.44 tries again at once: nothing may be left that
--- makes it do so for ever. With no descriptor left, one that was kept for this takes the
--- connection, and closes it.
local function on_error(self, said)
  self._errors = self._errors + 1
  if self._spare and (said == "EMFILE" or said == "ENFILE") then
    uv.fs_close(self._spare)
    self._spare = false
    self._starved = true
    return report.send(("ctx.uv: %s: a connection was dropped: %s")
      :format(tostring(self), said), "uv")
  end
  if self._errors > MANY then
    return self:close(said)
  end
  if self._inbox:is_awaited() then
    self._inbox:give({ said = said })
  end
end

local function on_connection(self, said)
  if said then
    return on_error(self, said)
  end
  self._errors, self._pending = 0, true
  if self._starved then
    self._starved = false
    local scope <close> = host.owned()
    take(self, scope)
    self._spare = open_spare()
  elseif self._inbox:is_awaited() and not pcall(take_in, self) then
    self._inbox:wake() -- no memory here: luv listens no more until somebody takes it
  end
end

-- -- Accepting ------------------------------------------------------------------------------------

--- Takes in what luv holds already.
local function take_pending(self)
  if self._pending then
    take_in(self)
  end
  return true
end

--- The stream for the connection that the scope holds.
local function stream_of(self, scope)
  local made = stream.new(scope.handle, self._options)
  scope.handle = false
  return made
end

--- Waits for the next connection. When descriptors have run out, the peer's connection is closed at
--- once, as libuv does, and accept goes on waiting.
---@async
---@param c ctx.Context
---@return ctx.uv.Stream|nil connection  close it
---@return any? err                      code ECLOSED after close
function Listener:accept(c)
  want.self(self, metatable, "accept")
  want.context(c, "accept")
  local scope <close> = host.owned()
  local handle, err = self._inbox:take(c, ACCEPT, "accept", take_pending, self)
  if not handle then
    return nil, err
  end
  scope.handle = handle
  local made = stream_of(self, scope)
  return made
end

--- What accept would return without a wait, or nil. Also what an accept is about to
--- return: a close would drop that.
---@return ctx.uv.Stream?
function listener.held(self)
  if not self:is_closed() then
    take_pending(self)
  end
  local scope <close> = host.owned()
  scope.handle = self._inbox:seize() or false
  return scope.handle and stream_of(self, scope) or nil
end

--- A stream for a connection that was taken from this socket behind luv's back. The
--- descriptor that the scope holds becomes the stream's.
---@param scope { handle: userdata|false, fd: integer|false }  from host.owned
---@return ctx.uv.Stream
function listener.adopt(self, scope)
  scope.handle = assert(self._new())
  assert(scope.handle:open(scope.fd))
  scope.fd = false
  local made = stream_of(self, scope)
  return made
end

--- Stops listening at once, and closes connections that were not accepted. Tasks that wait in
--- accept, and later calls, get the error `why`, or one of code ECLOSED. Calling it again does
--- nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Listener:close(why)
  want.self(self, metatable, "close")
  self._inbox:close(failure.reason(why))
  if self._spare then
    uv.fs_close(self._spare)
    self._spare = false
  end
end

--- Returns where it listens: `{ ip, port, family }`, or the path of a pipe.
---@return ctx.uv.Address|string|nil address
---@return any? err  of the system, with a `code`
function Listener:address()
  want.self(self, metatable, "address")
  local err = self._inbox:fault("address")
  if err then
    return nil, err
  end
  return host.address(self._handle, "getsockname", "address")
end

--- Returns whether the listener is closed.
---@return boolean closed
function Listener:is_closed()
  want.self(self, metatable, "is_closed")
  self._inbox:check()
  return self._inbox.closed ~= false
end

--- Returns luv's own handle.
---@return userdata handle
function Listener:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  local state = self._inbox.closed and ", closed" or ""
  return ("ctx.uv.Listener (%s%s)"):format(tostring(self._handle), state)
end

--- Whether the value is such a listener.
function listener.is(value)
  return getmetatable(value) == metatable
end

-- -- Opening --------------------------------------------------------------------------------------

--- Finishes the bound handle that the scope holds.
local function open(scope, new, options, what)
  local handle = scope.handle
  local self = setmetatable({
    _handle = handle, _new = new, _options = options, _inbox = inbox.new(handle, host.close),
    _pending = false, _errors = 0, _spare = false, _starved = false,
  }, metatable)
  local ok, said = handle:listen(options.backlog or BACKLOG, host.guarded(function(err)
    on_connection(self, err)
  end))
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  self._spare = open_spare()
  scope.handle = false
  return self
end

---@class ctx.uv.ListenOptions: ctx.uv.StreamOptions
---@field backlog? integer     128
---@field ipv6only? boolean
---@field reuseport? boolean    several processes on one port, where luv and the system can

local OPTIONS = stream.options {
  backlog = want.whole(0, 0x7fffffff), ipv6only = want.flag, reuseport = want.flag,
}
local FLAG = { reuseport = true }
local shares -- whether luv knows the flag, once that has been tried

local function nothing() end

--- Whether two sockets can share a port: a luv or a libuv that is too old takes the flag and drops
--- it, and their versions do not tell.
local function can_share(ip)
  if shares == nil then
    local one <close> = host.owned()
    local other <close> = host.owned()
    one.handle, other.handle = assert(uv.new_tcp()), assert(uv.new_tcp())
    local first, second = one.handle, other.handle
    -- A reason of another kind is for the socket itself to tell.
    local listens = first:bind(ip, 0, FLAG) and first:listen(1, nothing)
    if listens then
      local ok = second:bind(ip, first:getsockname().port, FLAG) and second:listen(1, nothing)
      shares = ok ~= nil
    end
  end
  return shares ~= false
end

--- Listens on an address of this machine; nothing here waits. Port 0: any that is free.
---@param address string  numeric; or "localhost", 127.0.0.1; or "*", all of both families
---@param port integer
---@param options? ctx.uv.ListenOptions  the rest is for the accepted streams
---@return ctx.uv.Listener|nil listener
---@return any? err  of the system, with a `code`
function listener.listen(address, port, options)
  want.string(address, "listen", 1, "address")
  port = want.port(port, "listen", 2)
  options = want.options(options, "listen", 3, OPTIONS)
  local what = ("listen on %s:%d"):format(address, port)
  local ip = ({ localhost = "127.0.0.1", ["*"] = "::" })[address] or address
  if not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", what, "not a numeric address")
  elseif options.reuseport and not can_share(ip) then
    return nil, failure.new("ENOTSUP", what, "this luv does not know reuseport")
  end
  local flags = { ipv6only = options.ipv6only, reuseport = options.reuseport }
  local scope <close> = host.owned()
  local handle = assert(uv.new_tcp())
  scope.handle = handle
  local ok, said = handle:bind(ip, port, next(flags) and flags or nil)
  if not ok and address == "*" then
    ok, said = handle:bind("0.0.0.0", port, options.reuseport and FLAG or nil)
  end
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  local self, err = open(scope, uv.new_tcp, options, what)
  return self, err
end

--- Listens on a pipe: a socket in the file system, at a path that must not exist. Closing the
--- listener removes it.
---@param path string
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil listener
---@return any? err  of the system, with a `code`
function listener.listen_pipe(path, options)
  want.string(path, "listen_pipe", 1, "path")
  options = want.options(options, "listen_pipe", 2, OPTIONS)
  local what = "listen on " .. path
  local wrong = paths.pipe_fault(path, what)
  if wrong then
    return nil, wrong
  end
  local scope <close> = host.owned()
  scope.handle = assert(uv.new_pipe(false))
  local ok, said = scope.handle:bind(path)
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  local self, err = open(scope, function() return uv.new_pipe(false) end, options, what)
  return self, err
end

--- Listens on a socket that is bound already, and may listen: one that was inherited, as systemd
--- passes them from descriptor 3 on. The listener owns it then.
---@param fd integer
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil listener
---@return any? err  of the system, with a `code`
function listener.listen_fd(fd, options)
  fd = want.descriptor(fd, "listen_fd", 1)
  options = want.options(options, "listen_fd", 2, OPTIONS)
  local kind = uv.guess_handle(fd)
  local what = ("listen on descriptor %d"):format(fd)
  if kind ~= "tcp" and kind ~= "pipe" then
    return nil, failure.new("ENOTSOCK", what)
  end
  local function new()
    return kind == "tcp" and uv.new_tcp() or uv.new_pipe(false)
  end
  local scope <close> = host.owned()
  scope.handle = assert(new())
  local ok, said = scope.handle:open(fd)
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  local self, err = open(scope, new, options, what)
  if self then
    self.inherited = true
  end
  return self, err
end

--- Internal: whether this is an address, or a table that names one place; of two, one would not be
--- listened on.
---@param where any
---@return boolean
function listener.is_one_place(where)
  if type(where) ~= "table" then
    return type(where) == "string"
  elseif where.host ~= nil or where.port ~= nil then
    return where.host ~= nil and where.port ~= nil and where.pipe == nil and where.fd == nil
  end
  return (where.pipe == nil) ~= (where.fd == nil)
end

local PLACES = { host = true, port = true, pipe = true, fd = true }

--- Internal: listens where an address and a port tell, or one table with host and port, pipe or fd,
--- and options.
---@param where string|table
---@param port? integer
---@return ctx.uv.Listener|nil
---@return any? err  of the system, with a `code`
function listener.at(where, port)
  if type(where) == "string" then
    return listener.listen(where, port)
  end
  local options = {}
  for name, value in pairs(where) do
    if not PLACES[name] then
      options[name] = value
    end
  end
  if where.pipe then
    return listener.listen_pipe(where.pipe, options)
  elseif where.fd then
    return listener.listen_fd(where.fd, options)
  end
  return listener.listen(where.host, where.port, options)
end

return listener
