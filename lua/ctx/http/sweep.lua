-- SPDX-License-Identifier: MIT
--- Takes from a listener the connections that the kernel has established already, all within one
--- call.
---
--- luv hands out one or two of them in a turn of the loop. That is too few for a busy server, whose
--- turns are long; and when the listener is about to be closed those that are left would be reset,
--- though their clients have every reason to think that they are served.
local host = require "ctx.uv.host"
local wire = require "ctx.http.wire"

local sweep = {}

local function take(from, fd)
  local stream = from:_held()
  if stream then
    return stream
  end
  local scope <close> = host.owned()
  scope.fd = wire.accept(fd) or false
  return scope.fd and from:_adopt(scope)
end

--- Does not wait for any.
---@param server ctx.http.Server
---@param from ctx.uv.Listener
---@param most number  so many at most: there is other work, too
function sweep.some(server, from, most)
  local fd = not from:is_closed() and from:handle():fileno()
  local stream = fd and take(from, fd)
  while stream do
    server:serve_stream(stream)
    most = most - 1
    stream = most > 0 and take(from, fd)
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
  sweep.some(server, from, math.huge)
  return under_way or false
end

return sweep
