-- SPDX-License-Identifier: MIT
-- How tasks end: their <close> variables, their threads, and who meddles with their coroutines.
local channel = require "ctx.channel"
local ctx = require "ctx"
local core = require "ctx.core"
local growth = require "spec.support.growth"
local mutex = require "ctx.mutex"
local semaphore = require "ctx.semaphore"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"

local function closing(fn)
  return setmetatable({}, { __close = function(_, err) fn(err) end })
end

-- Lua 5.4.0 to 5.4.2 cannot yield in a __close that runs after an error.
local can_wait_after_error = coroutine.wrap(function()
  return pcall(function()
    local _ <close> = closing(function() coroutine.yield(true) end)
    error("why")
  end)
end)() == true

describe("the <close> variables of a task", function()
  it("may wait when the task returns", function()
    testing.run(function(root, clock)
      local task = ctx.go(function()
        local _ <close> = closing(function() ctx.sleep(root, 10) end)
        return "result", nil
      end)
      assert.same({ "result", nil, n = 2 }, table.pack(task:wait()))
      assert.equal(10, clock:elapsed())
    end)
  end)

  it("may wait after an error; they get it, and it stays what it was", function()
    if not can_wait_after_error then return end
    testing.run(function(root, clock)
      local why, seen = {}, nil
      local task = ctx.go(function()
        local _ <close> = closing(function(err)
          ctx.sleep(root, 10)
          seen = err
          ctx.go(function() ctx.sleep(root, 5) end):wait()
        end)
        error(why)
      end)
      local _, err = task:wait()
      assert.is_true(rawequal(why, err))
      assert.is_true(rawequal(why, seen))
      assert.equal(15, clock:elapsed())
    end)
  end)

  it("run from the innermost outwards, across calls, and each once", function()
    testing.run(function(root)
      local order = {}
      local function note(name)
        return closing(function() order[#order + 1] = name end)
      end
      local task = ctx.go(function()
        local _ <close> = note "outer"
        pcall(function()
          local _ <close> = note "inner"
          ctx.sleep(root, 1)
          error("why")
        end)
        order[#order + 1] = "between"
      end)
      task:wait()
      assert.same({ "inner", "between", "outer" }, order)
    end)
  end)

  it("may raise: then that error is the task's", function()
    testing.run(function()
      local task = ctx.go(function()
        local _ <close> = closing(function() error("second", 0) end)
        error("first", 0)
      end)
      local _, err = task:wait()
      assert.equal("second", err)
    end)
  end)
end)

describe("a task that fails by more than an error", function()
  it("of the stack: is over, and others go on", function()
    testing.run(function(root)
      local function deep() return deep() + 1 end
      local _, err = ctx.go(deep):wait()
      assert.matches("stack overflow", tostring(err), 1, true)
      assert.is_true(ctx.sleep(root, 1))
    end)
  end)

  it("in an error while it handles one: is over", function()
    testing.run(function()
      local bad = setmetatable({}, { __tostring = function() error("no text") end })
      local _, err = ctx.go(error, bad):wait()
      assert.is_true(rawequal(bad, err))
    end)
  end)
end)

describe("threads", function()
  it("are used again: ten thousand tasks, one after another, cost no memory", function()
    testing.run(function(root)
      local function work(n)
        ctx.sleep(root, 0)
        return n
      end
      assert.is_true(growth(function()
        for i = 1, 10000 do
          ctx.go(work, i):wait()
        end
      end) < 8)
    end)
  end)

  it("are used again: there are never many more than tasks at once, and a pool", function()
    testing.run(function()
      local threads, count = {}, 0
      for _ = 1, 5000 do
        ctx.go(function()
          local thread = coroutine.running()
          count = count + (threads[thread] and 0 or 1)
          threads[thread] = true
        end):wait()
      end
      assert.is_true(count < 2000)
    end)
  end)

  it("are used again also after tasks that failed", function()
    testing.run(function()
      assert.is_true(growth(function()
        for _ = 1, 1000 do
          ctx.go(error, "why"):wait()
        end
      end) < 8)
    end)
  end)

  it("carry nothing from one task to the next", function()
    testing.run(function()
      local threads = {}
      for i = 1, 3 do
        ctx.go(function(...)
          assert.equal(1, select("#", ...))
          assert.equal(i, (...))
          threads[#threads + 1] = coroutine.running()
        end, i):wait()
      end
      assert.equal(3, #threads)
    end)
  end)

  it("carry no hook that a task has set to the next", function()
    testing.run(function()
      ctx.go(function()
        debug.sethook(function() end, "", 1000000)
      end):wait()
      assert.is_nil(ctx.go(function() return (debug.gethook()) end):wait())
    end)
  end)

  it("after thousands of tasks at once, none is left", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local before, woken = core.counters(), 0
      for _ = 1, 5000 do
        ctx.go(function()
          c:wait()
          woken = woken + 1
        end)
      end
      ctx.sleep(root, 1)
      assert.equal(before.parked + 5000, core.counters().parked)
      cancel()
      ctx.sleep(root, 1)
      assert.equal(5000, woken)
      local after = core.counters()
      for _, name in ipairs({ "tasks", "parked", "external", "watchers" }) do
        assert.equal(before[name], after[name], name)
      end
    end)
  end)
end)

-- Cause: a task's coroutine that someone else resumed to its end was never over for the scheduler:
-- a task that waited for it did so for ever. Cure: it is queued again, where its end is seen.
describe("a task whose coroutine somebody else", function()
  local function parked_task(root)
    local co
    local task = ctx.go(function()
      co = coroutine.running()
      return ctx.sleep(root, 10)
    end)
    ctx.sleep(root, 1)
    return task, co
  end

  it("resumes while it waits, gets an error there, and is over", function()
    testing.run(function(root)
      local task, co = parked_task(root)
      coroutine.resume(co, "values", "of", "somebody")
      local result, err = task:wait()
      assert.is_nil(result)
      assert.matches("by someone else", tostring(err), 1, true)
    end)
  end)

  it("resumes while it waits, may catch the error and go on as a task", function()
    testing.run(function(root)
      local co
      local task = ctx.go(function()
        co = coroutine.running()
        local ok, err = pcall(ctx.sleep, root, 10)
        assert.is_false(ok)
        assert.matches("resumed by someone else while it waited", err, 1, true)
        coroutine.yield()
        return ctx.sleep(root, 10)
      end)
      ctx.sleep(root, 1)
      coroutine.resume(co)
      assert.is_true(task:wait())
    end)
  end)

  it("closes while it waits, is over", function()
    testing.run(function(root)
      local task, co = parked_task(root)
      assert.is_true(coroutine.close(co))
      local result, err = task:wait()
      assert.is_nil(result)
      assert.matches("was closed", tostring(err), 1, true)
    end)
  end)

  -- Cause: it was noticed only when nothing else could happen. Cure: asking for the task looks.
  it("closes while it waits, is over when asked for, whatever else the loop has to do", function()
    testing.run(function(root, clock)
      local task, co = parked_task(root)
      ctx.go(ctx.sleep, root, 5)
      coroutine.close(co)
      assert.equal("failed", task:status())
      task, co = parked_task(root)
      local elapsed = clock:elapsed()
      coroutine.close(co)
      assert.is_nil((task:wait(root)))
      assert.equal(elapsed, clock:elapsed())
    end)
  end)

  -- Cause: a task gets the thread of one that is over, and one that still held that could empty its
  -- stack before it ran; it ran all the same. Cure: the scheduler looks first.
  for name, meddle in pairs({ closes = coroutine.close, resumes = coroutine.resume }) do
    for count, arguments in pairs({ ["no arguments"] = {}, ["some arguments"] = { 1, 2, 3 } }) do
      it(name .. " before it has begun, with " .. count .. ", is over, scopes too", function()
        testing.run(function(root)
          local co, open = nil, 0
          ctx.go(function() co = coroutine.running() end):wait()
          local task = ctx.go(function()
            open = open + 1
            local _ <close> = closing(function() open = open - 1 end)
            ctx.sleep(root, 5)
          end, table.unpack(arguments))
          assert.equal("suspended", coroutine.status(co))
          meddle(co)
          local result, err = task:wait()
          assert.is_nil(result)
          assert.matches("by someone else", tostring(err), 1, true)
          assert.equal(0, open)
          assert.equal("next", ctx.go(function() return "next" end):wait())
        end)
      end)
    end
  end

  -- Cause: the wait leaves its line as the coroutine is closed, found it dead, and ended the task:
  -- it emptied the stack that was being closed, and gave its thread to the next task. Cure: a task
  -- whose stack is still in use ends in the next turn.
  for name, wait in pairs({
    ["a mutex"] = function(c)
      local m = mutex.new()
      m:lock(c)
      m:lock(c)
    end,
    ["a receive"] = function(c) channel.new():recv(c) end,
    ["a send"] = function(c) channel.new():send(c, 1) end,
    ["a select"] = function(c) channel.select(c, { { recv = channel.new() } }) end,
    ["a wait group"] = function(c)
      local wg = waitgroup.new()
      wg:add()
      wg:wait(c)
    end,
    ["a semaphore that it gives back"] = function(c)
      local s = semaphore.new(1)
      local _ <close> = closing(function() s:release() end)
      s:acquire(c)
      s:acquire(c)
    end,
  }) do
    it("closes while it waits in " .. name .. ", is over after its <close> variables", function()
      testing.run(function(root)
        local co, other
        local task = ctx.go(function()
          co = coroutine.running()
          local _ <close> = closing(function()
            other = ctx.go(function(...) return ... end, "arguments", "of its own")
          end)
          wait(root)
        end)
        ctx.sleep(root, 1)
        assert.is_true(coroutine.close(co))
        assert.matches("was closed", tostring(select(2, task:wait())), 1, true)
        assert.same({ "arguments", "of its own" }, { other:wait() })
      end)
    end)
  end
end)
