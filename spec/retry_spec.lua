-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local reports = require "spec.support.reports"
local randoms = require "spec.support.random"
local retry = require "ctx.retry"
local testing = require "ctx.testing"

local raises = misuse.raises
local down = errors.new("503")

--- A function that fails so many times, and the ms of its calls.
local function flaky(clock, failures)
  local calls = {}
  return function()
    calls[#calls + 1] = clock:elapsed()
    if #calls <= failures then
      return nil, down
    end
    return "page", #calls
  end, calls
end

describe("retry.call", function()
  it("returns what the function does, once it succeeds", function()
    testing.run(function(root, clock)
      local fn, calls = flaky(clock, 2)
      assert.same({ "page", 3 }, { retry.call(root, { jitter = false }, fn) })
      assert.same({ 0, 100, 300 }, calls)
    end)
  end)

  it("hands on its arguments, every result, and success without a value", function()
    testing.run(function(root)
      local function fn(c, ...) return c == root, select("#", ...), ... end
      assert.same({ true, 3, 1, nil, 3, n = 5 }, table.pack(retry.call(root, {}, fn, 1, nil, 3)))
      assert.equal(0, select("#", retry.call(root, nil, function() end)))
      assert.same({ false, n = 1 }, table.pack(retry.call(root, nil, function() return false end)))
    end)
  end)

  it("gives up after so many attempts, with the last error wrapped", function()
    testing.run(function(root, clock)
      local fn, calls = flaky(clock, math.huge)
      local value, err = retry.call(root, { attempts = 3, backoff = 50, jitter = false }, fn)
      assert.is_nil(value)
      assert.equal("gave up after 3 attempts: 503", tostring(err))
      assert.is_true(errors.is(err, down))
      local stopped = errors.as(err, retry.Stopped)
      assert.same({ "attempts", 3 }, { stopped.reason, stopped.attempts })
      assert.equal(down, stopped.last)
      assert.same({ 0, 50, 150 }, calls)
    end)
  end)

  it("lets through what the function raises, the first time", function()
    testing.run(function(root)
      local calls, oops = 0, {}
      local ok, err = pcall(retry.call, root, { timeout = 5 }, function()
        calls = calls + 1
        error(oops)
      end)
      assert.is_false(ok)
      assert.equal(oops, err)
      assert.equal(1, calls)
    end)
  end)

  it("does not try again what is permanent, and returns that as it was", function()
    testing.run(function(root)
      local calls = 0
      local value, err = retry.call(root, nil, function()
        calls = calls + 1
        return nil, retry.permanent(down)
      end)
      assert.is_nil(value)
      assert.equal(down, err)
      local _, wrapped = retry.call(root, nil, function()
        calls = calls + 1
        return nil, errors.wrap(retry.permanent(down), "login")
      end)
      assert.equal("login: 503", tostring(wrapped))
      assert.is_true(errors.is(wrapped, down))
      assert.equal(2, calls)
    end)
  end)

  it("asks which errors are worth another attempt", function()
    testing.run(function(root)
      local asked = {}
      local value, err = retry.call(root, {
        retryable = function(e)
          asked[#asked + 1] = e
          return #asked < 2
        end,
      }, function() return nil, down end)
      assert.is_nil(value)
      assert.equal(down, err)
      assert.same({ down, down }, asked)
    end)
  end)

  it("tells of each further attempt", function()
    testing.run(function(root, clock)
      local told = {}
      retry.call(root, {
        jitter = false,
        on_retry = function(...) told[#told + 1] = { ... } end,
      }, (flaky(clock, 5)))
      assert.same({ { 1, down, 100 }, { 2, down, 200 } }, told)
    end)
  end)
end)

describe("the delays of retry.call", function()
  --- The delays of a run with these options.
  local function delays(options)
    local list = {}
    options.on_retry = function(_, _, delay) list[#list + 1] = delay end
    testing.run(function(root)
      retry.call(root, options, function() return nil, down end)
    end)
    return list
  end

  it("grow by a factor, up to a limit", function()
    assert.same({ 50, 100, 200 }, delays { attempts = 4, backoff = 50, jitter = false })
    assert.same({ 10, 30, 70, 70 },
      delays { attempts = 5, backoff = 10, factor = 3, max_backoff = 70, jitter = false })
    assert.same({ 0, 0 }, delays { backoff = 0 })
    assert.equal(1999, #delays { attempts = 2000, backoff = 0 }) -- where the factor is infinite
  end)

  it("are any part of that, by a random function of the program's", function()
    local parts = { 0, 0.5, 0.25 }
    assert.same({ 0, 100, 100 }, delays {
      attempts = 4, random = function() return table.remove(parts, 1) end,
    })
    local seed = 11
    local next_random = randoms(seed)
    for i, delay in ipairs(delays {
      attempts = 50, max_backoff = 1000, random = function() return next_random(1000) / 1000 end,
    }) do
      local most = math.min(1000, 100 * 2 ^ (i - 1))
      assert.is_true(delay > 0 and delay <= most, ("seed %d, delay %d: %g"):format(seed, i, delay))
    end
  end)

  -- Cause: a delay that had grown beyond all numbers, times a random 0, is no number, and the sleep
  -- raised from within. Cure: it grows to a finite limit, and what random returns is checked.
  it("stay numbers when they grow beyond all bounds", function()
    testing.run(function(root)
      local attempts = 0
      local _, err = retry.call(root, {
        attempts = 1000, backoff = 1e-300, factor = 10, max_backoff = math.huge,
        random = function() return 0 end,
      }, function()
        attempts = attempts + 1
        return nil, "503"
      end)
      assert.equal(1000, attempts)
      assert.equal("gave up after 1000 attempts: 503", tostring(err))
      local c, cancel = ctx.with_timeout(root, 10)
      for _, options in ipairs {
        { backoff = math.huge, max_backoff = math.huge, jitter = false },
        { backoff = 1, factor = math.huge, max_backoff = math.huge, jitter = false },
        { backoff = function() return math.huge end },
      } do
        err = select(2, retry.call(c, options, function() return nil, "503" end))
        assert.equal("budget", errors.as(err, retry.Stopped).reason)
      end
      cancel()
    end)
  end)

  it("raise at the caller's line for an invalid answer", function()
    testing.run(function(root)
      local function call(options)
        return function()
          local _ = retry.call(root, options, function() return nil, "503" end)
        end
      end
      for _, part in ipairs { 0 / 0, -1, 1.5, math.huge, "0.5" } do
        raises(call { random = function() return part end },
          "retry.call: options.random returned no number from 0 to 1: ")
      end
      raises(call { random = function() end }, "from 0 to 1: nil")
      for _, ms in ipairs { 0 / 0, -1, 1e300, "5" } do
        raises(call { backoff = function() return ms end },
          "retry.call: options.backoff returned no time in ms: ")
      end
    end)
  end)

  it("may be what a function says, as it says", function()
    assert.same({ 7, 14 }, delays { backoff = function(attempt, err)
      assert.equal(down, err)
      return attempt * 7
    end })
    testing.run(function(root)
      local ok, err = pcall(retry.call, root, { backoff = function() return "soon" end },
        function() return nil, down end)
      assert.is_false(ok)
      assert.equal("retry.call: options.backoff returned no time in ms: soon", err)
    end)
  end)
end)

describe("retry.call and the context", function()
  it("does not begin when it is done", function()
    testing.run(function(root, clock)
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      local fn, calls = flaky(clock, 0)
      local value, err = retry.call(c, nil, fn)
      assert.is_nil(value)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, "why"))
      assert.same({}, calls)
    end)
  end)

  it("a cancel ends the sleep at once, and both errors are told", function()
    testing.run(function(root, clock)
      local c, cancel = ctx.with_cancel(root)
      ctx.go(function()
        ctx.sleep(root, 10)
        cancel()
      end)
      local fn, calls = flaky(clock, 9)
      local _, err = retry.call(c, { backoff = 50, jitter = false }, fn)
      assert.equal(10, clock:elapsed())
      assert.equal(1, #calls)
      assert.equal("context canceled: stopped after 1 attempt: 503", tostring(err))
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, down))
      assert.equal("done", errors.as(err, retry.Stopped).reason)
    end)
  end)

  it("makes no more attempts when it ends within one", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local calls = 0
      local _, err = retry.call(c, { backoff = 0 }, function(own)
        calls = calls + 1
        return ctx.sleep(own, 60)
      end)
      assert.equal(1, calls)
      assert.equal("stopped after 1 attempt: context deadline exceeded", tostring(err))
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
    end)
  end)

  it("never sleeps past the budget: gives up early, and says so", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 350)
      local _, err = retry.call(c, { attempts = 9, jitter = false }, (flaky(clock, 9)))
      assert.equal(300, clock:elapsed())
      assert.is_nil(c:err())
      assert.equal("gave up after 3 attempts, the next, in 400 ms, being past the deadline: 503",
        tostring(err))
      assert.is_true(errors.is(err, down))
      local stopped = errors.as(err, retry.Stopped)
      assert.same({ "budget", 3, 400 }, { stopped.reason, stopped.attempts, stopped.delay })
    end)
  end)

  it("gives each attempt a limit of its own, which is no reason to stop", function()
    testing.run(function(root, clock)
      local seen = {}
      local value = retry.call(root, { timeout = 20, backoff = 5, jitter = false }, function(c)
        seen[#seen + 1] = c
        assert.equal(20, c:remaining())
        if #seen < 3 then
          return ctx.sleep(c, 1000)
        end
        return "third"
      end)
      assert.equal("third", value)
      assert.equal(20 + 5 + 20 + 10, clock:elapsed())
      for _, c in ipairs(seen) do
        assert.is_true(c:done()) -- it ends with the attempt
      end
    end)
  end)

  it("goes on until it ends, with math.huge attempts", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local calls = 0
      local _, err = retry.call(c, { attempts = math.huge, max_backoff = 10 }, function()
        calls = calls + 1
        if calls == 500 then
          cancel()
        end
        return nil, down
      end)
      assert.equal(500, errors.as(err, retry.Stopped).attempts)
    end)
  end)
end)

-- Cause: what woke the sleep counted, and not how the context stood when the task went on: a busy
-- loop woke it after the end. Cure: it asks again before each attempt.
describe("retry.call makes no attempt after the end", function()
  --- Attempts, and those of them that began on a context that had ended.
  local function count(c, options)
    local attempts, late = 0, 0
    retry.call(c, options, function(limited)
      attempts = attempts + 1
      late = late + (limited:done() and 1 or 0)
      return nil, "503"
    end)
    return { attempts, late }
  end

  it("when on_retry ends the context", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      assert.same({ 1, 0 }, count(c, { backoff = 0, on_retry = function() cancel() end }))
    end)
  end)

  it("when the cancel comes between the end of the sleep and the attempt", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      ctx.go(function()
        ctx.sleep(root, 100)
        cancel("the client hung up")
      end)
      ctx.sleep(root, 0)
      assert.same({ 1, 0 }, count(c, { backoff = 100, factor = 1, jitter = false }))
    end)
  end)

  it("when both times passed while the loop was held up", function()
    ctx.run(function(root) -- time that passes in a computation is the real clock's
      local c, cancel <close> = ctx.with_timeout(root, 20)
      ctx.go(function()
        while ctx.now() < c:deadline() do end
      end)
      assert.same({ 1, 0 }, count(c, { attempts = 5, backoff = 10, jitter = false }))
    end)
  end)
end)

describe("an error of on_retry", function()
  it("is reported, and the attempts go on", function()
    testing.run(function(root)
      local attempts, answer = 0, nil
      local list = reports(function()
        answer = retry.call(root, {
          backoff = 1, on_retry = function() error("no such counter", 0) end,
        }, function()
          attempts = attempts + 1
          if attempts < 3 then return nil, "503" end
          return "the answer"
        end)
      end)
      assert.equal("the answer", answer)
      assert.equal(2, #list)
      assert.matches("^retry: on_retry failed: no such counter\n", list[1].message)
    end)
  end)
end)

-- Cause: what an error's class does when it is asked is called in the middle of the attempts.
describe("an error whose class raises, whatever it is asked,", function()
  it("is handed on as it is", function()
    testing.run(function(root)
      local function broken() error("asked") end
      local strict = setmetatable({}, {
        __tostring = broken, __index = broken, is = broken, unwrap = broken, __eq = broken,
      })
      local c, cancel = ctx.with_cancel(root)
      local _, err = retry.call(c, { attempts = 2, backoff = 0 }, function() return nil, strict end)
      assert.is_true(errors.is(err, strict))
      assert.equal("gave up after 2 attempts: (an error object that cannot be printed)",
        tostring(err))
      _, err = retry.call(c, {}, function()
        cancel()
        return nil, strict
      end)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.matches("stopped after 1 attempt: (an error object", tostring(err), 1, true)
    end)
  end)
end)

describe("retry.call raises at", function()
  it("options that make no sense, and calls nothing", function()
    testing.run(function(root)
      local function call(options)
        raises(function() retry.call(root, options, error) end, "#2", "'call'", "options")
      end
      call(5)
      call { attemps = 3 }
      for _, value in ipairs({ "x", {}, -1, 0 / 0 }) do
        for _, name in ipairs({ "attempts", "factor", "backoff", "max_backoff", "jitter", "random",
          "retryable", "on_retry" }) do
          call { [name] = value }
        end
      end
      call { attempts = 0 }
      call { attempts = 1.5 }
      call { timeout = "5" }
      call { factor = 0.5 }
    end)
  end)

  it("not a context, not a function, not an error", function()
    raises(function() retry.call({}, {}, error) end, "#1", "'call'")
    raises(function() retry.call(ctx.background(), {}) end, "#3", "'call'")
    raises(function() retry.permanent(nil) end, "#1", "'permanent'")
  end)
end)
