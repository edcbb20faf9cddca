-- SPDX-License-Identifier: MIT
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local no_error = require "spec.support.no_error"
local reports_of = require "spec.support.reports"
local semaphore = require "ctx.semaphore"
local phases = require "ctx.shutdown.phases"
local shutdown = require "ctx.shutdown"
local shutdowns = require "spec.support.shutdowns"
local testing = require "ctx.testing"

local make = shutdowns.make

describe("a worker", function()
  it("is waited for, as requests are not enough", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock)
      s:go(function(c, name)
        c:wait()
        ctx.sleep(ctx.background(), 30)
        note(name .. " has saved its state")
      end, "worker")
      ctx.sleep(root, 10)
      s:stop()
      assert.is_true(s:wait().clean)
      assert.same({ "40 worker has saved its state" }, log)
    end)
  end)

  -- Cause: the shutdown went on asking for each of a crowd when its own time was up, and was itself
  -- reported as a loop that does not look at what its waits return. Cure: it looks.
  it("may be one of a thousand: the shutdown asks no context that is over for each", function()
    local list = reports_of(function()
      testing.run(function(root)
        local s = shutdown.new(root, { signals = {}, timeouts = { wait = 0, drain = 0 } })
        local over = false
        for i = 1, 1000 do
          s:go(function()
            while not over do ctx.sleep(ctx.background(), 10) end
          end)
          s:on("drain", "hook " .. i, function()
            while not over do ctx.sleep(ctx.background(), 10) end
          end)
        end
        s:stop()
        assert.is_false(s:run().clean)
        over = true
      end)
    end)
    assert.equal(0, #list, list[1] and list[1].message)
  end)

  it("has its sleeps and its waits for a semaphore ended by the hard cancel", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      local full = semaphore.new(0)
      local sleeper = s:go(ctx.sleep, 1e6)
      local waiter = s:go(function(c) return full:acquire(c) end)
      local reason = errors.new("deploy")
      ctx.sleep(root, 1)
      s:stop(reason)
      assert.is_true(s:wait().clean)
      assert.equal(1, clock:elapsed())
      for _, task in ipairs({ sleeper, waiter }) do
        local _, err = task:wait()
        assert.is_true(errors.is(err, ctx.canceled))
        assert.is_true(errors.is(err, reason))
      end
    end)
  end)

  it("sees the soft cancel before the drain, and the hard one after the grace", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock, { delay = 100, grace = 500 })
      s:on("drain", "requests", function(c) ctx.sleep(c, 200) end)
      s:go(function(c)
        s:stopping():wait()
        note "soft"
        c:wait()
        note "hard"
      end)
      ctx.sleep(root, 1000) -- the grace counts from the cancel, not from here
      s:stop()
      local report = s:wait()
      assert.same({ "1100 soft", "1600 hard" }, log)
      assert.equal(300, report.phases.cancel.took)
    end)
  end)

  it("that leaves on the soft cancel shortens the grace", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { grace = 500 })
      s:go(function()
        s:stopping():wait()
        ctx.sleep(ctx.background(), 20)
      end)
      s:stop()
      assert.equal(20, s:wait().phases.cancel.took)
    end)
  end)

  it("gets no grace when the drain has used it up", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock, { grace = 100 })
      s:on("drain", "requests", function(c) ctx.sleep(c, 300) end)
      s:go(function(c)
        c:wait()
        note "hard"
      end)
      s:stop()
      s:wait()
      assert.same({ "300 hard" }, log)
    end)
  end)

  it("is not started any more from the soft cancel on", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      s:stop("deploy")
      s:wait()
      local task, err = s:go(function() end)
      assert.is_nil(task)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.equal("context canceled: deploy", tostring(err))
    end)
  end)

  -- It entered the list in its own first turn, and that was after the last look at the list: the
  -- shutdown was over, and clean, while it ran. Now it is on the list when `go` returns.
  it("that was started just before the soft cancel is waited for", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock, { delay = 20 })
      ctx.go(function()
        ctx.sleep(root, 20) -- the delay ends in the same turn, after this
        assert(s:go(function(c)
          c:wait()
          ctx.sleep(ctx.background(), 50)
          note "saved"
        end))
      end)
      ctx.sleep(root, 0)
      s:stop()
      assert.is_true(s:wait().clean)
      assert.same({ "70 saved" }, log)
    end)
  end)

  it("that raises nil has failed, too", function()
    testing.run(function(root, clock)
      local s = make(root, clock)
      local previous = ctx.set_report(function() end)
      s:go(function() error() end)
      ctx.sleep(root, 1)
      s:stop()
      local report = s:wait()
      ctx.set_report(previous)
      assert.is_false(report.clean)
      assert.equal(1, #report.failed)
      assert.is_true(no_error(tostring(report):match "failed: ([^\n]*)"))
      assert.truthy(tostring(s):find("0 workers", 1, true))
    end)
  end)

  it("that fails does not begin the shutdown, and is in its report", function()
    local previous = ctx.set_report(function() end)
    testing.run(function(root, clock)
      local s = make(root, clock)
      s:go(function() error("out of paper", 0) end)
      ctx.sleep(root, 10)
      assert.is_nil(s:phase())
      s:stop()
      local report = s:wait()
      assert.is_false(report.clean)
      assert.equal("out of paper", report.failed[1].err)
      assert.truthy(report.failed[1].name:find("shutdown_workers_spec.lua:%d+"))
    end)
    ctx.set_report(previous)
  end)
end)

describe("force", function()
  it("lists the workers that did not go, with their stacks, and ends them", function()
    local reports = {}
    local previous = ctx.set_report(function(message) reports[#reports + 1] = message end)
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { wait = 50 } })
      local closed, hooked
      local stuck = s:go(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        ctx.sleep(ctx.background(), math.huge)
      end)
      s:on("force", "connections", function() hooked = not closed end)
      ctx.sleep(root, 1)
      s:stop()
      local report = s:wait()
      assert.equal(51, clock:elapsed())
      assert.is_false(report.clean)
      assert.is_true(report.phases.wait.timed_out)
      assert.equal(1, #report.running)
      assert.truthy(report.running[1].name:find("shutdown_workers_spec.lua:%d+"))
      assert.truthy(report.running[1].traceback:find("shutdown_workers_spec.lua", 1, true))
      assert.is_true(hooked)
      assert.is_true(closed)
      assert.equal("failed", stuck:status())
    end) -- and ctx.run comes to its end, though the worker would have slept for ever
    collectgarbage()
    ctx.set_report(previous)
    assert.same({}, reports)
  end)

  it("survives a worker whose clean-up wants to wait", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { wait = 50 } })
      s:go(function()
        local _ <close> = setmetatable({}, {
          __close = function() ctx.sleep(ctx.background(), 10) end,
        })
        ctx.sleep(ctx.background(), math.huge)
      end)
      ctx.sleep(root, 1)
      s:stop()
      assert.is_false(s:wait().clean)
    end)
  end)
end)

-- The cause: the task of the phases had no memory, and ended silently; the contexts did not,
-- and neither did the waiters. The fix: a waiter waits for that task, and ends the contexts.
describe("a shutdown without memory", function()
  local function out_of_memory() error("not enough memory", 0) end
  local real = {}

  before_each(function()
    real.run, real.with_timeout, real.go = phases.run, core.with_timeout, core.go
  end)

  after_each(function()
    phases.run, core.with_timeout, core.go = real.run, real.with_timeout, real.go
  end)

  it("for its phases still ends the contexts, and says why there is no report", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock)
      s:go(function(c)
        c:wait()
        note(tostring(c:cause()))
      end)
      ctx.sleep(root, 10)
      phases.run = out_of_memory
      s:stop("deploy")
      for _ = 1, 2 do
        local report, err = s:run()
        assert.is_nil(report)
        assert.equal("not enough memory", err)
      end
      ctx.sleep(root, 0)
      assert.same({ "10 deploy" }, log)
      assert.equal("over", s:phase())
    end)
  end)

  it("to begin them happens with the next caller", function()
    local reports = {}
    local previous = ctx.set_report(function(message) reports[#reports + 1] = message end)
    testing.run(function(root, clock)
      local s = make(root, clock)
      core.go = out_of_memory
      s:stop()
      ctx.sleep(root, 10)
      core.go = real.go
      assert.equal("readiness", s:phase())
      assert.is_true(s:wait().clean)
    end)
    collectgarbage()
    ctx.set_report(previous)
    assert.equal(1, #reports)
    assert.truthy(reports[1]:find("not enough memory", 1, true))
  end)

  it("for one phase goes on with the next, and the report tells", function()
    testing.run(function(root, clock)
      local s, log, note = make(root, clock)
      s:on("drain", "requests", function() note "drained" end)
      s:on("force", "files", function() note "forced" end)
      s:on("stop", "http", function()
        core.with_timeout = function()
          core.with_timeout = real.with_timeout
          out_of_memory()
        end
      end)
      s:stop()
      local report = s:wait()
      assert.same({ "0 forced" }, log)
      assert.is_false(report.clean)
      assert.equal("not enough memory", report.phases.drain.err)
      assert.truthy(tostring(report):find("drain%s+0 ms  failed: not enough memory"))
    end)
  end)

  it("to start one hook does not wait for it", function()
    testing.run(function(root, clock)
      local s = make(root, clock, { timeouts = { drain = math.huge } })
      s:on("drain", "requests", function() end)
      s:on("stop", "http", function()
        core.go = function()
          core.go = real.go
          return real.go(out_of_memory)
        end
      end)
      s:stop()
      local hook = s:wait().phases.drain.hooks[1]
      assert.same({ "failed", "not enough memory" }, { hook.state, hook.err })
      assert.equal(0, clock:elapsed())
    end)
  end)
end)
