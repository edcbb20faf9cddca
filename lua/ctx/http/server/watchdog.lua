-- SPDX-License-Identifier: MIT
--- A deadline that moves with every request and hardly ever comes.
---
--- To move it later costs a look at the clock: what was armed before rings in vain, looks again,
--- and is armed for the rest.
local core = require "ctx.core"

---@class ctx.http.Watchdog
---@field _bark fun()
---@field _due number?     on core.now(); nil: asleep
---@field _armed number?   when it will ring
---@field _cancel ctx.Cancel?
---@field _ring fun()
local Watchdog = { __name = "ctx.http.Watchdog" }
Watchdog.__index = Watchdog

local watchdog = {}

local function disarm(self)
  if self._cancel then
    self._stop()
    self._cancel()
    self._armed, self._cancel = nil, nil
  end
end

local function arm(self, due)
  disarm(self)
  local c, cancel = core.with_deadline(core.background(), due)
  local stop = core.after_func(c, self._ring)
  self._armed, self._cancel, self._stop = due, cancel, stop
end

--- Calls bark(), as a task, when a time set has come.
---@param bark fun()
---@return ctx.http.Watchdog
function watchdog.new(bark)
  local self = setmetatable({ _bark = bark }, Watchdog)
  self._ring = function()
    local cancel, due = self._cancel, self._due
    if not cancel or self._armed > core.now() then
      return -- closed, or armed anew for an earlier time, in the meantime
    end
    cancel()
    self._armed, self._cancel = nil, nil
    if due and due > core.now() then
      arm(self, due)
    elseif due then
      self._due = nil
      self._bark()
    end
  end
  return self
end

--- From now on it is due in `ms`; nil or math.huge: not at all.
---@param ms number?
---@return number now
function Watchdog:set(ms)
  local now = core.now()
  local due = ms and ms ~= math.huge and now + ms or nil
  self._due = due
  if due and (not self._armed or self._armed > due) then
    arm(self, due)
  end
  return now
end

--- Arms it again, if it should have rung and had no memory to.
function Watchdog:look()
  local due = self._due
  if due and (not self._armed or self._armed <= core.now()) then
    arm(self, due)
  end
end

--- Not due any more.
function Watchdog:clear()
  self._due = nil
end

--- Never again.
function Watchdog:close()
  self._due = nil
  disarm(self)
end

return watchdog
