-- SPDX-License-Identifier: MIT
--- Internal: the clock that is moved by hand.
local core = require "ctx.core"
local still = require "ctx.testing.still"
local want = require "ctx.want"

local clock = {}

---@class ctx.testing.Clock
---@field _began number
---@field _real boolean? it is not, or no longer, this one that holds the real clock off
local Clock = {}
local metatable = { __name = "ctx.testing.Clock", __index = Clock }

--- Returns the time in ms, as ctx.now() does.
---@return number ms
---@nodiscard
function Clock:now()
  want.self(self, metatable, "now")
  return core.now()
end

--- Returns the ms that have passed since the clock was installed.
---@return number ms
---@nodiscard
function Clock:elapsed()
  want.self(self, metatable, "elapsed")
  return core.now() - self._began
end

--- Lets `ms` pass: every deadline, sleep and ready task due until then runs, in order. In a task
--- this is a sleep that nothing ends early.
---@async
---@param ms number
function Clock:advance(ms)
  want.self(self, metatable, "advance")
  want.ms(ms, "advance", 1)
  if coroutine.isyieldable() then
    core.jump(ms)
    core.sleep(core.background(), ms)
  else
    core.advance(ms)
  end
end

--- Runs everything that is ready, without moving time.
---@async
function Clock:settle()
  want.self(self, metatable, "settle")
  self:advance(0)
end

--- Closes the clock: brings the real one back. Calling it again does nothing.
function Clock:close()
  want.self(self, metatable, "close")
  if not self._real then
    self._real = true
    still.stop()
    core.fake_clock(false)
  end
end

metatable.__close = Clock.close

--- Installs a clock that is moved by hand, until it is closed: `local clock <close> = …`. Within
--- the scope of another it is a second face of that, which goes on when this one is closed.
---@return ctx.testing.Clock clock
---@nodiscard
function clock.new()
  local nested = core.fake_clock(true)
  return setmetatable({ _began = core.now(), _real = nested }, metatable)
end

--- The real clock, with this class's methods.
---@return ctx.testing.Clock
function clock.real()
  return setmetatable({ _began = core.now(), _real = true }, metatable)
end

return clock
