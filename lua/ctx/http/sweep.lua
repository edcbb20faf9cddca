-- SPDX-License-Identifier: MIT
--- Takes from a listener that is about to be closed the connections that the kernel has established
--- already: they would be reset, and their clients have every reason to think that they are served.
---
--- All within one call, so that clients that come again and again cannot prolong it.
local wire = require "ctx.http.wire"

---@param server ctx.http.Server
---@param from ctx.uv.Listener
return function(server, from)
  local fd = not from:is_closed() and from:handle():fileno()
  if not fd then
    return
  end
  if not from.inherited then -- whoever else has that socket goes on with it
    wire.deafen(fd)
  end
  local stream = from:_held()
  while stream do
    server:serve_stream(stream)
    stream = from:_held()
  end
  local accepted = wire.accept(fd)
  while accepted do
    server:serve_stream(from:_adopt(accepted))
    accepted = wire.accept(fd)
  end
end
