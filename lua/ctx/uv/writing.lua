-- SPDX-License-Identifier: MIT
--- How a stream is written.
---
--- What the kernel takes at once needs no wait. The rest is queued, and the writer waits until no
--- more than `high_water` bytes are left. A write that is cut short leaves half a message behind,
--- so it closes the stream.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local line = require "ctx.line"
local metatable = require "ctx.uv.stream_class"
local want = require "ctx.want"

local WRITE, FINISH = line.name("stream:write"), line.name("stream:finish")

-- How much a task may write before the others get a turn, though the kernel takes it all.
local STREAK = 1024 * 1024

---@class ctx.uv.Stream
local Stream = metatable.__index

local writing = {}

local function cannot_write(self, what)
  if self._closed then
    return failure.closed(what or "write", self._closed)
  end
  return self._broken
end

--- The error for what luv refused: of a handle that others have closed, that it is closed.
local function refusal(self, c, said, what)
  if self:is_closed() then
    return failure.closed(what, self._closed)
  end
  return failure.of(c, said, what)
end

--- Half a message has been written, or may have: nobody can use this stream any more.
local function break_off(self, why)
  self._broken = failure.closed("write", "a write was cut short: " .. tostring(why))
  self:close("a write was cut short: " .. tostring(why))
end

local function has_room(self)
  return self._handle:get_write_queue_size() <= self._high_water
end

--- There is room: the first writer with nothing in the queue yet is next, and hands the turn on.
local function call_next(self)
  if has_room(self) then
    line.grant(self._turns)
  end
end

--- One that waits, or is to wait, in one of the two lines.
---@class ctx.uv.Write
---@field through boolean           all of it has left the queue
---@field said string?              why it failed, in luv's words
---@field waiter ctx.line.Waiter|false

--- Stands in a line until it is called out of it, or c ends.
local function stand(self, c, to, write)
  local waiter <close> = line.waiter(c, call_next, self)
  if write.through or has_room(self) or self._closed then
    return true -- to make a waiter may have run finalizers
  end
  waiter:join(to)
  write.waiter = waiter
  local _, err = waiter:take(WRITE, true)
  write.waiter = false
  return err == nil, err
end

--- Waits until at most high_water bytes are queued, or all of this write is through. Time without
--- any progress is the idle time; only luv's queue tells progress within one write.
local function drained(self, c, to, write)
  local handle = self._handle
  while not write.through and not self:is_closed() and not has_room(self) do
    local before = handle:get_write_queue_size()
    local ok, err = self:_within(c, stand, to, write)
    local moved = not self:is_closed() and handle:get_write_queue_size() < before
    if not ok and not write.through and (c:err() or not moved) then
      return nil, err
    end
  end
  return true
end

--- What luv calls back for a write. Each wakes its own writer, and all whose data is in the queue
--- only when that is short enough for them, so n writers cost n wake-ups.
local function on_written(self, write, status)
  write.through, write.said = true, status
  if status and not self._broken then
    self._broken = failure.of(nil, status, "write")
  end
  if write.waiter then
    write.waiter:serve()
  end
  if has_room(self) then
    while line.grant(self._queued) do end
    call_next(self)
  end
end

--- The scope of a queued write. When an error leaves it, or its coroutine is closed, the turn must
--- not stay with that writer, and what it has begun is cut short.
local scope_metatable = { __close = function(scope, err)
  if scope.begun then
    break_off(scope.stream, err == nil and "its coroutine was closed" or err)
  elseif err ~= nil then
    call_next(scope.stream)
  end
end }

--- Queues what the kernel did not take, and waits for it.
local function write_queued(self, c, data, started)
  local write = { through = false, said = nil, waiter = false }
  local scope <close> = setmetatable({ stream = self, begun = false }, scope_metatable)
  local ok, err = true, nil
  if not started then -- before anything of it is queued, giving up harms nobody
    ok, err = drained(self, c, self._turns, write)
    err = err or cannot_write(self)
  end
  local request, refused
  if ok and not err then
    request, refused = self._handle:write(data, host.guarded(function(status)
      on_written(self, write, status)
    end))
    err = not request and refusal(self, c, refused, "write") or nil
  end
  call_next(self)
  if not request then
    return nil, err
  end
  scope.begun = true
  ok, err = drained(self, c, self._queued, write)
  scope.begun = false
  if not ok then
    break_off(self, err)
    return nil, err
  elseif write.said or self._closed and not write.through then
    return nil, cannot_write(self)
  end
  return true
end

--- Lets the others have a turn after a long streak of writes that never had to wait.
local function breathe(self, c, bytes)
  self._streak = self._streak + bytes
  if self._streak > STREAK then
    self._streak = 0
    core.sleep(c, 0) -- all is written: an end of the context is for the next call
  end
end

local DATA = "a string or a list of strings"

--- The bytes of what a caller wants to write; raises at its line if it is something else. Raw, as
--- luv reads the list: what is counted is what is sent.
local function length(data)
  if type(data) == "string" then
    return #data
  end
  want.argument(type(data) == "table", "write", 2, "data", DATA, data, 1)
  local n, count = 0, rawlen(data)
  for i = 1, count do
    local piece = rawget(data, i)
    want.argument(type(piece) == "string", "write", 2, "data", "a list of strings", piece, 1)
    n = n + #piece
  end
  want.argument(count > 0 or next(data) == nil, "write", 2, "data", "a list of strings", data, 1)
  return n
end

--- What Stream:write does, for a caller that has checked all that this asks.
---@async
---@param self ctx.uv.Stream
---@param c ctx.Context    alive
---@param data string|string[]
---@param bytes integer    of the data
---@return true|nil ok
---@return any? err  of the system, with a `code`
function writing.write(self, c, data, bytes)
  local err = cannot_write(self)
  if err then
    return core.refused(nil, err)
  elseif bytes == 0 then
    return true -- libuv does not bear to be told so
  end
  local handle, sent = self._handle, 0
  if handle:get_write_queue_size() == 0 then
    local n, said, code = handle:try_write(data)
    if n == bytes then
      breathe(self, c, n)
      return true
    elseif not n and code ~= "EAGAIN" then
      self._broken = refusal(self, c, said, "write")
      return nil, self._broken
    end
    sent = n or 0
  end
  self._streak = 0
  if type(data) == "table" then -- it may be another list by the time that this has waited
    data = table.concat(data, "", 1, rawlen(data))
  end
  if sent > 0 then
    data = data:sub(sent + 1)
  end
  return write_queued(self, c, data, sent > 0)
end

--- Writes a string or a list of strings, and waits until the kernel has all of it, or, with
--- high_water, until no more than that is left in the queue. If the context ends before that, the
--- stream is closed: half a message has been sent.
---@async
---@param c ctx.Context
---@param data string|string[]
---@return true|nil ok
---@return any? err  of the system, with a `code`; or that of c
function Stream:write(c, data)
  want.self(self, metatable, "write")
  want.context(c, "write")
  local bytes = length(data)
  local err = c:ended()
  if err then
    return nil, err
  end
  -- Also where the kernel will take it all: when that is known, half a message may be out.
  core.check_wait(c, WRITE)
  local ok
  ok, err = writing.write(self, c, data, bytes)
  return ok, err
end

--- Ends the writing side: the peer reads what was written, and then the end. Reading goes on.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err  of the system, with a `code`; or that of c
function Stream:finish(c)
  want.self(self, metatable, "finish")
  want.context(c, "finish")
  local err = c:ended()
  if err then
    return nil, err
  end
  core.check_wait(c, FINISH)
  err = cannot_write(self, "finish")
  if err then
    return core.refused(nil, err)
  end
  local done, over, said = line.gate("outside"), false, nil
  local request, refused = self._handle:shutdown(host.guarded(function(status)
    over, said = true, status
    done:open()
  end))
  if not request then
    return nil, refusal(self, c, refused, "finish")
  end
  self._broken = failure.new("ESHUTDOWN", "write")
  local ok = true
  while ok and not over and not self:is_closed() do
    ok, err = self:_within(c, function(_, limit) return done:wait(limit, FINISH) end)
  end
  if over and not said then
    return true
  elseif over or ok then
    err = refusal(self, c, said, "finish")
  end
  return nil, err
end

--- The former name of `finish`.
---@private
function Stream:shutdown()
  want.self(self, metatable, "shutdown")
  error("stream:shutdown: it is stream:finish now", 2)
end

return writing
