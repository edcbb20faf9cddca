-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local core = require "ctx.core"
local errors = require "ctx.errors"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

describe("run", function()
  it("calls main as a task, with a context and the arguments; returns its results", function()
    local results = table.pack(ctx.run(function(root, ...)
      assert.is_nil(root:err())
      assert.is_true(coroutine.isyieldable())
      assert.same({ 1, nil, n = 2 }, table.pack(...))
      ctx.sleep(root, 0)
      return nil, 2, nil
    end, 1, nil))
    assert.same({ nil, 2, nil, n = 3 }, results)
    assert.equal(0, select("#", ctx.run(function() end)))
  end)

  it("cancels root when main returns, and waits for the rest", function()
    local kept, ended
    testing.run(function(root)
      kept = root
      ctx.go(function()
        root:wait()
        ctx.sleep(background, 50)
        ended = true
      end)
    end)
    assert.is_true(ended)
    assert.is_true(rawequal(ctx.canceled, kept:err()))
  end)

  it("cancels root when main raises, and waits for the rest", function()
    local ended
    local ok, err = pcall(ctx.run, function(root)
      ctx.go(function()
        root:wait()
        ended = true
      end)
      ctx.sleep(root, 0)
      error("why")
    end)
    assert.is_false(ok)
    assert.matches("why", err, 1, true)
    assert.is_true(ended)
  end)

  it("waits for tasks that were started before it, too", function()
    local ended = false
    ctx.go(function()
      ctx.sleep(background, 0)
      ended = true
    end)
    ctx.run(function() end)
    assert.is_true(ended)
  end)

  it("runs after-funcs of root before it returns", function()
    local ran = false
    ctx.run(function(root)
      ctx.after_func(root, function()
        ctx.sleep(background, 0)
        ran = true
      end)
    end)
    assert.is_true(ran)
  end)

  -- Cause: it returned as soon as there was no task, though the last had made more ready than one
  -- turn runs. Cure: it returns when nothing is ready either.
  it("runs all that root's end sets off, however long the chain", function()
    local cancels, ran = {}, 0
    ctx.run(function(root)
      cancels[0] = function() end
      for i = 1, 400 do
        local c
        c, cancels[i] = ctx.with_cancel(background)
        ctx.after_func(c, function()
          ran = ran + 1
          cancels[i - 1]()
        end)
      end
      ctx.after_func(root, function() cancels[400]() end)
    end)
    assert.equal(400, ran)
  end)

  it("works again and again", function()
    for i = 1, 3 do
      assert.equal(i, ctx.run(function(root)
        assert.is_true(ctx.sleep(root, 0))
        return i
      end))
    end
  end)

  it("lets an error in one run be, in the next", function()
    assert.is_false((pcall(ctx.run, error, "why")))
    assert.is_true(ctx.run(function(root) return ctx.sleep(root, 0) end))
  end)
end)

describe("an error in main", function()
  it("that is a text comes with the stack where it was raised", function()
    local function raises_here() error("why", 0) end
    local ok, err = pcall(ctx.run, function() raises_here() end)
    assert.is_false(ok)
    assert.matches("^why\nstack traceback:", err)
    assert.matches("run_spec.lua", err, 1, true)
  end)

  it("that is an object keeps its identity; its stack goes to the report", function()
    for _, why in ipairs({ errors.new("object"), { "table" }, ctx.canceled }) do
      local ok, err
      local list = reports(function()
        ok, err = pcall(ctx.run, function() error(why) end)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(why, err))
      assert.equal(1, #list)
      assert.equal("run", list[1].kind)
      assert.matches("stack traceback", list[1].message, 1, true)
    end
  end)

  -- Cause: to print it, and to report it, might raise, and that was raised instead. Cure: neither
  -- reaches the caller.
  it("that is an object keeps it though it cannot be printed, or the reporter raises", function()
    local why = setmetatable({}, { __tostring = function() error("no text", 0) end })
    local list = reports(function()
      assert.is_true(rawequal(why, select(2, pcall(ctx.run, function() error(why) end))))
    end)
    assert.matches("cannot be printed", list[1].message, 1, true)
    local previous = ctx.set_report(function() error("the reporter is broken", 0) end)
    local printable = errors.new("object")
    local _, err = pcall(ctx.run, function() error(printable) end)
    ctx.set_report(previous)
    assert.is_true(rawequal(printable, err))
  end)

  it("is raised once, and not reported as one that nobody waited for", function()
    local list = reports(function()
      pcall(ctx.run, error, "why")
      collectgarbage()
      collectgarbage()
    end)
    assert.same({}, list)
  end)
end)

describe("when all tasks are asleep, run", function()
  local function sleeps_for_ever() background:wait() end

  --- Runs main, which must end in "all tasks are asleep"; returns the message.
  local function asleep(main)
    local ok, err = pcall(ctx.run, main)
    assert.is_false(ok)
    assert.matches("all tasks are asleep", tostring(err), 1, true)
    return tostring(err)
  end

  after_each(function()
    -- Whatever has happened, the state is as good as new.
    assert.equal(0, core.counters().tasks)
    assert.equal(0, core.counters().parked)
    assert.equal("usable", ctx.run(function(root)
      assert.is_true(ctx.sleep(root, 0))
      return "usable"
    end))
  end)

  it("stops, and shows every stack", function()
    local message = asleep(function()
      local function another() ctx.await(background, function() end) end
      ctx.go(function() another() end)
      sleeps_for_ever()
    end)
    assert.matches("task waiting in c:wait", message, 1, true)
    assert.matches("task waiting in ctx.await", message, 1, true)
    assert.matches("sleeps_for_ever", message, 1, true)
    assert.matches("another", message, 1, true)
  end)

  it("shows where the tasks were started, under ctx.debug", function()
    local before = ctx.debug()
    ctx.debug(true)
    local line = debug.getinfo(1, "l").currentline + 2
    local message = asleep(function()
      ctx.go(sleeps_for_ever)
      sleeps_for_ever()
    end)
    ctx.debug(before)
    assert.matches("started at [^\n]*run_spec.lua:" .. line .. "\n", message)
  end)

  it("cancels root first, so that those who listen can end well", function()
    local ended, cause
    asleep(function(root)
      ctx.go(function()
        root:wait()
        cause = root:cause()
        ended = ctx.sleep(background, 1)
      end)
      sleeps_for_ever()
    end)
    assert.is_true(ended)
    assert.matches("all tasks are asleep", tostring(cause), 1, true)
  end)

  it("and main ends well on that, still says so", function()
    asleep(function(root) root:wait() end)
  end)

  it("after main has returned, says so, too", function()
    local message = asleep(function() ctx.go(sleeps_for_ever) end)
    assert.matches("run_spec.lua", message, 1, true)
  end)

  it("keeps to main's own error, if main ended with one, and reports the rest", function()
    local ok, err
    local list = reports(function()
      ok, err = pcall(ctx.run, function()
        ctx.go(sleeps_for_ever)
        error("why", 0)
      end)
      collectgarbage()
      collectgarbage()
    end)
    assert.is_false(ok)
    assert.matches("^why\n", err)
    assert.equal(1, #list)
    assert.matches("ctx.run: all tasks are asleep", list[1].message, 1, true)
  end)

  -- Cause: run raised main's error only when all other tasks were over, and said nothing before.
  -- Cure: it is reported when others go on, once.
  it("after main has failed, that is told at once if others go on, and once", function()
    for _, err in ipairs { "why", errors.new("an object") } do
      local clock <close> = testing.clock()
      local began, told = clock:elapsed(), nil
      local ok, raised
      local list = reports(function(list)
        ok, raised = pcall(ctx.run, function()
          ctx.go(function()
            ctx.sleep(background, 10)
            told = #list
            ctx.sleep(background, 10000)
          end)
          error(err, 0)
        end)
      end)
      assert.is_false(ok)
      assert.matches("^" .. tostring(err), tostring(raised))
      assert.equal(1, told)
      assert.equal(1, #list)
      assert.equal("run", list[1].kind)
      assert.matches("ctx.run: main failed, and other tasks go on: " .. tostring(err) .. "\nstack",
        list[1].message, 1, true)
      assert.equal(10010, clock:elapsed() - began)
    end
  end)

  it("after main has failed, nothing is told if the others end with their context", function()
    local list = reports(function()
      local ok, raised = pcall(ctx.run, function(root)
        ctx.go(function() ctx.sleep(root, 10000) end)
        error("why", 0)
      end)
      assert.is_false(ok)
      assert.matches("^why\nstack traceback:", raised)
    end)
    assert.same({}, list)
  end)

  it("reports none of them once more", function()
    local list = reports(function()
      asleep(function()
        ctx.go(sleeps_for_ever)
        sleeps_for_ever()
      end)
      collectgarbage()
      collectgarbage()
    end)
    assert.same({}, list)
  end)

  -- Cause: luv's timer, set for a deadline that had gone since, kept the loop waiting for it. Cure:
  -- it is stopped before a wait for nothing.
  it("says so at once, and not at a deadline that was given up", function()
    local began = uv.hrtime()
    asleep(function(root)
      local c, cancel = ctx.with_timeout(root, 60000)
      ctx.go(function() c:wait() end)
      ctx.await(root, function(resolve) -- a turn of the loop that is not luv's timer's
        uv.fs_stat(".", function() resolve() end)
      end)
      cancel()
      sleeps_for_ever()
    end)
    assert.is_true(uv.hrtime() - began < 30e9)
  end)

  it("ends those who never will: their <close> variables run", function()
    local closed = 0
    asleep(function()
      for _ = 1, 3 do
        ctx.go(function()
          local _ <close> = setmetatable({}, { __close = function()
            closed = closed + 1
            assert(not pcall(ctx.sleep, background, 1)) -- the last resort cannot wait
          end })
          sleeps_for_ever()
        end)
      end
    end)
    assert.equal(3, closed)
  end)

  -- Cause: a task that waited for one that was abandoned was woken by that, and then left in the
  -- queue for the next run. Cure: the run goes on until nobody is left.
  it("wakes those who waited for them, in the same run", function()
    local err, ended
    asleep(function()
      local task = ctx.go(sleeps_for_ever)
      ctx.go(function()
        err = select(2, task:wait())
        ctx.sleep(background, 1)
        ended = true
        sleeps_for_ever()
      end)
    end)
    assert.matches("all tasks are asleep", tostring(err), 1, true)
    assert.is_true(ended)
  end)

  it("tasks that wait for each other are asleep, too", function()
    local message = asleep(function()
      local a, b
      a = ctx.go(function() return b:wait() end)
      b = ctx.go(function() return a:wait() end)
      a:wait()
    end)
    assert.matches("task waiting in t:wait", message, 1, true)
  end)

  it("is not yet, as long as luv may still call", function()
    local c, cancel = ctx.with_cancel(background)
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      timer:close()
      cancel()
    end)
    ctx.run(function() c:wait() end)
    assert.is_true(c:done())
  end)
end)

describe("the loop that the user runs", function()
  it("goes on as long as a coroutine or a task waits for its time", function()
    local slept, task_slept
    coroutine.wrap(function() slept = ctx.sleep(background, 2) end)()
    ctx.go(function() task_slept = ctx.sleep(background, 1) end)
    uv.run()
    assert.is_true(slept)
    assert.is_true(task_slept)
  end)

  it("is not held by contexts, deadlines and after-funcs alone", function()
    local began = uv.hrtime()
    local c, cancel = ctx.with_timeout(background, 60000)
    local ran = false
    local stop = ctx.after_func(c, function() ran = true end)
    uv.run()
    assert.is_true(uv.hrtime() - began < 30e9)
    assert.is_false(ran)
    assert.is_true(stop())
    cancel()
  end)

  it("is not held any more when the sleeper is woken early", function()
    local began = uv.hrtime()
    local c, cancel = ctx.with_cancel(background)
    local err
    coroutine.wrap(function() err = select(2, ctx.sleep(c, 60000)) end)()
    ctx.go(function() cancel() end)
    uv.run()
    assert.is_true(rawequal(ctx.canceled, err))
    assert.is_true(uv.hrtime() - began < 30e9)
  end)

  it("runs what became ready outside of it", function()
    local ran = 0
    local c, cancel = ctx.with_cancel(background)
    coroutine.wrap(function()
      c:wait()
      ran = ran + 1
    end)()
    ctx.after_func(c, function() ran = ran + 1 end)
    cancel()
    assert.equal(0, ran)
    uv.run()
    assert.equal(2, ran)
  end)

  it("and ctx.run may follow one another", function()
    local list = {}
    local function note(name)
      coroutine.wrap(function()
        ctx.sleep(background, 1)
        list[#list + 1] = name
      end)()
    end
    note("first")
    uv.run()
    ctx.run(function(root)
      note("second")
      ctx.sleep(root, 3)
    end)
    note("third")
    uv.run()
    assert.same({ "first", "second", "third" }, list)
  end)
end)
