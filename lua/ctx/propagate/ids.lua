-- SPDX-License-Identifier: MIT
--- Internal: ids of traces and spans, from the system's random bytes. Those are fetched for many
--- ids at once, since each question to the system costs more than all the rest of an id.
local loop = require "ctx.loop"

local ids = {}

local BYTES = 1024
local buffer, at = "", 1

--- 64 random bits, which are not all zero.
local function word()
  local bits
  repeat
    if at > #buffer then
      buffer, at = assert(loop.uv.random(BYTES)), 1
    end
    bits, at = string.unpack("<i8", buffer, at)
  until bits ~= 0
  return bits
end

---@return string id 32 digits
function ids.trace()
  return ("%016x%016x"):format(word(), word())
end

---@return string id 16 digits
function ids.span()
  return ("%016x"):format(word())
end

return ids
