-- SPDX-License-Identifier: MIT
--- What the kernel says of this machine's TCP connections over IPv4.
local luv = require "luv"

local PATIENCE_NS = 10e9

local sockets = {}

--- Of the end of an established connection that has this port: the bytes that its owner has not
--- read yet, and the kind of timer that runs ("02": keep-alive).
---@param port integer
---@param other? integer  the port of the other end; by default any
---@return { unread: integer, timer: string }|nil
function sockets.of(port, other)
  local list <close> = assert(io.open("/proc/net/tcp"))
  local unread, timer = list:read("a"):match((" %%x+:%04X %%x+:%s 01 %%x+:(%%x+) (%%x+):")
    :format(port, other and ("%04X"):format(other) or "%x+"))
  return unread and { unread = tonumber(unread, 16), timer = timer }
end

--- Waits until so many bytes have come there, while the loop stands still.
---@param port integer
---@param size integer
function sockets.await_unread(port, size)
  local till = luv.hrtime() + PATIENCE_NS
  repeat
    assert(luv.hrtime() < till, "nothing has come")
    local found = sockets.of(port)
  until found and found.unread >= size
end

return sockets
