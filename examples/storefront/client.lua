-- SPDX-License-Identifier: MIT
--- Asks a server one line and returns its answer.
local errors = require "ctx.errors"
local uv = require "ctx.uv"

local client = {}

--- Sends the line and waits for the answer; closing the connection is what tells the server that
--- nobody waits any more.
---@param c ctx.Context
---@param port integer
---@param line string
---@return string|nil value  what came after "ok"
---@return any? err
function client.ask(c, port, line)
  local connection <close>, err = uv.connect(c, "127.0.0.1", port)
  if not connection then
    return nil, err
  end
  local ok
  ok, err = connection:write(c, line .. "\n")
  if not ok then
    return nil, err
  end
  local reply
  reply, err = connection:read_line(c)
  if not reply then
    return nil, err or errors.new("the server hung up")
  end
  local value = reply:match("^ok%s?(.*)$")
  if value then
    return value
  end
  return nil, errors.new((reply:gsub("^error ", "")))
end

return client
