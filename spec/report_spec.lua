-- SPDX-License-Identifier: MIT
-- The one place where this library speaks by itself.
local ctx = require "ctx"
local core = require "ctx.core"
local errgroup = require "ctx.errgroup"
local no_error = require "spec.support.no_error"
local report = require "ctx.report"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local background = ctx.background()

--- Sends a report of a task that failed, and nobody waited for.
local function fail(err)
  local clock <close> = testing.clock()
  ctx.go(error, err)
  clock:advance(500)
end

describe("set_report", function()
  it("replaces the function that reports go to, and returns the one before", function()
    local seen = {}
    local function mine(message, kind) seen[#seen + 1] = { message, kind } end
    local original = ctx.set_report(mine)
    assert.is_function(original)
    fail("why")
    assert.is_true(rawequal(mine, ctx.set_report(original)))
    assert.equal(1, #seen)
    assert.matches("^a task failed, and nobody waited for it: why\n", seen[1][1])
    assert.equal("task", seen[1][2])
  end)

  it("with nil brings back the one that writes to stderr", function()
    local stderr, written = io.stderr, {}
    local original = ctx.set_report(nil)
    io.stderr = { write = function(_, ...) written[#written + 1] = table.concat({ ... }) end } -- luacheck: ignore
    local ok, err = pcall(fail, "why")
    io.stderr = stderr -- luacheck: ignore
    ctx.set_report(original)
    assert(ok, err)
    assert.equal(1, #written)
    assert.matches("^ctx: a task failed, and nobody waited for it: why\n", written[1])
    assert.matches("\n$", written[1])
  end)

  it("serves every instance of the module: busted loads it anew for each file", function()
    local loaded = package.loaded["ctx.report"]
    package.loaded["ctx.report"] = nil
    local second = require "ctx.report"
    package.loaded["ctx.report"] = loaded
    local list = reports(function() second.send("message", "kind") end)
    assert.same({ { message = "message", kind = "kind" } }, list)
  end)
end)

describe("a report", function()
  it("of a failed task has its error and its stack", function()
    local list = reports(function() fail("why") end)
    assert.equal("task", list[1].kind)
    assert.matches("why\nstack traceback:", list[1].message, 1, true)
  end)

  it("shows an error object by its __tostring, and never fails on one that has none", function()
    local list = reports(function()
      fail(setmetatable({}, { __tostring = function() return "an object" end }))
      fail(setmetatable({}, { __tostring = function() error("no text") end }))
      fail(setmetatable({}, { __tostring = function() return {} end }))
      fail(nil)
      fail({})
    end)
    assert.equal(5, #list)
    assert.matches("nobody waited for it: an object", list[1].message, 1, true)
    assert.matches("cannot be printed", list[2].message, 1, true)
    assert.matches("cannot be printed", list[3].message, 1, true)
    assert.is_true(no_error(list[4].message:match "nobody waited for it: ([^\n]*)"))
    assert.matches("nobody waited for it: table: ", list[5].message, 1, true)
  end)

  it("of a coroutine that failed after a wait has its stack", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      coroutine.wrap(function()
        ctx.sleep(background, 1)
        error("why")
      end)()
      clock:advance(1)
    end)
    assert.equal("coroutine", list[1].kind)
    assert.matches("why\nstack traceback:", list[1].message, 1, true)
  end)

  it("of a lost cancel has the line", function()
    local before = ctx.debug()
    local list = reports(function()
      collectgarbage()
      core.counters()
      ctx.debug(true)
      ctx.with_cancel(background)
      collectgarbage()
      core.counters()
    end)
    ctx.debug(before)
    assert.equal("lost_cancel", list[1].kind)
    assert.matches("the context made at .*report_spec%.lua:%d+ was collected", list[1].message)
  end)

  -- Cause: under ctx.debug each lost cancel was a report: a million lines from one loop, which
  -- would fill a disk. Cure: a line is told once, then with its count as that grows tenfold, and
  -- when ctx.run ends.
  it("of a line's lost cancels is one at first, and then a count", function()
    local before = ctx.debug()
    local list = reports(function()
      collectgarbage()
      core.counters()
      ctx.debug(true)
      ctx.run(function(root)
        for _ = 1, 1234 do ctx.with_cancel(root) end
        for _ = 1, 2 do ctx.with_cancel(root) end
        collectgarbage()
        collectgarbage()
        core.counters()
      end)
    end)
    ctx.debug(before)
    local counts = {}
    for _, each in ipairs(list) do
      assert.equal("lost_cancel", each.kind)
      local line = tonumber(each.message:match("report_spec%.lua:(%d+) was collected"))
      local count = tonumber(each.message:match("%((%d+) of them so far%)$")) or 1
      counts[line] = counts[line] or {}
      table.insert(counts[line], count)
    end
    local lines = {}
    for line in pairs(counts) do lines[#lines + 1] = line end
    table.sort(lines)
    assert.same({ 1, 10, 100, 1000, 1234 }, counts[lines[1]])
    assert.same({ 1, 2 }, counts[lines[2]])
    assert.equal(2, #lines)
  end)

  it("of lost cancels is bounded also where each has a line of its own", function()
    local before = ctx.debug()
    local list = reports(function()
      ctx.debug(true)
      for i = 1, 3000 do load("require('ctx').with_cancel(...)", "=chunk " .. i)(background) end
      collectgarbage()
      collectgarbage()
      core.counters()
    end)
    ctx.debug(before)
    assert(#list <= 1010, #list)
    assert.matches("lines that are not named", list[#list].message, 1, true)
  end)

  -- Cause: the report looked for the error's traceback with its __index, and asked its class
  -- whether it is a cancel; what that raised took the place of the report. Cure: only raw fields
  -- are read, and what a class raises is no answer.
  it("of a group's error is that error, whatever its class does when it is asked", function()
    local function fails(name)
      return { [name] = function() error("no " .. name) end,
        __tostring = function() return "the disk is full" end }
    end
    for _, name in ipairs { "__index", "is", "unwrap", "__eq", "__len" } do
      local list = reports(function()
        ctx.run(function(root)
          local g = errgroup.with_context(root)
          g:go(function() return nil, setmetatable({}, fails(name)) end)
          ctx.sleep(root, 0)
        end)
        collectgarbage()
        collectgarbage()
        ctx.run(function() end)
      end)
      assert.equal(1, #list)
      assert.equal("a group failed, and nobody waited for it: the disk is full", list[1].message)
    end
  end)

  it("of an error in an after-func is that of a task", function()
    local clock <close> = testing.clock()
    local list = reports(function()
      local c, cancel = ctx.with_cancel(background)
      ctx.after_func(c, function() error("why") end)
      cancel()
      clock:settle()
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(1, #list)
    assert.equal("task", list[1].kind)
    assert.matches("why", list[1].message, 1, true)
  end)

  it("of an aborting function that raises names neither the wait nor its task failed", function()
    local clock <close> = testing.clock()
    local result, err
    local list = reports(function()
      local c, cancel = ctx.with_cancel(background)
      ctx.go(function()
        result, err = ctx.await(c, function() return function() error("cannot abort") end end)
      end)
      clock:settle()
      cancel()
      clock:settle()
    end)
    assert.equal(1, #list)
    assert.matches("cannot abort", list[1].message, 1, true)
    assert.is_nil(result)
    assert.is_true(rawequal(ctx.canceled, err))
  end)
end)

describe("a reporter that raises", function()
  local function with_raising(fn)
    local calls = 0
    local previous = ctx.set_report(function()
      calls = calls + 1
      error("the reporter is broken")
    end)
    local ok, err = pcall(fn)
    ctx.set_report(previous)
    assert(ok, err)
    return calls
  end

  it("ends neither the run nor the loop", function()
    assert.is_true(with_raising(function()
      fail("why")
      testing.run(function(root)
        ctx.go(error, "why")
        coroutine.wrap(function()
          ctx.sleep(root, 1)
          error("why")
        end)()
        assert.is_true(ctx.sleep(root, 2))
      end)
    end) > 0)
  end)

  it("is called again for the next report", function()
    with_raising(function() fail("why") end)
    local list = reports(function() fail("why") end)
    assert.equal(1, #list)
  end)
end)

describe("a reporter", function()
  it("may use the library: start tasks, cancel, replace itself", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    local previous, slept
    previous = ctx.set_report(function()
      ctx.set_report(previous)
      cancel("reported")
      ctx.go(function() slept = ctx.sleep(background, 1) end)
    end)
    fail("why")
    clock:advance(1)
    assert.equal("reported", c:cause())
    assert.is_true(slept)
  end)
end)

describe("report.asleep", function()
  it("lists what waits, in what, and where", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    ctx.go(function() c:wait() end)
    local co = coroutine.create(function() ctx.sleep(c, 1000) end)
    coroutine.resume(co)
    clock:settle()
    local text = report.asleep()
    assert.matches("task waiting in c:wait", text, 1, true)
    assert.matches("coroutine waiting in ctx.sleep", text, 1, true)
    assert.matches("report_spec.lua", text, 1, true)
    cancel()
    clock:settle()
    assert.equal("", report.asleep())
  end)
end)
