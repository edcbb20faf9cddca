-- SPDX-License-Identifier: MIT
--- Takes from a listener the connections that the kernel has established already, all within one
--- call.
---
--- luv hands out one or two of them in a turn of the loop. That is too few for a busy server, whose
--- turns are long; and when the listener is about to be closed those that are left would be reset,
--- though their clients have every reason to think that they are served.
local admission = require "ctx.http.server.admission"
local host = require "ctx.uv.host"
local listener = require "ctx.uv.listener"
local wire = require "ctx.http.wire"

local sweep = {}

local function take(from, fd)
  local stream = listener.held(from)
  if stream then
    return stream
  end
  local scope <close> = host.owned()
  scope.fd = wire.accept(fd) or false
  return scope.fd and listener.adopt(from, scope)
end

--- Does not wait for any.
---@param server ctx.http.Server
---@param from ctx.uv.Listener
---@param most number  so many at most: there is other work, too
---@param taking ctx.http.Taking  holds nothing
function sweep.some(server, from, most, taking)
  local fd = not from:is_closed() and from:handle():fileno()
  taking.stream = fd and take(from, fd) or false
  while taking.stream do
    admission.admit(server, taking)
    most = most - 1
    taking.stream = most > 0 and take(from, fd) or false
  end
end

--- All that there are, and no more begin; whether some may still come that have begun.
---@param server ctx.http.Server
---@param from ctx.uv.Listener
---@return boolean
function sweep.last(server, from)
  local fd = not from:is_closed() and from:handle():fileno()
  -- Another process that has the socket goes on with it, if it was inherited.
  local under_way = fd and not from.inherited and wire.deafen(fd)
  local taking <close> = admission.guard()
  sweep.some(server, from, math.huge, taking)
  return under_way or false
end

return sweep
