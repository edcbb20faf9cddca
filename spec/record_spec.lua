-- SPDX-License-Identifier: MIT
-- What a task keeps alive, and for how long: from its first use to its end, and no longer.
local core = require "ctx.core"
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local testing = require "ctx.testing"

local background = ctx.background()

local function collect()
  collectgarbage()
  collectgarbage()
end

-- A handle stood in a table with weak values, and Lua clears such an entry before it calls the
-- finalizer of what owns the handle (manual 2.5.4). When that brought the handle back, the end of
-- its task was lost. A task now holds its handle until it is over.
describe("a task's handle that a finalizer brings back", function()
  it("has the results, for a task that is still running", function()
    testing.run(function(root)
      local result
      do
        local task = ctx.go(function()
          ctx.sleep(root, 20)
          return "written"
        end)
        setmetatable({ task = task }, {
          __gc = function(object)
            ctx.go(function() result = object.task:wait(root) end)
          end,
        })
      end
      ctx.sleep(root, 1)
      collect()
      ctx.sleep(root, 100)
      assert.equal("written", result)
    end)
  end)

  it("speaks of its own task while others come and go", function()
    testing.run(function(root)
      local handle
      setmetatable({ task = ctx.go(function() ctx.sleep(root, 20) end) }, {
        __gc = function(object) handle = object.task end,
      })
      ctx.sleep(root, 1)
      collect()
      assert.equal("waiting", handle:status())
      ctx.sleep(root, 20)
      for _ = 1, 100 do
        ctx.go(function() ctx.sleep(root, 5) end)
      end
      ctx.sleep(root, 1)
      assert.equal("done", handle:status())
      assert.is_nil(handle:traceback())
      ctx.sleep(root, 10)
    end)
  end)
end)

-- What a wait anchors was let go of only when the task ended, or waited with another context.
describe("a wait that is over", function()
  it("keeps nothing of its context, nor of what it waited in", function()
    testing.run(function(root)
      local weak = setmetatable({}, { __mode = "v" })
      local other = ctx.go(function() ctx.sleep(root, 100) end)
      local function once(wait)
        local value = {}
        weak[#weak + 1] = value
        local c, cancel <close> = ctx.with_timeout(root, 5) -- luacheck: ignore
        wait(ctx.with_value(c, "request", value))
      end
      ctx.go(function()
        once(function(c) ctx.sleep(c, 1) end)
        once(function(c) c:wait() end)
        once(function(c) other:wait(c) end)
        once(function(c) ctx.await(c, function() end) end)
        once(function(c) core.semaphore(0):acquire(c) end)
        once(function(c)
          local g = core.group()
          g:go(function() ctx.sleep(root, 20) end)
          g:wait(c)
        end)
        once(function(c) core.queue():wait(c, "spec") end)
        other:wait()
      end)
      ctx.sleep(root, 80)
      collect()
      assert.same({}, weak)
    end)
  end)
end)

local function wave(n, wait)
  local c, cancel = ctx.with_cancel(background)
  for _ = 1, n do
    ctx.go(wait, c)
  end
  ctx.sleep(background, 1)
  cancel()
  ctx.sleep(background, 1)
end

-- Records, their places and alarms were kept for ever, and ctx.counters() walked over all of them.
describe("a wave of tasks that is over", function()
  local function kept(n, wait)
    collect()
    local before = collectgarbage("count")
    wave(n, wait)
    collect()
    return collectgarbage("count") - before
  end

  it("gives its memory back", function()
    testing.run(function()
      kept(20000, function(c) ctx.sleep(c, 1e6) end) -- what stays for later is there now
      for _, wait in ipairs {
        function(c) c:wait() end,
        function(c) ctx.sleep(c, 1e6) end,
        function(c) ctx.await(c, function() end) end,
      } do
        assert.is_true(kept(20000, wait) < 1500) -- up to 1024 threads are spare
      end
    end)
  end)

  it("leaves those that go on as they are", function()
    testing.run(function(root)
      local got, handles = {}, {}
      for i = 1, 50 do
        wave(400, function(c) c:wait() end)
        handles[i] = ctx.go(function()
          ctx.sleep(root, 1000 + i)
          got[#got + 1] = i
          return i
        end)
      end
      collect()
      assert.equal(51, ctx.counters().tasks)
      for i, handle in ipairs(handles) do
        assert.equal(i, handle:wait(root))
        assert.equal(i, got[i])
      end
    end)
  end)

  it("does not confuse what resolves a wait too late", function()
    testing.run(function(root)
      local late = {}
      wave(5000, function(c)
        ctx.await(c, function(resolve) late[#late + 1] = resolve end)
      end)
      collect()
      local results = {}
      for i = 1, 200 do
        ctx.go(function()
          results[i] = ctx.await(root, function(resolve)
            ctx.go(function()
              ctx.sleep(root, 5)
              resolve(i)
            end)
          end)
        end)
      end
      ctx.sleep(root, 1)
      for _, resolve in ipairs(late) do resolve("late") end
      ctx.sleep(root, 10)
      for i = 1, 200 do assert.equal(i, results[i]) end
    end)
  end)

  it("costs ctx.counters() nothing afterwards", function()
    testing.run(function()
      wave(100, function(c) c:wait() end)
      local before = cpu.least(2000, ctx.counters)
      wave(20000, function(c) c:wait() end)
      collect()
      cpu.at_most(3, function() return before end, function()
        return cpu.least(2000, ctx.counters)
      end)
    end)
  end)
end)

-- Cause: the <close> variables of an ended task may ask for the same, and each such call began a
-- new count of C calls: with many tasks the C stack was at its end. Cure: those calls do nothing,
-- since the first goes on.
describe("core.abandon", function()
  it("does not nest", function()
    local ended = 0
    local before = ctx.set_report(function() end)
    testing.run(function(root)
      for _ = 1, 20000 do
        ctx.go(function()
          local _ <close> = setmetatable({}, { __close = function()
            ended = ended + 1
            core.abandon(true, "over")
          end })
          root:wait()
        end)
      end
      ctx.sleep(root, 1)
      core.abandon(true, "over")
    end)
    ctx.set_report(before)
    assert.equal(20000, ended)
  end)
end)

describe("core.drive", function()
  it("takes a task, and no other userdata for one", function()
    local ok, err = pcall(core.drive, io.stdout)
    assert.is_false(ok)
    assert.matches("t: a task expected, got FILE*", err, 1, true)
  end)
end)

-- Cause: to find lost cancels every place was looked at that had ever been used. Cure: those at the
-- end that are free again are left out.
describe("a wave of contexts that is over", function()
  it("costs ctx.counters() nothing afterwards, and lost cancels are found as before", function()
    local before = cpu.least(500, ctx.counters)
    local cancels = {}
    for i = 1, 20000 do cancels[i] = select(2, ctx.with_cancel(background)) end
    for _, cancel in ipairs(cancels) do cancel() end
    collect()
    local lost = ctx.counters().lost
    cpu.at_most(5, function() return before end, function()
      return cpu.least(500, ctx.counters)
    end)
    for _ = 1, 100 do ctx.with_cancel(background) end
    collect()
    assert.equal(lost + 100, ctx.counters().lost)
  end)
end)

-- Cause: a handle said that its task was over before it had the results; to keep these may run
-- finalizers, which then got none. Cure: it is over when all is there.
describe("a finalizer that runs while the results of a task are kept", function()
  it("gets them, too", function()
    testing.run(function(root)
      local task, got, called
      local mode = collectgarbage("generational")
      local ended = false
      task = ctx.go(function()
        collectgarbage("stop")
        setmetatable({}, { __gc = function()
          called = true
          coroutine.wrap(function() got = table.pack(task:wait(root)) end)()
        end })
        ended = true
        collectgarbage("restart") -- the next object that is made begins a collection
        return "a", "b"
      end)
      ctx.sleep(root, 1)
      collectgarbage(mode)
      collectgarbage()
      ctx.sleep(root, 1)
      assert.is_true(ended and called)
      assert.same({ "a", "b", n = 2 }, got)
    end)
  end)
end)
