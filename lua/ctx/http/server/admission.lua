-- SPDX-License-Identifier: MIT
--- What becomes of a stream that has come to a server: a connection, if there may be one more.
local connection = require "ctx.http.server.connection"

local TURNED_AWAY = 256 -- connections over the limit that are told so, and not just closed

local admission = {}

---@class ctx.http.Taking
---@field stream ctx.uv.Stream|false  has no owner yet
---@field conn ctx.http.Connection|false  its owner, which is not ready
local Taking = {}
Taking.__index = Taking

--- Ends what it holds. Can be repeated: a call needs memory, too.
function Taking:close()
  if self.conn then
    self.conn:close()
  elseif self.stream then
    self.stream:close()
  end
  self.stream, self.conn = false, false
end

Taking.__close = Taking.close

--- A <close> variable for streams that have come, one after the other: set its field `stream`. It
--- is there before the first, so that none stays open for which there is no memory.
---@return ctx.http.Taking
function admission.guard()
  return setmetatable({ stream = false, conn = false }, Taking)
end

--- A connection for the stream, which the server knows from here on.
local function connect(server, taking)
  local conn = connection.new(server, taking.stream, server._base)
  taking.conn = conn
  server._connections:add(conn)
  return conn
end

local function take_over(server, taking)
  if server._state == "closed" or taking.stream:is_closed() then
    return taking.stream:close()
  elseif server._connected >= server.limits.max_connections then
    if server._turned_away >= TURNED_AWAY then
      return taking.stream:close()
    end
    local conn = connect(server, taking)
    conn.turned_away = true
    server._turned_away = server._turned_away + 1
    return conn:turn_away()
  end
  local conn = connect(server, taking)
  server._connected = server._connected + 1
  conn:start()
  if server._state == "draining" then
    conn:retire()
  end
end

--- The stream that the guard holds is the server's from here on.
---@param server ctx.http.Server
---@param taking ctx.http.Taking
function admission.admit(server, taking)
  take_over(server, taking)
  taking.stream, taking.conn = false, false
end

return admission
