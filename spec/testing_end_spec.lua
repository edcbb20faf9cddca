-- SPDX-License-Identifier: MIT
-- The end of testing.run, whatever a test leaves behind.
--
-- Cause: a run waited for all its tasks, and time went on for them. So a ticker kept it running
-- for ever, a task that ended by itself passed, and one that waited for ever was "all tasks are
-- asleep".
-- Cure: what is left gets a bounded time, is a leak then, and is given up.
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local reports = require "spec.support.reports"
local failure = require "spec.support.failed_run"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

local function forever(step, ...)
  while true do step(...) end
end

local function finalized(fn)
  return setmetatable({}, { __gc = fn })
end

local function closed(fn)
  return setmetatable({}, { __close = fn })
end

--- Time passes, and nothing is left, in a test that comes next.
local function next_test()
  testing.run(function(root, clock)
    local seen = {}
    for _, ms in ipairs { 30000, 10, 3600000 } do
      ctx.go(function()
        ctx.sleep(root, ms)
        seen[#seen + 1] = clock:elapsed()
      end)
    end
    ctx.sleep(root, 3600001)
    assert.same({ 10, 30000, 3600000 }, seen)
  end)
  local counters = core.counters()
  assert.equal(0, counters.tasks)
  assert.equal(0, counters.parked)
end

--- Each with the status in which it is found, and where it waits then.
local leaks = {
  ["a ticker"] = { "waiting in ctx.sleep", function()
    ctx.go(forever, ctx.sleep, background, 1000)
  end },
  ["a ticker of its own context"] = { "waiting in ctx.sleep", function()
    local c = ctx.with_cancel(background)
    ctx.go(forever, ctx.sleep, c, 1000)
    return c
  end },
  ["a task that would end after a minute"] = { "waiting in ctx.sleep", function()
    ctx.go(ctx.sleep, background, 60000)
  end },
  ["a task that would fail after a minute"] = { "waiting in ctx.sleep", function()
    ctx.go(function()
      ctx.sleep(background, 60000)
      error("too late")
    end)
  end },
  ["a task that waits for ever"] = { "waiting in c:wait", function()
    ctx.go(background.wait, background)
  end },
  ["a task in a channel"] = { "waiting in channel:send", function()
    local to = channel.new(0)
    ctx.go(to.send, to, background, 1)
  end },
  ["a task that awaits nothing"] = { "waiting in ctx.await", function()
    ctx.go(ctx.await, background, function() end)
  end },
  ["a loop of sleeps for no time"] = { "waiting in ctx.sleep", function()
    ctx.go(forever, ctx.sleep, background, 0)
  end },
  ["a loop of plain yields"] = { "ready to run", function()
    ctx.go(forever, coroutine.yield)
  end },
  ["a loop that ignores the end of root"] = { "waiting in", function(root)
    ctx.go(forever, ctx.sleep, root, 100)
  end },
  ["tasks that start each other"] = { "ready to run", function()
    local function again() ctx.go(again) end
    ctx.go(again)
  end },
  ["an after_func that waits for ever"] = { "waiting in c:wait", function(root)
    ctx.after_func(root, function() background:wait() end)
  end },
  ["a task that an after_func starts"] = { "waiting in ctx.sleep", function(root)
    ctx.after_func(root, function() ctx.go(forever, ctx.sleep, background, 10) end)
  end },
  ["a task that a task starts in its last moment"] = { "waiting in c:wait", function(root)
    ctx.go(function()
      root:wait()
      ctx.sleep(background, 5)
      ctx.go(background.wait, background)
    end)
  end },
  ["a task that a finalizer starts"] = { "waiting in c:wait", function()
    finalized(function() ctx.go(background.wait, background) end)
  end },
  ["a group with its tasks"] = { "waiting in group:wait", function()
    ctx.go(function()
      local g <close> = errgroup.new()
      g:go(forever, ctx.sleep, background, 100)
      g:go(background.wait, background)
      g:wait()
    end)
  end },
  ["a coroutine that waits"] = { "a coroutine waiting in c:wait", function()
    coroutine.wrap(function() background:wait() end)()
  end },
}

for what, leak in pairs(leaks) do
  local place, fn = table.unpack(leak)
  for _, real in ipairs { false, true } do
    it(("testing.run ends with %s, %s clock"):format(what, real and "real" or "hand-moved"),
      function()
        local kept -- a context that is a leak by itself, too
        local message
        local list = reports(function()
          message = failure(function(root) kept = fn(root) end,
            { name = "the careless test", real = real, patience = real and 200 or 20 })
        end)
        assert.matches("^the careless test leaks %d+ thing", message)
        assert.matches(place, message, 1, true)
        assert.matches("stack traceback", message, 1, true)
        if not message:find("a coroutine", 1, true) and not what:find("^an after_func") then
          assert.matches("started at [^\n]*testing_end_spec%.lua:%d+", message)
        end
        for _, report in ipairs(list) do
          assert.equal("ended_context", report.kind, report.message)
        end
        if kept then assert.is_nil(kept:err()) end
        next_test()
      end)
  end
end

describe("testing.run", function()
  it("lets tasks end within the time that they have, and no later", function()
    local ended = 0
    local function sleeper(ms)
      ctx.go(function()
        ctx.sleep(background, ms)
        ended = ended + 1
      end)
    end
    testing.run(function() sleeper(10000) end)
    assert.equal(1, ended)
    assert.truthy(failure(function() sleeper(10001) end))
    testing.run(function() sleeper(50000) end, { grace = 50000 })
    assert.truthy(failure(function() sleeper(1) end, { grace = 0 }))
    assert.equal(2, ended)
  end)

  it("counts that time from the end of the function, not from its beginning", function()
    testing.run(function(root)
      ctx.go(ctx.sleep, background, 86400000 + 9000)
      ctx.sleep(root, 86400000)
    end)
  end)

  it("waits longer in real time while tasks end, one after another", function()
    testing.run(function(root)
      for i = 1, 20 do
        ctx.go(function()
          root:wait()
          ctx.sleep(background, 10 * i)
        end)
      end
    end, { real = true, patience = 100 })
  end)

  it("shows an assertion that failed, and the leaks below", function()
    local message = failure(function()
      ctx.go(background.wait, background)
      error("the assertion")
    end, { name = "the failing test" })
    assert.matches("testing_end_spec.lua:%d+: the assertion\nstack traceback", message)
    assert.matches("the failing test leaks 1 thing(s):\na task waiting in c:wait", message, 1, true)
    next_test()
  end)

  it("raises an error object as it is, and reports the leaks beside it", function()
    local why, caught = {}, nil
    local list = reports(function()
      caught = table.pack(pcall(testing.run, function()
        ctx.go(background.wait, background)
        error(why)
      end, { name = "the failing test" }))
    end)
    assert.is_true(rawequal(why, caught[2]))
    assert.equal(2, #list)
    assert.matches("the failing test leaks 1 thing(s)", list[2].message, 1, true)
  end)

  it("names the test also when all its tasks are asleep", function()
    local message = failure(function() background:wait() end, { name = "the sleeping test" })
    assert.matches("^the sleeping test: all tasks are asleep", message)
    next_test()
  end)

  it("tells of tasks that are alike once, with their number", function()
    local message = failure(function()
      for _ = 1, 300 do ctx.go(background.wait, background) end
    end)
    assert.matches("leaks 300 thing(s):\n300 tasks waiting in c:wait", message, 1, true)
    assert.equal(1, select(2, message:gsub("stack traceback", "")))
  end)

  it("tells one task from another, also where their stacks are alike", function()
    local c, cancel = ctx.with_cancel(background)
    local function waits() c:wait() end
    local clock <close> = testing.clock()
    ctx.go(waits)
    clock:settle()
    local message = failure(function() ctx.go(waits) end)
    assert.matches("leaks 1 thing", message, 1, true)
    testing.run(function() end)
    cancel()
    clock:settle()
  end)

  it("leaves the tasks alone that ran before", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    local ticks = 0
    local task = ctx.go(function()
      while ctx.sleep(c, 1000) do ticks = ticks + 1 end
    end)
    local fired = 0
    ctx.after_func(c, function() fired = fired + 1 end)
    clock:settle()
    testing.run(function(root) ctx.sleep(root, 5000) end)
    assert.truthy(failure(function() ctx.go(background.wait, background) end))
    assert.equal("waiting", task:status())
    assert.is_true(ticks >= 4)
    cancel()
    clock:settle()
    assert.equal("done", task:status())
    assert.equal(1, fired)
  end)

  it("takes back the after-funcs of a test, which would run in the next", function()
    local ran = false
    local c
    assert.truthy(failure(function()
      c = ctx.with_timeout(background, 30000)
      ctx.after_func(c, function() ran = true end)
    end))
    next_test()
    assert.is_false(ran)
  end)

  it("closes what it gives up, and runs nothing that this starts", function()
    local seen = {}
    local task
    assert.truthy(failure(function()
      task = ctx.go(function()
        local _ <close> = closed(function()
          seen[#seen + 1] = "closed"
          ctx.go(function() seen[#seen + 1] = "ran" end)
          ctx.sleep(background, 1)
          seen[#seen + 1] = "waited"
        end)
        background:wait()
      end)
    end))
    next_test()
    assert.same({ "closed" }, seen)
    assert.equal("failed", task:status())
    assert.matches("its test is over", tostring(select(2, task:wait())), 1, true)
  end)

  it("is quiet about what it gives up", function()
    local list = reports(function()
      failure(function()
        local g = errgroup.new()
        g:go(background.wait, background)
        ctx.go(background.wait, background)
      end)
      next_test()
      collectgarbage()
      collectgarbage()
      core.tell_failures()
    end)
    assert.same({}, list)
  end)

  it("calls it a leak when work goes on although no task is ever left", function()
    local stopped = false
    local message = failure(function()
      local function again()
        local c, cancel = ctx.with_cancel(background)
        ctx.after_func(c, function() if not stopped then again() end end)
        cancel()
      end
      again()
    end, { patience = 20 })
    stopped = true
    assert.matches("leaks 1 thing", message, 1, true)
    next_test()
  end)

  it("ends although finalizers start tasks again and again", function()
    local stopped = false
    local function again()
      finalized(function()
        if not stopped then
          ctx.go(ctx.sleep, background, 1)
          again()
        end
      end)
    end
    testing.run(again)
    stopped = true
    collectgarbage()
    next_test()
  end)

  it("is not held up by handles that a test has left, in the next", function()
    local timer, process, server = uv.new_timer(), nil, uv.new_tcp()
    local message = failure(function()
      timer:start(1, 1, function() end)
      process = uv.spawn("sleep", { args = { "60" } }, function() process:close() end)
      server:bind("127.0.0.1", 0)
      server:listen(1, function() end)
    end, { patience = 20 })
    assert.matches("an open luv handle: uv_process_t", message, 1, true)
    next_test()
    timer:close()
    server:close()
    process:kill("sigkill")
    uv.run()
  end)

  it("refuses invalid times", function()
    for _, options in ipairs { { grace = -1 }, { grace = "x" }, { patience = 0 / 0 } } do
      assert.is_false((pcall(testing.run, function() end, options)))
    end
  end)
end)
