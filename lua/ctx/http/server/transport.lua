-- SPDX-License-Identifier: MIT
--- The stream below a connection of a server. It is read, or it is watched for the hang-up.
---
--- The end of a stream comes after the bytes that were not read yet: while nothing is read, only a
--- poll notices it. luv watches a descriptor only once, so the poll has its own descriptor.
local host = require "ctx.uv.host"
local streams = require "ctx.uv.stream"
local wire = require "ctx.http.wire"

local uv = host.uv

-- How long a TCP peer may say nothing before the kernel asks whether it is still there.
local KEEPALIVE_S = 15

---@class ctx.http.Transport
---@field reading boolean
---@field stream ctx.uv.Stream
---@field _handle userdata       luv's
---@field _on_read fun(err: string?, bytes: string?)
---@field _on_hangup fun()
---@field _poll userdata|false   for the hang-up; false also when there was no descriptor for it
---@field _poll_fd integer
---@field _peer any              where the other side is; nil before that was asked
local Transport = { __name = "ctx.http.Transport" }
Transport.__index = Transport

local transport = {}

--- Takes over a stream, which it does not read yet, and what was read of it and not taken.
---@param stream ctx.uv.Stream
---@param write_timeout number?
---@param on_read fun(err: string?, bytes: string?)
---@param on_hangup fun()  while nothing is read: the other side has closed its half, or all of it
---@return ctx.http.Transport
---@return string[]? bytes
function transport.new(stream, write_timeout, on_read, on_hangup)
  local handle, bytes = stream:handle(), streams.hand_over(stream)
  local self = setmetatable({ reading = false, stream = stream, _handle = handle, _poll = false,
    _poll_fd = -1, _on_read = on_read, _on_hangup = on_hangup }, Transport)
  stream:set_idle(write_timeout)
  if handle.keepalive then
    handle:keepalive(true, KEEPALIVE_S)
  end
  handle:ref()
  return self, bytes
end

--- Without a descriptor for it, a hang-up is noticed late: when reading goes on, or by a write.
local function watch(self)
  local scope <close> = host.owned()
  local of = self._handle:fileno()
  local fd, events
  if of then
    fd, events = wire.hangup(of)
  end
  scope.fd = fd or false
  local poll = fd and uv.new_poll(fd)
  if not poll then
    return
  end
  scope.handle = poll
  poll:start(events, function()
    poll:stop()
    self._on_hangup()
  end)
  poll:unref()
  self._poll, self._poll_fd = poll, fd
  scope.handle, scope.fd = false, false
end

local function unwatch(self)
  if self._poll then
    host.close(self._poll)
    uv.fs_close(self._poll_fd)
    self._poll = false
  end
end

--- Reads on; only when it does not read.
---@return any? ok   nil: it cannot be read
---@return string? said
function Transport:resume()
  unwatch(self)
  self.reading = true
  return self._handle:read_start(self._on_read)
end

--- Neither reads nor watches. Can be repeated.
function Transport:stop()
  if self.reading then
    self.reading = false
    if not self._handle:is_closing() then
      self._handle:read_stop()
    end
  end
  unwatch(self)
end

--- Reads no more for now.
function Transport:pause()
  if self.reading then
    self:stop()
    watch(self)
  end
end

--- Writes without waiting; whether the kernel took all of it.
---@param bytes string
---@return boolean whole
function Transport:put(bytes)
  return self._handle:try_write(bytes) == #bytes
end

--- Tells the other side that no more will be written; false if that cannot be told.
function Transport:finish()
  return self._handle:shutdown()
end

--- Gives the stream back, with these bytes before what comes next.
---@param bytes string[]|false
function Transport:give(bytes)
  self:stop()
  self._handle:unref()
  for _, part in ipairs(bytes or {}) do
    streams.unread(self.stream, part)
  end
  self.stream:set_idle(nil)
end

--- Where the other side is, or was: of one that has gone the system knows nothing any more.
function Transport:peer()
  if self._peer == nil then
    self._peer = self.stream:peer()
  end
  return self._peer
end

return transport
