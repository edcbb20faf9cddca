-- SPDX-License-Identifier: MIT
--- A connected socket, a pipe or a terminal: reads and writes that wait with a context.
---
--- How it reads and writes is in files of their own. The handle keeps the loop alive only while a
--- task waits on it.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local line = require "ctx.line"
local want = require "ctx.want"
local metatable = require "ctx.uv.stream_class"
local reading = require "ctx.uv.reading"
local writing = require "ctx.uv.writing"

---@class ctx.uv.Stream
---@field _handle userdata        luv's stream
---@field _parts table<integer, string>  from _first to _last, what was read and nobody has taken
---@field _first integer
---@field _last integer
---@field _taken integer          bytes of the first part that are gone
---@field _size integer           bytes that are left in all
---@field _searched integer       the last part in which no end of a line was found, and so many
---@field _unmatched integer      bytes are in the parts until there
---@field _end any?               why there will be no more to read: false for the end of the stream
---@field _reading boolean        luv reads
---@field _on_read fun(...)
---@field _readers ctx.line.Gate  opens when there is more to read, or the end
---@field _turns ctx.line.Line    writers with nothing in luv's queue yet, which wait for room
---@field _queued ctx.line.Line   writers that wait for what they have there
---@field _broken any?            why nothing can be written any more
---@field _closed any?            why, for failure.closed
---@field _streak integer         bytes written without giving the others a turn
---@field _idle number?           ms
---@field _high_water integer
local Stream = metatable.__index

local stream = { class = Stream, unread = reading.unread, write = writing.write }

-- -- Making ---------------------------------------------------------------------------------------

---@class ctx.uv.StreamOptions
---@field idle? number           ms without any progress that a read or write bears
---@field high_water? integer    bytes that a write may leave in the queue; 0
---@field nodelay? boolean       TCP only: send small pieces at once; true

--- A rule: so many bytes, or math.huge.
stream.bytes = want.either("a whole number of bytes", want.whole(0), want.one_of(math.huge))

--- The rules of these options and `own`, for others that make streams.
---@param own? table<string, ctx.want.Rule>
---@return table<string, ctx.want.Rule>
function stream.options(own)
  own = own or {}
  own.idle, own.high_water, own.nodelay = want.positive_ms, stream.bytes, want.flag
  return own
end

--- Takes over one of luv's streams, connected or open.
---@param handle userdata
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream stream
function stream.new(handle, options)
  host.ignore_sigpipe()
  local self = setmetatable({
    _handle = handle, _parts = {}, _first = 1, _last = 0, _taken = 0, _size = 0, _searched = 0,
    _unmatched = 0, _reading = false, _streak = 0,
    _readers = line.gate(handle), _turns = line.new(), _queued = line.new(),
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
--- still has. Then it ends with an error that is ctx.deadline_exceeded and uv.idle. nil: no such
--- limit.
---@param ms? number
function Stream:set_idle(ms)
  want.self(self, metatable, "set_idle")
  if ms ~= nil then
    want.positive_ms(ms, "set_idle", 1)
  end
  self._idle = ms ~= math.huge and ms or nil
end

--- Calls wait(self, c, …) with c, bounded by the idle time.
---@async
---@param c ctx.Context
---@param wait fun(self: ctx.uv.Stream, c: ctx.Context, ...): any, any
function Stream:_within(c, wait, ...)
  local idle = self._idle
  if not idle then
    return wait(self, c, ...)
  end
  local timed, cancel <close> = core.with_timeout(c, idle, failure.idle)
  return wait(self, timed, ...)
end

-- -- The rest -------------------------------------------------------------------------------------

local function empty(self)
  self._parts, self._first, self._last, self._taken, self._size = {}, 1, 0, 0, 0
  self._searched, self._unmatched = 0, 0
end

--- Closes the stream at once, with all that is still queued. Tasks that wait on it, and later
--- calls, get the error `why`, or one of code ECLOSED. Calling it again does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Stream:close(why)
  want.self(self, metatable, "close")
  why = failure.reason(why)
  if self._closed then
    return
  end
  host.close(self._handle) -- first: a close that had no memory for this can be repeated
  self._closed = why
  self._readers:open()
  while line.grant(self._turns) or line.grant(self._queued) do end
  empty(self) -- last, as it may run out of memory
end

--- Hands the raw stream over: stops reading, and returns what was read and not taken. From now on a
--- write waits until the kernel has all of it, as a queue would be lost at the close.
---@param self ctx.uv.Stream
---@return string[]? parts
function stream.hand_over(self)
  if self._reading then
    self._reading = false
    self._handle:read_stop()
  end
  self._high_water = 0
  if self._size == 0 then
    return nil
  end
  local parts = table.move(self._parts, self._first, self._last, 1, {})
  parts[1] = parts[1]:sub(self._taken + 1)
  empty(self)
  return parts
end

--- Returns whether the stream is closed.
---@return boolean closed
function Stream:is_closed()
  want.self(self, metatable, "is_closed")
  if not self._closed and self._handle:is_closing() then
    self:close(failure.ROBBED) -- by others, as uv.walk(close) does
  end
  return self._closed ~= nil
end

--- Returns luv's own stream, for what this class does not offer.
---@return userdata handle
function Stream:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

local function address(self, method, what)
  if self:is_closed() then
    return nil, failure.closed(what, self._closed)
  end
  return host.address(self._handle, method, what)
end

---@class ctx.uv.Address
---@field ip string
---@field port integer
---@field family string

--- Returns the address of this side: `{ ip, port, family }`, or the path of a pipe.
---@return ctx.uv.Address|string|nil address
---@return any? err  of the system, with a `code`
function Stream:address()
  want.self(self, metatable, "address")
  return address(self, "getsockname", "address")
end

--- Returns the address of the other side.
---@return ctx.uv.Address|string|nil address
---@return any? err  of the system, with a `code`
function Stream:peer()
  want.self(self, metatable, "peer")
  return address(self, "getpeername", "peer")
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
