-- SPDX-License-Identifier: MIT
--- Channels: values from task to task, first come first served, with a context in every wait.
---
---     local jobs = channel.new(16)
---     jobs:send(c, job)                     -- true, or nil and an error
---     local job, err = jobs:recv(c)         -- a value, or nil and an error
---     for job in jobs:iter(c) do … end      -- until the channel is closed, or c ends
---
--- Nil is no value: it would end such a loop, and could not be told from the end.
local core = require "ctx.core"
local fifo = require "ctx.fifo"
local line = require "ctx.line"
local returned = require "ctx.channel.returned"
local select = require "ctx.channel.select"
local want = require "ctx.want"

---@class ctx.channel
---@field closed ctx.errors.Error  The error of `recv` when there will be no more values.
local channel = { select = select.select }

channel.closed = select.closed

local SEND, RECV = line.name("channel:send"), line.name("channel:recv")
local CLOSED = select.CLOSED

---@class ctx.channel.Channel
---@field _capacity integer
---@field _count integer    of all its values: more than _capacity only when some came back
---@field _buffer ctx.fifo.Fifo
---@field _granted integer  values that were given to a waiting receiver
---@field _returned ctx.line.Waiter|false  those of them that came back, before the buffer's
---@field _closed boolean
---@field _receivers ctx.line.Line
---@field _senders ctx.line.Line  of entries with an `offer`
local Channel = {}
local metatable = { __name = select.CHANNEL, __index = Channel }

local CAPACITY = want.whole(0)

--- Makes a channel that buffers `capacity` values. Without a buffer, a send and a recv meet.
---@param capacity? integer  0
---@return ctx.channel.Channel ch
function channel.new(capacity)
  capacity = CAPACITY(capacity == nil and 0 or capacity, "new", 1, "capacity")
  return setmetatable({
    _capacity = capacity, _count = 0, _buffer = fifo.new(), _closed = false,
    _granted = 0, _returned = false,
    _receivers = line.new(), _senders = line.new(),
  }, metatable)
end

-- -- What changes hands --------------------------------------------------------------------------

local function append(self, value)
  fifo.push(self._buffer, value)
  self._count = self._count + 1
end

--- Gives the value away without waiting: to the first that waits for one, else into the buffer.
function Channel:_offer(value)
  local order = self._granted + 1
  self._granted = order
  if line.grant(self._receivers, value, order) then
    return true
  elseif self._count < self._capacity then
    append(self, value)
    return true
  end
  return false
end

--- Takes a value without waiting; nil if there is none. A value that leaves makes room for the
--- first that waits to send. Only without a buffer, and when none came back, can a sender's value
--- be taken from its hands.
function Channel:_receive()
  if self._count == 0 then
    local sender = line.grant(self._senders)
    return sender and sender.offer
  end
  -- First what may run out of memory: the value to return is taken last.
  if self._count <= self._capacity and self._senders.first then
    fifo.reserve(self._buffer)
    local sender = line.grant(self._senders)
    if sender then
      append(self, sender.offer)
    elseif self._count == 0 then
      return self:_receive() -- a finalizer has taken it meanwhile
    end
  end
  local value
  if self._returned then
    value, self._returned = returned.pop(self._returned)
  else
    value = fifo.pop(self._buffer)
  end
  self._count = self._count - 1
  return value
end

--- A value was granted to a receiver that will not take it: the next one gets it, or it goes back
--- before those that were granted later, and before the buffer. Its sender has gone on, so this may
--- be one more than there is room for.
function Channel:_put_back(waiter)
  local value, order = waiter.value, waiter.order
  if rawequal(value, CLOSED) or line.grant(self._receivers, value, order) then
    return
  end
  self._returned = returned.push(self._returned, waiter)
  self._count = self._count + 1
end

local VALUE = want.rule("anything but nil (false will do)", want.something[2])

-- -- Methods -------------------------------------------------------------------------------------

--- Waits until the value is in the buffer, or with its receiver. When the value was taken, the
--- result is true, even if c ended in that turn. Raises when the channel is closed, also while it
--- waits.
---@async
---@param c ctx.Context
---@param value any  not nil
---@return true? ok
---@return any? err  when c ended first
function Channel:send(c, value)
  want.self(self, metatable, "send")
  want.context(c, "send")
  VALUE(value, "send", 2)
  local err = c:ended()
  if err ~= nil then
    return nil, err
  elseif self._closed then
    error("channel:send: the channel is closed", 2)
  elseif self:_offer(value) then
    return true
  end
  local waiter <close> = line.waiter(c)
  waiter.offer = value
  if self._closed then
    error("channel:send: the channel is closed", 2)
  elseif self:_offer(value) then
    return true
  end
  waiter:join(self._senders)
  local ok
  ok, err = waiter:wait(SEND)
  if ok and rawequal(waiter.value, CLOSED) then
    ok, err = nil, c:ended()
    if err == nil then
      error("channel:send: the channel was closed while this waited", 2)
    end
  end
  return ok, err
end

--- Waits for a value. Returns nil and `channel.closed` when there will be none. When c ends in the
--- turn in which a value comes, the result is nil and an error, and the value goes to the next
--- waiter, or back to the front.
---@async
---@param c ctx.Context
---@return any value
---@return any? err  `channel.closed`, or that of c
function Channel:recv(c)
  want.self(self, metatable, "recv")
  want.context(c, "recv")
  local err = c:ended()
  if err ~= nil then
    return nil, err
  end
  local value = self:_receive()
  if value ~= nil then
    return value
  end
  local waiter <close> = line.waiter(c, self._put_back, self)
  value = self:_receive()
  if value ~= nil then
    return value
  elseif self._closed then
    return core.refused(nil, channel.closed)
  end
  waiter:join(self._receivers)
  local ok
  ok, err = waiter:take(RECV)
  if not ok then
    return nil, err
  elseif rawequal(waiter.value, CLOSED) then
    value, err = self:try_recv() -- one may have come back meanwhile
    return value, err
  end
  return waiter.value
end

--- Sends the value if that needs no wait; returns whether it did. Raises when the channel is
--- closed.
---@param value any  not nil
---@return boolean sent
function Channel:try_send(value)
  want.self(self, metatable, "try_send")
  VALUE(value, "try_send", 1)
  if self._closed then
    error("channel:try_send: the channel is closed", 2)
  end
  return self:_offer(value)
end

--- Receives a value if there is one now; else returns nil, and `channel.closed` when there will be
--- none.
---@return any value
---@return ctx.errors.Error? err  `channel.closed`
function Channel:try_recv()
  want.self(self, metatable, "try_recv")
  local value = self:_receive()
  if value == nil and self._closed then
    return nil, channel.closed
  end
  return value
end

--- Closes the channel: receivers get what is left, then `channel.closed`. A task that waits to send
--- raises an error, so let the only sender close, or one task that waits for all senders. Closing a
--- channel twice raises.
function Channel:close()
  want.self(self, metatable, "close")
  if self._closed then
    error("channel:close: it is closed already", 2)
  end
  self._closed = true
  while line.grant(self._receivers, CLOSED) do end
  while line.grant(self._senders, CLOSED) do end
end

--- Returns an iterator over the values, until the channel is closed and empty, or c ends; `c:err()`
--- tells which.
---@param c ctx.Context
---@return fun(): any next
function Channel:iter(c)
  want.self(self, metatable, "iter")
  want.context(c, "iter")
  return function()
    return (self:recv(c))
  end
end

--- Returns the number of values in the buffer, and the room for them.
---@return integer count
---@return integer capacity
function Channel:len()
  want.self(self, metatable, "len")
  return self._count, self._capacity
end

--- Returns whether the channel is closed.
---@return boolean closed
function Channel:is_closed()
  want.self(self, metatable, "is_closed")
  return self._closed
end

return channel
