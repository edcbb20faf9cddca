-- SPDX-License-Identifier: MIT
--- Internal: luv's open handles, and which of them this library keeps for itself.
local core = require "ctx.core"
local loop = require "ctx.loop"

local handles = {}

-- Where ctx.signal keeps the handle that ignores SIGPIPE, made when it is first loaded.
local signals = core.shared("ctx.signal")

--- What ctx.testing knows of handles, once per Lua state, as luv has one loop.
---@class ctx.testing.Shared
---@field pulse any                   the timer of ctx.testing.still
---@field watch ctx.testing.Watch     for how long time has stood still
local shared = core.shared("ctx.testing")

handles.shared = shared

--- Whether it is one of the scheduler's.
---@param handle any
---@return boolean
function handles.is_ours(handle)
  return handle == loop.timer or handle == loop.prepare or handle == loop.poll
    or handle == signals.pipe or handle == shared.pulse
end

--- All of them that are not closing, in luv's order; and whether others are.
---@return any[] list
---@return boolean closing
function handles.all()
  local list, closing, failure = {}, false, nil
  local function add(handle)
    if handle:is_closing() then
      closing = true
    else
      list[#list + 1] = handle
    end
  end
  -- Should a callback raise, also without memory, luv would end the process.
  core.reserve()
  loop.uv.walk(function(handle)
    local ok, err = pcall(add, handle)
    failure = failure or not ok and err
  end)
  if failure then
    error(failure, 0)
  end
  return list, closing
end

--- Whether the loop would be alive if these did not hold it: luv counts its requests only together
--- with its handles.
---@param holders any[]  referenced
---@return boolean
function handles.alive_without(holders)
  for _, handle in ipairs(holders) do
    handle:unref()
  end
  local alive = loop.uv.loop_alive()
  for _, handle in ipairs(holders) do
    handle:ref()
  end
  return alive
end

--- Whether a request to luv is under way; nil while a handle is being closed, which holds the loop,
--- too: after a turn of the loop it is known.
---@return boolean?
function handles.has_requests()
  local holders = {}
  local open, closing = handles.all()
  if closing then
    return nil
  end
  for _, handle in ipairs(open) do
    if handle:is_active() and handle:has_ref() then
      holders[#holders + 1] = handle
    end
  end
  return handles.alive_without(holders)
end

--- Those that a program has opened, and has to close.
---@return any[]
function handles.list()
  local list = {}
  for _, handle in ipairs((handles.all())) do
    if not handles.is_ours(handle) and not loop.standing[handle] then
      list[#list + 1] = handle
    end
  end
  return list
end

return handles
