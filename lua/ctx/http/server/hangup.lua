-- SPDX-License-Identifier: MIT
--- Notices that the other side of a socket has gone while nothing reads from it.
---
--- The end of a stream stands behind the bytes that nobody wants yet; only a poll sees it from
--- here. luv watches a descriptor once, so this takes one more.
local host = require "ctx.uv.host"
local wire = require "ctx.http.wire"

local uv = host.uv

---@class ctx.http.Hangup
---@field _poll userdata
---@field _fd integer
local Hangup = {}
Hangup.__index = Hangup

local hangup = {}

--- Calls back when the other side has closed the connection or its half of it. nil when there is no
--- descriptor left: then that is noticed late, when reading goes on or at the next write.
---@param handle userdata  luv's stream
---@param callback fun()
---@return ctx.http.Hangup?
function hangup.watch(handle, callback)
  local scope <close> = host.owned()
  local of = handle:fileno()
  local fd, events
  if of then
    fd, events = wire.hangup(of)
  end
  if not fd then
    return nil
  end
  scope.fd = fd
  local poll = uv.new_poll(fd)
  if not poll then
    return nil
  end
  scope.handle = poll
  poll:start(events, function()
    poll:stop()
    callback()
  end)
  poll:unref()
  local self = setmetatable({ _poll = poll, _fd = fd }, Hangup)
  scope.handle, scope.fd = false, false
  return self
end

--- Once.
function Hangup:close()
  host.close(self._poll)
  uv.fs_close(self._fd)
end

return hangup
