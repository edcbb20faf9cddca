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
---@field left table<any, true>       handles that earlier tests have left behind
---@field watch table                 for how long time has stood still; see ctx.testing.still
local shared = core.shared("ctx.testing")
shared.left = shared.left or setmetatable({}, { __mode = "k" })

handles.shared = shared

--- Whether it is one of the scheduler's.
---@param handle any
---@return boolean
function handles.is_ours(handle)
  return handle == loop.timer or handle == loop.idle or handle == loop.poll
    or handle == signals.pipe or handle == shared.pulse
end

--- All of them that are not closing, in luv's order.
---@return any[]
function handles.all()
  local list, failure = {}, nil
  local function add(handle)
    if not handle:is_closing() then
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
  return list
end

--- Those that a program has opened, and has to close.
---@return any[]
function handles.list()
  local list = {}
  for _, handle in ipairs(handles.all()) do
    if not handles.is_ours(handle) and not loop.standing[handle] then
      list[#list + 1] = handle
    end
  end
  return list
end

return handles
