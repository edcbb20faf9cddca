-- SPDX-License-Identifier: MIT
--- Whether the kernel lets this user keep new connections off a listening socket: some keep such
--- filters for root, and other systems have none. Without, what it establishes in the microseconds
--- between a server's last accept and its close is reset.
local uv = require "ctx.uv"
local wire = require "ctx.http.wire"

return function()
  local listener <close> = assert(uv.listen("127.0.0.1", 0))
  return wire.deafen(listener:handle():fileno())
end
