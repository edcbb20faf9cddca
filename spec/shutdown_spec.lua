-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local reports = require "spec.support.reports"
local shutdown = require "ctx.shutdown"
local testing = require "ctx.testing"
local misuse = require "spec.support.misuse"
local shutdowns = require "spec.support.shutdowns"
local uv = require "luv"

local make = shutdowns.make

local PHASES = { "readiness", "stop", "drain", "cancel", "wait", "force" }

describe("shutdown's phases", function()
  it("come in the settled order, the delay before the end of accepting", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock, { delay = 100 })
      for i = #PHASES, 1, -1 do
        s:on(PHASES[i], "hook", function(c)
          note(PHASES[i])
          ctx.sleep(c, 10)
        end)
      end
      s:stop()
      local report = s:wait()
      assert.same({ "0 readiness", "110 stop", "120 drain", "130 cancel", "140 wait", "150 force" },
        log)
      assert.equal(160, report.took)
      assert.is_true(report.clean)
      assert.equal(100, report.phases.delay.took)
      assert.equal("over", s:phase())
    end)
  end)

  it("readiness is off before anything else, and stays off", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { delay = 50 })
      assert.is_true(s:ready())
      s:stop()
      assert.is_false(s:ready())
      s:set_ready(true)
      assert.is_false(s:ready())
      assert.is_nil(s:stopping():err())
      s:wait()
    end)
  end)

  it("a server may not be ready from the start", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { ready = false })
      assert.is_false(s:ready())
      s:set_ready(true)
      assert.is_true(s:ready())
    end)
  end)

  it("have deadlines of their own, though the root is cancelled", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { drain = 30, wait = 40 } })
      local left = {}
      for _, phase in ipairs({ "drain", "wait" }) do
        s:on(phase, "hook", function(c)
          left[phase] = c:remaining()
          return ctx.sleep(c, 5)
        end)
      end
      s:stop()
      assert.is_true(s:wait().clean)
      assert.same({ drain = 30, wait = 40 }, left)
      assert.equal(ctx.canceled, s:context():err())
    end)
  end)

  it("run the hooks of one phase side by side", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      for ms = 1, 3 do
        s:on("drain", "hook " .. ms, function(c) ctx.sleep(c, ms * 10) end)
      end
      s:stop()
      local hooks = s:wait().phases.drain.hooks
      assert.equal(30, clock:elapsed())
      assert.same({ "hook 2", "done", 20 }, { hooks[2].name, hooks[2].state, hooks[2].took })
    end)
  end)
end)

describe("a hook", function()
  it("that fails, in any way, stops no other and no later phase", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock)
      local broken = errors.new("broken")
      s:on("stop", "raises", function() error(broken) end)
      s:on("stop", "returns", function() return nil, "in use" end)
      s:on("stop", "works", function() note "works" end)
      s:on("force", "last", function() note "last" end)
      s:stop()
      local report = s:wait()
      local hooks = report.phases.stop.hooks
      local states = { hooks[1].state, hooks[2].state, hooks[3].state }
      assert.same({ "failed", "failed", "done" }, states)
      assert.equal(broken, hooks[1].err)
      assert.truthy(hooks[1].traceback:find("shutdown_spec.lua", 1, true))
      assert.equal("in use", hooks[2].err)
      assert.same({ "0 works", "0 last" }, log)
      assert.is_false(report.clean)
    end)
  end)

  it("that takes too long and listens is told, and why", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { drain = 50 } })
      local cause
      s:on("drain", "slow", function(c)
        local ok, err = ctx.sleep(c, 1000)
        cause = c:cause()
        return ok, err
      end)
      s:stop()
      local report = s:wait()
      assert.equal("timed out", report.phases.drain.hooks[1].state)
      assert.is_true(report.phases.drain.timed_out)
      assert.equal(50, clock:elapsed())
      assert.equal("shutdown: the phase 'drain' took longer than 50 ms", tostring(cause))
    end)
  end)

  it("that takes too long and is deaf is left behind, and in the report with its stack", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { drain = 50 } })
      s:on("drain", "deaf", function() ctx.sleep(ctx.background(), 500) end)
      s:stop()
      local report = s:wait()
      assert.equal("timed out", report.phases.drain.hooks[1].state)
      assert.equal(50, clock:elapsed())
      assert.equal(1, #report.running)
      assert.equal("ctx.sleep", report.running[1].what)
      assert.truthy(report.running[1].traceback:find("shutdown_spec.lua", 1, true))
    end)
  end)
end)

describe("the beginning", function()
  it("is once: the first cause stays, and later waits get the same report", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { delay = 10 })
      s:stop("first")
      s:stop("second")
      local other = ctx.go(function() return s:wait() end)
      local report = s:wait()
      assert.equal("first", report.cause)
      assert.equal("first", s:stopping():cause())
      assert.equal("first", s:context():cause())
      s:stop("third")
      assert.equal(report, s:wait())
      assert.equal(report, s:run())
      assert.equal(report, (other:wait()))
      assert.equal(10, clock:elapsed())
    end)
  end)

  it("comes with the end of the parent, which is not the workers' end yet", function()
    testing.run(function(root, clock)
      local parent, cancel <close> = ctx.with_cancel(root)
      local key = ctx.key("tenant")
      local s, log, note = make(ctx.with_value(parent, key, 7), clock, { grace = 100 })
      s:go(function(c)
        assert.equal(7, c:value(key))
        c:wait()
        note "worker ends"
      end)
      cancel("base cancelled")
      assert.equal("base cancelled", s:wait().cause)
      assert.same({ "100 worker ends" }, log)
    end)
  end)

  it("comes with the end of ctx.run's main, which then waits for it", function()
    local log
    testing.run(function(root, clock)
      local s, lines, note = make(root, clock)
      log = lines
      s:on("drain", "requests", function(c)
        ctx.sleep(c, 30)
        note "drained"
      end)
    end)
    assert.same({ "30 drained" }, log)
  end)

  it("comes with the end of its scope; an error there is the cause", function()
    testing.run(function(root)
      local seen
      local ok, err = pcall(function()
        local s <close> = shutdown.new(root)
        s:on("stop", "look", function() seen = s:stopping():cause() end)
        error("went wrong", 0)
      end)
      assert.is_false(ok)
      assert.equal("went wrong", err)
      assert.equal("went wrong", seen)
    end)
  end)

  it("may come out of a luv callback", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        s:stop("from outside")
      end)
      assert.equal("from outside", s:wait().cause)
    end)
  end)

  it("comes with a signal, from the time it is made", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      local s2 = shutdown.new(root, { signals = { "sigusr1", "sigusr2" } })
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        uv.kill(uv.os_getpid(), "sigusr2")
      end)
      local report = s2:run()
      assert.equal("sigusr2", report.cause.signal)
      assert.is_nil(s:phase())
    end)
  end)

  it("comes by stop() alone where there are no signals to wait for", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { signals = {} })
      ctx.go(function()
        ctx.sleep(root, 5)
        s:stop()
      end)
      assert.equal("shutdown", tostring(s:run().cause))
    end)
  end)

  -- Cause: nobody called the cancel of its beginning when something else had begun it. Cure: what
  -- ends its contexts does.
  it("by its parent leaves no lost cancel behind", function()
    for _, signals in ipairs({ {}, { "sigusr2" } }) do
      testing.run(function(root)
        local parent, cancel <close> = ctx.with_cancel(root)
        local s = shutdown.new(parent, { signals = signals })
        cancel()
        assert.is_true(s:run().clean)
      end)
    end
  end)
end)

describe("s:wait(c)", function()
  it("gives up with c, and begins nothing", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 20)
      local report, err = s:wait(c)
      assert.is_nil(report)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.is_nil(s:phase())
    end)
  end)
end)

describe("the report as text", function()
  it("has a line for each phase, hook and failure, and the stacks of what ran on", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { delay = 5, timeouts = { wait = 10, drain = 10 } })
      s:on("stop", "http", function() return nil, "already closed" end)
      s:on("drain", "http", function(c) return ctx.sleep(c, 100) end)
      s:go(function() ctx.sleep(ctx.background(), math.huge) end)
      ctx.sleep(root, 1)
      s:stop("terminated signal received")
      local text = tostring(s:wait())
      for _, part in ipairs({
        "shutdown: terminated signal received, 25 ms, not clean",
        "readiness", "delay", "already closed", "drain", "timed out", "still running: worker ",
        "in ctx.sleep", "stack traceback", "started at ",
      }) do
        assert(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text))
      end
    end)
  end)
end)

describe("the report of a shutdown", function()
  -- Cause: every task that was left came with its stack, though the shutdown was clean: servers,
  -- which end with their context. Cure: tasks that are alike are one line, with a stack where it
  -- matters.
  it("is a line for tasks that are alike, without stacks when it is clean", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local s = shutdown.new(root, { signals = {} })
      for _ = 1, 300 do
        ctx.go(function() c:wait() end)
      end
      s:stop("deploy")
      local report = s:run()
      assert.is_true(report.clean)
      assert.equal(300, #report.running)
      local text = tostring(report)
      assert.is_nil(text:find("stack traceback", 1, true))
      assert.matches("still running: 300 times a task, in c:wait", text, 1, true)
      cancel()
    end)
  end)

  it("has the place of a hook in its traceback, which a tail call leaves out", function()
    testing.run(function(root)
      local s = shutdown.new(root, { signals = {} })
      local function hook(c) return testing.run(c) end
      s:on("drain", "http", hook)
      s:stop()
      local failed = s:run().phases.drain.hooks[1]
      local place = ("\n\tin the hook 'http', spec/shutdown_spec.lua:%d")
        :format(debug.getinfo(hook, "S").linedefined)
      assert.equal(place, failed.traceback:sub(-#place))
    end)
  end)

  it("tells errors that cannot be printed, and a cause that cannot", function()
    testing.run(function(root)
      local broken = setmetatable({}, { __tostring = error, __index = error, __name = 5 })
      local s = shutdown.new(root, { signals = {} })
      s:on("stop", "hook", function() error(broken) end)
      s:on("drain", "hook", function() return nil, broken end)
      local list = reports(function()
        s:go(function() error(broken) end)
        s:stop(broken)
        local report = s:run()
        assert.is_true(rawequal(broken, report.phases.stop.hooks[1].err))
        local _, count = tostring(report):gsub("cannot be printed", "")
        assert.equal(4, count)
        collectgarbage()
        collectgarbage()
        ctx.sleep(root, 1000)
      end)
      assert.equal(1, #list)
      assert.matches("cannot be printed", list[1].message, 1, true)
    end)
  end)
end)

describe("a shutdown's options hold later:", function()
  it("the longest times that it takes", function()
    testing.run(function(root)
      local ran = 0
      local longest = 8.9e12
      local s = shutdown.new(root, {
        signals = {}, grace = longest,
        timeouts = { readiness = math.huge, stop = longest, drain = math.huge, wait = longest },
      })
      for _, phase in ipairs { "readiness", "stop", "drain", "cancel", "wait", "force" } do
        s:on(phase, "hook", function() ran = ran + 1 end)
      end
      s:stop()
      assert.is_true(s:run().clean)
      assert.equal(6, ran)
    end)
  end)

  it("none that would fail, or not be heard", function()
    local background = ctx.background()
    for _, ms in ipairs { 1e300, 9e12, -1, 0 / 0, "1" } do
      misuse.raises(function() shutdown.new(background, { timeouts = { drain = ms } }) end,
        "options.timeouts.drain: a time in ms")
    end
    misuse.raises(function() shutdown.new(background, { signals = { a = "sigint" } }) end,
      "options.signals: a list of names of signals")
    misuse.raises(function() shutdown.new(background, { signals = { "sigint", "term" } }) end,
      "options.signals[2]: the name of a signal")
  end)
end)

describe("misuse of ctx.shutdown", function()
  local background = ctx.background()

  it("raises in new, and says which option", function()
    misuse.raises(function() shutdown.new({}) end, "bad argument #1 to 'new' (parent: a context")
    misuse.raises(function() shutdown.new(background, { dely = 5 }) end, "\"dely\"; the nearest is")
    misuse.raises(function() shutdown.new(background, { delay = "5" }) end, "delay: a time in ms")
    misuse.raises(function() shutdown.new(background, { grace = -1 }) end, "grace: a time in ms")
    misuse.raises(function() shutdown.new(background, { delay = 0 / 0 }) end, "delay: a time in ms")
    misuse.raises(function() shutdown.new(background, 5) end, "a table expected, got 5")
    misuse.raises(function() shutdown.new(background, { ready = 5 }) end, "ready: a boolean")
    misuse.raises(function() shutdown.new(background, { timeouts = 5 }) end, "timeouts: a table")
    misuse.raises(function() shutdown.new(background, { timeouts = { drian = 1 } }) end,
      "got \"drian\"; the nearest is \"drain\"")
    misuse.raises(function() shutdown.new(background, { timeouts = { drain = {} } }) end,
      "options.timeouts.drain: a time in ms")
    misuse.raises(function() shutdown.new(background, { signals = { "sigkill" } }) end,
      "signals[1]: the name")
    misuse.raises(function() shutdown.new(background, { signals = "sigterm" }) end,
      "signals: a list")
    misuse.raises(function() shutdown.new(background, { signals = { sigterm = true } }) end,
      "signals: a list of names")
  end)

  it("raises for hooks that would never run", function()
    testing.run(function(root)
      local s = shutdown.new(root)
      local function hook() end
      misuse.raises(function() s:on("delay", "x", hook) end, "phase: \"readiness\", ")
      misuse.raises(function() s:on("stop", hook) end, "#2 to 'on' (name: a string expected")
      misuse.raises(function() s:on("stop", "x") end, "#3 to 'on' (fn: a function expected")
      s:stop()
      misuse.raises(function() s:on("force", "x", hook) end, "the shutdown has begun")
      misuse.raises(function() s:wait("x") end, "#1 to 'wait' (c: a context expected, got \"x\")")
      misuse.raises(function() s:go("x") end, "#1 to 'go' (fn: a function expected, got \"x\")")
    end)
  end)
end)
