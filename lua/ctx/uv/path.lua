-- SPDX-License-Identifier: MIT
--- Paths that would be taken for others: the system ends them at a zero byte, and libuv cuts those
--- of pipes to the room in an address.
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"

local path = {}

local LONGEST_PIPE = host.uv.os_uname().sysname == "Linux" and 107 or 103

--- The error, if the path is such a one.
---@param text string
---@param what string  the operation
---@return ctx.uv.Error?
function path.fault(text, what)
  if text:find("\0", 1, true) then
    return failure.new("EINVAL", what, "a zero byte in the path")
  end
end

--- The same for that of a pipe.
---@param text string
---@param what string
---@return ctx.uv.Error?
function path.pipe_fault(text, what)
  if text == "" then
    return failure.new("EINVAL", what, "no path")
  elseif #text > LONGEST_PIPE then
    return failure.new("ENAMETOOLONG", what,
      ("%d bytes, and %d are the most"):format(#text, LONGEST_PIPE))
  end
  return path.fault(text, what)
end

return path
