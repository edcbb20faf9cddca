-- SPDX-License-Identifier: MIT
-- Cause: under the hand-moved clock, a task in ctx.await made the run wait for luv's loop, and when
-- that had nothing to do, give up: "all tasks are asleep", beside a sleep or a deadline that time
-- had only to be moved to. Cure: time jumps whenever nothing outside can happen any more.
local ctx = require "ctx"
local testing = require "ctx.testing"
local uv = require "luv"

local function never() end

describe("the hand-moved clock, beside an await that nothing will resolve,", function()
  it("jumps to the deadline of its context", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local value, err = ctx.await(c, never)
      assert.is_nil(value)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      assert.equal(10, clock:elapsed())
    end)
  end)

  it("jumps to the end of another task's sleep", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_cancel(root)
      ctx.go(function()
        ctx.sleep(root, 30)
        cancel("enough")
      end)
      assert.is_nil(ctx.await(c, never))
      assert.equal("enough", c:cause())
      assert.equal(30, clock:elapsed())
    end)
  end)

  it("stands still while the loop still has something to do", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local timer = uv.new_timer()
      local answer = ctx.await(c, function(resolve)
        timer:start(1, 0, function() resolve("rang") end)
        return timer
      end)
      timer:close()
      assert.equal("rang", answer)
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("gives up when there is no time to jump to either", function()
    local ok, err = pcall(testing.run, function(root)
      ctx.await(root, never)
    end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("all tasks are asleep", 1, true))
  end)
end)
