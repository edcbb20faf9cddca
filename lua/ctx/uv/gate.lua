-- SPDX-License-Identifier: MIT
--- A gate: tasks wait in front of it until it opens, and then look again for what they want.
---
--- It opens for those who stand there and is shut behind them, so a wake-up that meets a task whose
--- context has just ended is lost on that one only: the others were woken, too.
local ctx = require "ctx"
local host = require "ctx.uv.host"

---@class ctx.uv.Gate
---@field [integer] fun(...)  who waits, in order
local Gate = {}
Gate.__index = Gate

local gate = {}

---@return ctx.uv.Gate
function gate.new()
  return setmetatable({}, Gate)
end

local function forget(self, resolve)
  for i = 1, #self do
    if self[i] == resolve then
      table.remove(self, i)
      return
    end
  end
end

--- Waits until the gate opens.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function Gate:wait(c)
  return ctx.await(c, function(resolve)
    self[#self + 1] = resolve
    return function()
      forget(self, resolve)
    end
  end)
end

--- Waits until the gate opens, for `ms` of real time at most, or math.huge: for what other
--- processes do, which know no hand-moved clock.
---@async
---@param c ctx.Context
---@param ms number
---@return boolean|nil opened  false: the time is over
---@return any? err
function Gate:wait_ms(c, ms)
  if ms == math.huge then
    return self:wait(c)
  end
  local timer = assert(host.uv.new_timer())
  local opened, err = ctx.await(c, function(resolve)
    local function leave()
      forget(self, resolve)
      host.close(timer)
    end
    self[#self + 1] = resolve
    host.uv.update_time()
    timer:start(math.ceil(ms), 0, host.guarded(function()
      leave()
      resolve(false)
    end))
    return leave
  end)
  host.close(timer)
  return opened, err
end

--- Lets everybody pass who waits now.
---@return boolean anybody
function Gate:open()
  local n = #self
  if n == 1 then
    local resolve = self[1]
    self[1] = nil
    resolve(true)
  elseif n > 1 then
    local waiters = table.move(self, 1, n, 1, {})
    for i = n, 1, -1 do
      self[i] = nil
    end
    for i = 1, n do
      waiters[i](true)
    end
  end
  return n > 0
end

return gate
