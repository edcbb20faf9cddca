-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local no_error = require "spec.support.no_error"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local background = ctx.background()

local function same(expected, ...)
  assert.same(expected, table.pack(...))
end

describe("go", function()
  it("returns at once; the function runs later, with its arguments", function()
    testing.run(function()
      local got
      local task = ctx.go(function(...) got = table.pack(...) end, 1, nil, "three", nil)
      assert.is_nil(got)
      assert.equal("ready", task:status())
      task:wait()
      assert.same({ 1, nil, "three", nil, n = 4 }, got)
    end)
  end)

  it("starts tasks in the order of the calls, and gives turns in that order", function()
    testing.run(function(root)
      local seen = {}
      for i = 1, 3 do
        ctx.go(function()
          seen[#seen + 1] = i
          ctx.sleep(root, 0)
          seen[#seen + 1] = i * 10
        end)
      end
      ctx.sleep(root, 1)
      assert.same({ 1, 2, 3, 10, 20, 30 }, seen)
    end)
  end)

  it("never runs a task inside another: neither by go nor by what wakes it", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local woken = false
      local task = ctx.go(function()
        c:wait()
        woken = true
      end)
      ctx.sleep(root, 1)
      cancel()
      assert.is_false(woken)
      task:wait()
      assert.is_true(woken)
    end)
  end)

  it("takes and returns as many values as fit on a stack", function()
    testing.run(function()
      local many = {}
      for i = 1, 5000 do many[i] = i end
      local results = table.pack(ctx.go(function(...) return ... end, table.unpack(many)):wait())
      assert.equal(5000, results.n)
      assert.equal(5000, results[5000])
    end)
  end)

  it("runs a C function, too", function()
    testing.run(function()
      same({ 3, n = 1 }, ctx.go(math.max, 1, 3, 2):wait())
    end)
  end)

  it("a plain coroutine.yield() lets every other task have a turn", function()
    testing.run(function()
      local seen = {}
      local function turns(name)
        for i = 1, 3 do
          seen[#seen + 1] = name .. i
          same({ n = 0 }, coroutine.yield("to nobody"))
        end
      end
      local a, b = ctx.go(turns, "a"), ctx.go(turns, "b")
      a:wait()
      b:wait()
      assert.same({ "a1", "b1", "a2", "b2", "a3", "b3" }, seen)
    end)
  end)

  it("a task that only yields starves no timer", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 0)
      while not c:done() do coroutine.yield() end
      local stop = false
      local spinner = ctx.go(function() while not stop do coroutine.yield() end end)
      assert.is_true(ctx.sleep(root, 0))
      stop = true
      spinner:wait()
    end)
  end)
end)

describe("t:wait()", function()
  it("returns what the task returned, nils included", function()
    testing.run(function()
      same({ n = 0 }, ctx.go(function() end):wait())
      same({ nil, n = 1 }, ctx.go(function() return nil end):wait())
      same({ nil, 2, nil, n = 3 }, ctx.go(function() return nil, 2, nil end):wait())
    end)
  end)

  it("may be asked again, and long after", function()
    testing.run(function(root)
      local task = ctx.go(function() return "kept", nil end)
      ctx.sleep(root, 10)
      for _ = 1, 3 do
        same({ "kept", nil, n = 2 }, task:wait())
      end
    end)
  end)

  it("returns nil and the error itself when the task raised", function()
    testing.run(function()
      for _, raised in ipairs({ "text", 5, {}, ctx.canceled, false }) do
        local result, err = ctx.go(function() error(raised, 0) end):wait()
        assert.is_nil(result)
        assert.is_true(rawequal(raised, err))
      end
      local value, err = ctx.go(function() error(nil) end):wait()
      assert.is_nil(value)
      assert.is_true(no_error(err))
    end)
  end)

  it("serves several waiters, in the order in which they came", function()
    testing.run(function(root)
      local task = ctx.go(function()
        ctx.sleep(root, 10)
        return "result"
      end)
      local order, waiters = {}, {}
      for i = 1, 3 do
        waiters[i] = ctx.go(function()
          local result = task:wait()
          order[#order + 1] = i
          return result
        end)
      end
      for i = 1, 3 do
        assert.equal("result", waiters[i]:wait())
      end
      assert.same({ 1, 2, 3 }, order)
    end)
  end)

  it("ends with the context it is given; the task goes on", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local task = ctx.go(function()
        ctx.sleep(root, 50)
        return "done all the same"
      end)
      local result, err = task:wait(c)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      assert.equal(10, clock:elapsed())
      assert.equal("waiting", task:status())
      assert.equal("done all the same", task:wait())
    end)
  end)

  it("with a context that is done does not wait; what is over is told all the same", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      local task = ctx.go(function() return "result" end)
      local result, err = task:wait(c)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.canceled, err))
      task:wait()
      assert.equal("result", task:wait(c))
    end)
  end)

  it("for oneself is an error, and not a wait for ever", function()
    testing.run(function(root)
      local task
      task = ctx.go(function()
        local ok, err = pcall(function() task:wait() end)
        assert.is_false(ok)
        assert.matches("cannot wait for itself", err, 1, true)
        return ctx.sleep(root, 1)
      end)
      assert.is_true(task:wait())
    end)
  end)
end)

describe("t:status()", function()
  it("tells where a task is", function()
    testing.run(function(root)
      local task
      local states = {}
      task = ctx.go(function()
        states[#states + 1] = task:status()
        ctx.sleep(root, 10)
      end)
      states[#states + 1] = task:status()
      ctx.sleep(root, 1)
      states[#states + 1] = task:status()
      task:wait()
      states[#states + 1] = task:status()
      assert.same({ "ready", "running", "waiting", "done" }, states)
      local failed = ctx.go(error, "why")
      failed:wait()
      assert.equal("failed", failed:status())
    end)
  end)

  it("is in tostring, too", function()
    testing.run(function()
      local task = ctx.go(function() end)
      assert.matches("^ctx%.Task %(ready%): ", tostring(task))
      task:wait()
      assert.matches("^ctx%.Task %(done%): ", tostring(task))
    end)
  end)
end)

describe("t:traceback()", function()
  it("shows where a task waits, and under ctx.debug where it was started", function()
    testing.run(function(root)
      local function waits_here() ctx.sleep(root, 10) end
      local task = ctx.go(function() waits_here() end)
      local line = debug.getinfo(1, "l").currentline - 1
      ctx.sleep(root, 1)
      local trace = task:traceback()
      assert.matches("waits_here", trace, 1, true)
      assert.matches("started at .*task_spec%.lua:" .. line, trace)
      task:wait()
      assert.is_nil(task:traceback())
    end)
  end)

  it("shows where it raised", function()
    testing.run(function()
      local function raises_here() error("why") end
      local task = ctx.go(function() raises_here() end)
      task:wait()
      assert.matches("raises_here", task:traceback(), 1, true)
    end)
  end)

  it("does not show the line of a former task in the same place", function()
    local clock <close> = testing.clock()
    local before = ctx.debug()
    ctx.debug(true)
    ctx.go(function() end)
    clock:settle()
    ctx.debug(false)
    local c, cancel = ctx.with_cancel(background)
    local task = ctx.go(function() c:wait() end)
    clock:settle()
    assert.is_nil(task:traceback():find("started at", 1, true))
    cancel()
    clock:settle()
    ctx.debug(before)
  end)
end)

describe("an error that nobody waits for", function()
  local function raises_here() error("nobody hears this", 0) end

  it("is reported when nobody holds the handle", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      ctx.go(raises_here)
      collectgarbage()
      collectgarbage()
      clock:advance(500)
    end)
    assert.equal(1, #list)
    assert.equal("task", list[1].kind)
    assert.matches("nobody hears this", list[1].message, 1, true)
    assert.matches("stack traceback:", list[1].message, 1, true)
  end)

  -- Cause: it was reported when the handle was collected, which in an idle program may be never.
  -- Cure: half a second after the failure, and at the end of ctx.run.
  it("is reported once, half a second after it came, and not before", function()
    local clock <close> = testing.clock()
    local list = reports(function(list)
      local task = ctx.go(raises_here)
      clock:settle()
      for _ = 1, 4 do collectgarbage() end
      clock:advance(499)
      assert.same({}, list)
      assert.equal("failed", task:status())
      clock:advance(1)
      assert.equal(1, #list)
      clock:advance(10000)
      assert.is_nil((task:wait()))
      task = nil -- luacheck: ignore
      for _ = 1, 4 do collectgarbage() end
    end)
    assert.equal(1, #list)
    assert.matches("nobody hears this", list[1].message, 1, true)
  end)

  it("is reported in order, also when some have been heard, and many come at a time", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      local tasks = {}
      for i = 1, 3000 do
        tasks[i] = ctx.go(function() error(tostring(i), 0) end)
      end
      clock:advance(100)
      for i = 1, 3000, 3 do
        tasks[i]:wait()
      end
      clock:advance(1000)
    end)
    assert.equal(2000, #list)
    for i = 1, 2000 do
      local number = 3 * ((i - 1) // 2) + 2 + (i - 1) % 2
      assert.matches("waited for it: " .. number .. "\n", list[i].message)
    end
  end)

  it("is not reported when somebody has asked, before or after the end", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      ctx.go(function()
        ctx.go(raises_here):wait()
        local later = ctx.go(raises_here)
        ctx.sleep(background, 5)
        later:wait()
      end)
      clock:advance(10)
      for _ = 1, 4 do collectgarbage() end
    end)
    assert.same({}, list)
  end)

  it("is reported when the one who waited gave up before the end", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      ctx.go(function()
        local c, cancel <close> = ctx.with_timeout(background, 5)
        local task = ctx.go(function()
          ctx.sleep(background, 10)
          raises_here()
        end)
        task:wait(c)
      end)
      clock:advance(520)
    end)
    assert.equal(1, #list)
  end)

  it("is reported at the end of ctx.run, before what follows", function()
    for _, main in ipairs { function() end, function() error("why", 0) end } do
      local list = reports(function(list)
        pcall(ctx.run, function(root)
          ctx.go(raises_here)
          ctx.sleep(root, 0)
          main()
        end)
        assert.equal(1, #list)
      end)
      assert.equal("task", list[1].kind)
    end
  end)

  it("ends neither the run nor another task", function()
    local list = reports(function()
      testing.run(function(root)
        ctx.go(raises_here)
        assert.is_true(ctx.sleep(root, 10))
      end)
      for _ = 1, 4 do collectgarbage() end
    end)
    assert.equal(1, #list)
  end)
end)
