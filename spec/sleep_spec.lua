-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local core = require "ctx.core"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

describe("sleep", function()
  it("returns true when the time is over", function()
    testing.run(function(root, clock)
      local results = table.pack(ctx.sleep(root, 250))
      assert.same({ true, n = 1 }, results)
      assert.equal(250, clock:elapsed())
    end)
  end)

  it("returns nil and the error when its context ends first", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 100)
      local result, err = ctx.sleep(c, 250)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      assert.equal(100, clock:elapsed())
    end)
  end)

  it("returns an error that is the sentinel and the cause, where there is a cause", function()
    local errors = require "ctx.errors"
    testing.run(function(root)
      local why = errors.new("the guest has left")
      local c, cancel <close> = ctx.with_cancel(root)
      ctx.go(function() cancel(why) end)
      local result, err = ctx.sleep(c, 250)
      assert.is_nil(result)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, why))
      assert.equal("context canceled: the guest has left", tostring(err))
    end)
  end)

  it("on a context that is done does not start", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      local others = false
      ctx.go(function() others = true end)
      local result, err = ctx.sleep(c, 0)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.canceled, err))
      assert.is_false(others)
    end)
  end)

  it("rounds fractions up: never too short", function()
    testing.run(function(root, clock)
      local began = clock:now()
      assert.is_true(ctx.sleep(root, 0.25))
      assert.is_true(clock:now() - began >= 0.25)
      assert.is_true(ctx.sleep(root, 0.001))
      assert.is_true(clock:now() - began > 0.25)
    end)
  end)

  it("of 0, and of less, lets everybody else have a turn, and takes no time", function()
    testing.run(function(root, clock)
      for _, ms in ipairs({ 0, -1, -math.huge }) do
        local others = false
        ctx.go(function() others = true end)
        assert.is_true(ctx.sleep(root, ms))
        assert.is_true(others)
      end
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("of math.huge ends with the context only", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 1e9)
      local result, err = ctx.sleep(c, math.huge)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      assert.equal(1e9, clock:elapsed())
    end)
  end)

  it("of centuries is as good as without end", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      assert.is_nil(ctx.sleep(c, 1e13))
    end)
  end)

  it("wakes sleepers in the order of their times, equal ones as they came", function()
    testing.run(function(root)
      local order = {}
      for i, ms in ipairs({ 30, 10, 20, 10, 0 }) do
        ctx.go(function()
          ctx.sleep(root, ms)
          order[#order + 1] = i
        end)
      end
      ctx.sleep(root, 100)
      assert.same({ 5, 2, 4, 3, 1 }, order)
    end)
  end)

  it("that ends in the same moment as its context ends well or not, but is one thing", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local result, err = ctx.sleep(c, 10)
      assert.is_true(result == true and err == nil or result == nil and err ~= nil)
    end)
  end)

  it("keeps its context from the collector", function()
    testing.run(function(root)
      local cancel
      local task = ctx.go(function()
        local c
        c, cancel = ctx.with_cancel(root)
        return ctx.sleep(ctx.with_value(c, "key", "value"), math.huge)
      end)
      ctx.sleep(root, 1)
      collectgarbage()
      collectgarbage()
      cancel("why")
      local _, err = task:wait()
      assert.equal("context canceled: why", tostring(err))
    end)
  end)

  it("leaves no timer behind when it is cut short", function()
    testing.run(function(root)
      local before = core.counters()
      for _ = 1, 100 do
        local c, cancel <close> = ctx.with_timeout(root, 1)
        ctx.sleep(c, 1e6)
      end
      local after = core.counters()
      assert.equal(before.watchers, after.watchers)
      assert.equal(before.deadlines, after.deadlines)
    end)
  end)
end)

describe("c:wait()", function()
  it("returns c:err() when c ends", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 40, "late")
      local results = table.pack(c:wait())
      assert.equal(1, results.n)
      assert.is_true(rawequal(ctx.deadline_exceeded, results[1]))
      assert.equal("late", c:cause())
      assert.equal(40, clock:elapsed())
    end)
  end)

  it("returns at once when c is done", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    assert.is_true(rawequal(ctx.canceled, c:wait())) -- also here, on the main thread
  end)

  it("hears of an ancestor's end, through values", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local leaf, stop <close> = ctx.with_cancel(ctx.with_value(c, "key", 1))
      ctx.go(function() cancel() end)
      assert.is_true(rawequal(ctx.canceled, ctx.with_value(leaf, "key", 2):wait()))
    end)
  end)
end)

-- Cause: the scheduler's turn came within luv's, from its timer; a wait that was over by then was
-- looked at only after the turn, and that went on to wait for whatever else was open. Cure: the
-- timer ends the turn.
describe("a sleep on the main thread whose time comes as a turn of the loop begins", function()
  it("is over by then, also beside a socket that nobody uses", function()
    local server, rescue, rescued = uv.new_tcp(), uv.new_timer(), false
    server:bind("127.0.0.1", 0)
    server:listen(1, function() end)
    rescue:start(2000, 0, function() rescued = true end)
    local run = uv.run
    uv.run = function(mode) -- luacheck: ignore
      local till = uv.hrtime() + 3e6
      while uv.hrtime() < till do end
      return run(mode)
    end
    local ok, err = pcall(ctx.sleep, ctx.background(), 1)
    uv.run = run -- luacheck: ignore
    server:close()
    rescue:close()
    assert.same({ true, true }, { ok, err })
    assert.is_false(rescued)
  end)
end)
