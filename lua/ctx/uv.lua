-- SPDX-License-Identifier: MIT
--- luv's operations as waits, with a context as the first argument.
---
---     local uv = require "ctx.uv"
---     local socket <close>, err = uv.connect(c, "example.org", 80)
---     if not socket then
---       return nil, err                    -- errors.is(err, uv.ECONNREFUSED), or c's own error
---     end
---     local ok, err = socket:write(c, "…")
---     local line, err = socket:read_line(c)
---
--- Each returns its results, or `nil, err`, and ends with its context within one turn of the loop.
--- It does not begin if its context is done. Failures of the system are errors with a `code`;
--- `uv.ECODE` is the sentinel for each. For timers use ctx.sleep.
local dial = require "ctx.uv.dial"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local fs = require "ctx.uv.fs"
local host = require "ctx.uv.host"
local listener = require "ctx.uv.listener"
local process = require "ctx.uv.process"
local spawn = require "ctx.uv.spawn"
local stream = require "ctx.uv.stream"
local udp = require "ctx.uv.udp"
local want = require "ctx.want"
local watch = require "ctx.uv.watch"
local work = require "ctx.uv.work"

---@class ctx.uv: ctx.uv.Files
---@field Error table       The metatable of the system's errors, for `errors.as`.
---@field idle ctx.errors.Error  The cause when nothing moved for the idle time of a stream.
---@field [string] ctx.uv.Error  The sentinel of each code: uv.ECONNREFUSED.
local uv = {
  connect = dial.connect,
  connect_pipe = dial.connect_pipe,
  listen = listener.listen,
  listen_pipe = listener.listen_pipe,
  listen_fd = listener.listen_fd,
  udp = udp.udp,
  getaddrinfo = dns.getaddrinfo,
  getnameinfo = dns.getnameinfo,
  spawn = spawn.spawn,
  start = process.start,
  work = work.work,
  poll = watch.poll,
  watch = watch.watch,
  Error = failure.Error,
  idle = failure.idle,
}

for name, fn in pairs(fs) do
  uv[name] = fn
end

local STREAM_OPTIONS = stream.options()

--- A stream of luv's that nobody has closed: all its functions are there.
local LUV_STREAM = want.rule("luv's stream, open,", function(handle)
  local metatable = type(handle) == "userdata" and debug.getmetatable(handle)
  local methods = type(metatable) == "table" and metatable.__index
  return type(methods) == "table" and methods.read_start ~= nil and methods.is_closing ~= nil
    and not handle:is_closing()
end, "handle")

--- Takes over one of luv's streams, connected or open.
---@param handle userdata
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream stream
function uv.stream(handle, options)
  LUV_STREAM(handle, "stream", 1)
  options = want.options(options, "stream", 2, STREAM_OPTIONS)
  local made = stream.new(handle, options)
  return made
end

--- Makes a stream of a descriptor that is a terminal, a pipe or a socket; the stream owns it then.
---@param fd integer
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream|nil stream
---@return any? err  of the system, with a `code`
function uv.open(fd, options)
  fd = want.descriptor(fd, "open", 1)
  options = want.options(options, "open", 2, STREAM_OPTIONS)
  local kind = host.uv.guess_handle(fd)
  local what = ("open descriptor %d"):format(fd)
  if kind ~= "tty" and kind ~= "pipe" and kind ~= "tcp" then
    return nil, failure.new("ENOTSUP", what, "not a terminal, a pipe or a socket")
  end
  local scope <close> = host.owned()
  local handle, said, ok
  if kind == "tty" then
    handle, said = host.uv.new_tty(fd, fd == 0)
    scope.handle, ok = handle or false, handle
  else
    scope.handle = assert(kind == "tcp" and host.uv.new_tcp() or host.uv.new_pipe(false))
    ok, said = scope.handle:open(fd)
  end
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  local made = stream.new(scope.handle, options)
  scope.handle = false
  return made
end

-- The sentinels: uv.ECONNREFUSED and its like. A code that does not exist is nil, and errors.is
-- raises on that.
return setmetatable(uv, { __index = failure.codes })
