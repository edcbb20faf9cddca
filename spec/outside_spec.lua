-- SPDX-License-Identifier: MIT
-- Cause: what began outside of the scheduler, in a loop that the program runs, was registered
-- first, and then the loop was told of it. Without memory for that, nothing ever went on: a task
-- never began, and nobody heard of it. Cure: the memory to tell the loop is there first, or the
-- call raises. Here is the usual case; with spec/support/stress.lua, which lets the allocations
-- fail, a fault of this kind hangs.
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local uv = require "luv"

local background = ctx.background()

-- Each begins something that calls `over` later.
local beginnings = {
  ["a task"] = function(over)
    ctx.go(over)
  end,
  ["a task of a group"] = function(over)
    errgroup.new():go(over)
  end,
  ["a task of a group, by try_go"] = function(over)
    assert(errgroup.new():try_go(over))
  end,
  ["an after-func"] = function(over)
    ctx.after_func(ctx.with_timeout(background, 1), over)
  end,
  ["a coroutine that sleeps"] = function(over)
    assert(coroutine.resume(coroutine.create(function()
      ctx.sleep(background, 1)
      over()
    end)))
  end,
  ["a coroutine that sleeps for no time"] = function(over)
    assert(coroutine.resume(coroutine.create(function()
      ctx.sleep(background, 0)
      over()
    end)))
  end,
  ["a coroutine that awaits a timer"] = function(over)
    assert(coroutine.resume(coroutine.create(function()
      ctx.await(background, function(resolve)
        local timer = uv.new_timer()
        timer:start(1, 0, function() resolve() end)
        return timer
      end)
      over()
    end)))
  end,
}

local function count()
  local now = core.counters()
  return now.tasks + now.parked + now.watchers
end

local function handle()
  local check = uv.new_check()
  check:start(function() end)
  return setmetatable({}, { __close = function()
    check:close()
    uv.run("nowait")
  end })
end

describe("outside of the scheduler goes on, or raises:", function()
  for name, begin in pairs(beginnings) do
    it(name, function()
      local over, before = false, count()
      local _ <close> = handle() -- without any that is open, there would be nothing to wait for
      begin(function() over = true end)
      repeat
        uv.run("once")
      until over or count() == before
      uv.run("nowait") -- what has come at last goes on
      assert.is_true(over)
    end)
  end
end)
