-- SPDX-License-Identifier: MIT
--- A connected socket, a pipe or a terminal: reads and writes that wait with a context.
---
--- How it reads and writes is in files of their own. The handle keeps the loop alive only while a
--- task waits on it.
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local gate = require "ctx.uv.gate"
local host = require "ctx.uv.host"
local want = require "ctx.want"
local metatable = require "ctx.uv.stream_class"
local reading = require "ctx.uv.reading"
require "ctx.uv.writing"

local check = want.argument

---@class ctx.uv.Stream
---@field _handle userdata        luv's stream
---@field _parts string[]         what was read and nobody has taken yet, `_size` bytes
---@field _taken integer       bytes of the first of these that are gone
---@field _size integer
---@field _end any?               why there will be no more to read: false for the end of the stream
---@field _reading boolean        luv reads
---@field _on_read fun(...)
---@field _readers ctx.uv.Gate    opens when there is more to read, or the end
---@field _writers ctx.uv.Gate    opens when a queued write is through
---@field _broken any?            why nothing can be written any more
---@field _closed any?            the error of all operations after close
---@field _streak integer         bytes written without giving the others a turn
---@field _idle number?           ms
---@field _high_water integer
local Stream = metatable.__index

local stream = { class = Stream }

-- -- Making ---------------------------------------------------------------------------------------

---@class ctx.uv.StreamOptions
---@field idle? number           ms without any progress that a read or write bears
---@field high_water? integer    bytes that a write may leave in the queue; 0
---@field nodelay? boolean       TCP only: send small pieces at once; true

--- Takes over one of luv's streams, connected or open.
---@param handle userdata
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream
function stream.new(handle, options)
  host.ignore_sigpipe()
  local self = setmetatable({
    _handle = handle, _parts = {}, _taken = 0, _size = 0, _reading = false, _streak = 0,
    _readers = gate.new(), _writers = gate.new(),
    _high_water = options and options.high_water or 0,
  }, metatable)
  self._on_read = host.guarded(function(err, chunk)
    reading.on_read(self, err, chunk)
  end)
  if options then
    self:set_idle(options.idle)
  end
  if handle.nodelay and not (options and options.nodelay == false) then
    handle:nodelay(true)
  end
  handle:unref()
  return self
end

--- Lets a read or a write wait no longer than `ms` without any progress, whatever time its context
--- still has: then it ends with an error that is ctx.deadline_exceeded and uv.idle. nil: as long as
--- the context.
---@param ms? number
function Stream:set_idle(ms)
  want.self(self, metatable, "set_idle")
  check(ms == nil or type(ms) == "number" and ms > 0, "set_idle", 1, "ms", "a positive number", ms)
  self._idle = ms ~= math.huge and ms or nil
end

--- Waits at the gate under c, and under the idle time.
---@async
---@param at ctx.uv.Gate
---@param c ctx.Context
function Stream:_wait(at, c)
  local idle = self._idle
  if not idle then
    return at:wait(c)
  end
  local timed, cancel <close> = ctx.with_timeout(c, idle, failure.idle)
  return at:wait(timed)
end

-- -- The rest -------------------------------------------------------------------------------------

--- Closes it at once, with whatever is still queued; whoever waits on it is woken with an error of
--- code ECLOSED. Again: nothing.
---@param why? string  for the errors of those who still use it
function Stream:close(why)
  want.self(self, metatable, "close")
  if self._closed then
    return
  end
  self._closed = type(why) == "string" and why or "by its owner"
  self._parts, self._taken, self._size = {}, 0, 0
  host.close(self._handle)
  self._readers:open()
  self._writers:open()
end

--- For who goes on with luv's stream: nothing reads here any more, what was read and not taken is
--- his, and a write waits until the kernel has all of it, as a queue would be lost at the close.
---@private
---@return string[]? parts
function Stream:_hand_over()
  local parts = self._parts
  if self._reading then
    self._reading = false
    self._handle:read_stop()
  end
  self._high_water = 0
  if not parts[1] then
    return nil
  end
  parts[1] = parts[1]:sub(self._taken + 1)
  self._parts, self._taken, self._size = {}, 0, 0
  return parts
end

---@return boolean
function Stream:is_closed()
  want.self(self, metatable, "is_closed")
  return self._closed ~= nil
end

--- luv's own stream, for what this class does not offer.
function Stream:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

local function address(self, method)
  local handle = self._handle
  if handle:is_closing() or not handle[method] then
    return nil, failure.new("EBADF", method)
  end
  local found, said = handle[method](handle)
  if not found then
    return nil, failure.of(nil, said, method)
  end
  return found
end

--- Where it is on this side: `{ ip, port, family }`, or the path of a pipe.
function Stream:address()
  want.self(self, metatable, "address")
  return address(self, "getsockname")
end

--- Where it is on the other side.
function Stream:peer()
  want.self(self, metatable, "peer")
  return address(self, "getpeername")
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  return ("ctx.uv.Stream (%s%s)"):format(tostring(self._handle), self._closed and ", closed" or "")
end

--- Whether the value is such a stream.
function stream.is(value)
  return getmetatable(value) == metatable
end

return stream
