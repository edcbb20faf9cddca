-- SPDX-License-Identifier: MIT
local breaker = require "ctx.breaker"
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local raises = misuse.raises
local down = errors.new("503")

local function fails() return nil, down end
local function works() return "ok" end

local function times(n, b, root, fn)
  for _ = 1, n do
    b:call(root, fn)
  end
end

describe("a breaker", function()
  it("lets calls through while it is closed, with arguments and results", function()
    testing.run(function(root)
      local b = breaker.new()
      local function fn(c, ...) return c == root, select("#", ...), ... end
      assert.same({ true, 3, 1, nil, 3, n = 5 }, table.pack(b:call(root, fn, 1, nil, 3)))
      assert.same({ nil, down }, { b:call(root, fails) })
      assert.equal("closed", b:state())
    end)
  end)

  it("opens after failures in a row; a success begins anew", function()
    testing.run(function(root)
      local b = breaker.new { failures = 3 }
      times(2, b, root, fails)
      times(1, b, root, works)
      times(2, b, root, fails)
      assert.equal("closed", b:state())
      times(1, b, root, fails)
      assert.equal("open", b:state())
    end)
  end)

  it("refuses while it is open, without a call", function()
    testing.run(function(root)
      local b = breaker.new { name = "payments", failures = 1 }
      times(1, b, root, fails)
      local called = false
      local value, err = b:call(root, function() called = true end)
      assert.is_nil(value)
      assert.is_true(errors.is(err, breaker.open))
      assert.equal("payments: circuit breaker open", tostring(err))
      assert.is_false(called)
      assert.equal(breaker.open, select(2, (function()
        local nameless = breaker.new { failures = 1 }
        times(1, nameless, root, fails)
        return nameless:allow()
      end)()))
    end)
  end)

  it("half-opens after its cooldown, and a probe decides", function()
    testing.run(function(root, clock)
      local b = breaker.new { failures = 1, cooldown = 100 }
      times(1, b, root, fails)
      clock:advance(40)
      assert.equal(60, b:retry_after())
      clock:advance(59)
      assert.equal("open", b:state())
      clock:advance(1)
      assert.equal("half-open", b:state())
      assert.equal(0, b:retry_after())
      times(1, b, root, fails)
      assert.equal("open", b:state())
      assert.equal(100, b:retry_after())
      clock:advance(100)
      assert.equal("ok", (b:call(root, works)))
      assert.equal("closed", b:state())
      assert.equal(0, b:retry_after())
    end)
  end)

  it("lets only so many probes through, and closes when all have succeeded", function()
    testing.run(function(root, clock)
      local b = breaker.new { failures = 1, cooldown = 100, probes = 2 }
      times(1, b, root, fails)
      clock:advance(100)
      local first, second = b:allow(), b:allow()
      assert.is_nil((b:allow()))
      first:succeed()
      assert.is_nil((b:allow())) -- one has passed, one is under way: that is enough
      assert.equal("half-open", b:state())
      second:succeed()
      assert.equal("closed", b:state())
    end)
  end)

  it("tells of its changes", function()
    testing.run(function(root, clock)
      local told = {}
      local b = breaker.new {
        failures = 1, cooldown = 10,
        on_change = function(from, to) told[#told + 1] = from .. " → " .. to end,
      }
      times(1, b, root, fails)
      clock:advance(10)
      times(1, b, root, works)
      assert.same({ "closed → open", "open → half-open", "half-open → closed" }, told)
    end)
  end)
end)

describe("a breaker with a rate", function()
  it("opens when so large a part fails, if there are calls enough", function()
    testing.run(function(root)
      local b = breaker.new { rate = 0.5, minimum = 10 }
      times(8, b, root, fails)
      assert.equal("closed", b:state())
      times(1, b, root, works)
      assert.equal("closed", b:state())
      times(1, b, root, fails)
      assert.equal("open", b:state())
    end)
  end)

  it("forgets what is older than its window", function()
    testing.run(function(root, clock)
      local b = breaker.new { rate = 0.5, minimum = 4, window = 1000 }
      times(3, b, root, fails)
      clock:advance(1000)
      times(1, b, root, fails)
      assert.equal("closed", b:state())
      clock:advance(500)
      times(2, b, root, fails)
      assert.equal("closed", b:state())
      clock:advance(400)
      times(1, b, root, fails)
      assert.equal("open", b:state())
    end)
  end)

  it("may count failures in a row as well", function()
    testing.run(function(root)
      local b = breaker.new { rate = 0.9, minimum = 100, failures = 2 }
      times(2, b, root, fails)
      assert.equal("open", b:state())
    end)
  end)
end)

describe("to a breaker", function()
  it("a deadline is a failure: its own, the call's or the caller's", function()
    testing.run(function(root)
      local b = breaker.new { failures = 2 }
      local function slow(c) return ctx.sleep(c, 1000) end
      local c, cancel <close> = ctx.with_timeout(root, 10)
      b:call(c, slow)
      b:call(root, function(parent)
        local own, cancel_own <close> = ctx.with_timeout(parent, 10)
        return ctx.sleep(own, 1000)
      end)
      assert.equal("open", b:state())
    end)
  end)

  it("the caller's own cancel says nothing", function()
    testing.run(function(root, clock)
      local b = breaker.new { failures = 1, cooldown = 100 }
      local function cancelled_call()
        local c, cancel = ctx.with_cancel(root)
        ctx.go(function()
          ctx.sleep(root, 10)
          cancel()
        end)
        local _, err = b:call(c, ctx.sleep, 1000)
        assert.is_true(errors.is(err, ctx.canceled))
      end
      cancelled_call()
      assert.equal("closed", b:state())
      times(1, b, root, fails)
      clock:advance(100)
      cancelled_call() -- as a probe: its place is free again
      assert.equal("half-open", b:state())
      assert.equal("ok", (b:call(root, works)))
      assert.equal("closed", b:state())
    end)
  end)

  it("an error that is raised is a failure, and goes through", function()
    testing.run(function(root, clock)
      local b = breaker.new { failures = 1, cooldown = 100 }
      local oops = {}
      for _ = 1, 2 do
        local ok, err = pcall(b.call, b, root, function() error(oops) end)
        assert.is_false(ok)
        assert.equal(oops, err)
        assert.equal("open", b:state())
        clock:advance(100)
      end
    end)
  end)

  it("an error that does not count is a success", function()
    testing.run(function(root)
      local missing = errors.new("404")
      local b = breaker.new { failures = 2, is_failure = function(err) return err ~= missing end }
      times(1, b, root, fails)
      assert.same({ nil, missing }, { b:call(root, function() return nil, missing end) })
      times(1, b, root, fails)
      assert.equal("closed", b:state())
    end)
  end)

  it("calls from before a change say nothing any more", function()
    testing.run(function(root, clock)
      local b = breaker.new { failures = 1, cooldown = 100 }
      local late, later = b:allow(), b:allow()
      times(1, b, root, fails)
      late:fail()
      clock:advance(100)
      assert.equal("half-open", b:state())
      later:succeed()
      assert.equal("half-open", b:state())
      assert.equal("ok", (b:call(root, works)))
    end)
  end)

  it("a call on a context that is done is none", function()
    testing.run(function(root)
      local b = breaker.new { failures = 1 }
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      local value, err = b:call(c, error)
      assert.is_nil(value)
      assert.is_true(errors.is(err, "why"))
      assert.equal("closed", b:state())
    end)
  end)
end)

describe("a breaker's permit", function()
  it("counts by its first word; closed without one, it says nothing", function()
    testing.run(function()
      local b = breaker.new { failures = 1, cooldown = math.huge }
      do
        local scope <close> = b:allow()
        scope:succeed()
        scope:fail()
      end
      do
        local scope <close> = b:allow()
      end
      assert.equal("closed", b:state())
      pcall(function()
        local scope <close> = b:allow()
        error("oops")
      end)
      assert.equal("open", b:state())
      local scope <close>, err = b:allow()
      assert.is_nil(scope)
      assert.equal(breaker.open, err)
    end)
  end)
end)

-- Cause: on_change ran where the outcome of a call was recorded, so what it raised took the place
-- of the outcome. Cure: it only listens: its error is reported.
describe("an error of on_change", function()
  it("is reported, and takes nobody's place", function()
    testing.run(function(root)
      local b = breaker.new {
        failures = 1, cooldown = 10,
        on_change = function(_, to) error("no gauge for " .. to, 0) end,
      }
      local list = reports(function()
        assert.same({ nil, down }, { b:call(root, fails) })
        ctx.sleep(root, 10)
        assert.equal("half-open", b:state())
        assert.equal("ok", b:call(root, works))
        assert.has_error(function()
          b:call(root, function() error("the real trouble", 0) end)
        end, "the real trouble")
        ctx.sleep(root, 10)
        assert.equal(0, b:retry_after())
      end)
      local told = {}
      for i, each in ipairs(list) do
        told[i] = each.message:match("^breaker: on_change failed: no gauge for ([%a-]+)\n")
      end
      assert.same({ "open", "half-open", "closed", "open", "half-open" }, told)
    end)
  end)
end)

-- Cause: a probe kept its place until it said how it went. One whose permit was dropped, or that
-- hung, kept all others out for ever. Cure: it keeps its place for the time of a cooldown.
describe("a breaker whose probe does not come back", function()
  it("lets another one through after the cooldown's time", function()
    testing.run(function(root)
      local b = breaker.new { failures = 1, cooldown = 10 }
      b:call(root, fails)
      ctx.sleep(root, 10)
      assert.truthy(b:allow()) -- and dropped
      for _ = 1, 3 do
        ctx.sleep(root, 9)
        assert.equal(breaker.open, select(2, b:allow()))
        ctx.sleep(root, 1)
        assert.truthy(b:allow())
      end
      ctx.sleep(root, 10)
      assert.equal("ok", b:call(root, works))
      assert.equal("closed", b:state())
    end)
  end)

  it("listens to one that comes late: it closes, or opens", function()
    testing.run(function(root)
      for _, fn in ipairs { works, fails } do
        local b = breaker.new { failures = 1, cooldown = 10 }
        b:call(root, fails)
        ctx.sleep(root, 10)
        local slow = ctx.go(function()
          return b:call(root, function(c)
            ctx.sleep(c, 35)
            return fn()
          end)
        end)
        ctx.sleep(root, 30)
        assert.truthy(b:allow())
        assert.is_nil((b:allow()))
        slow:wait()
        assert.equal(fn == works and "closed" or "open", b:state())
      end
    end)
  end)

  it("frees as many places as there are overdue probes", function()
    testing.run(function(root)
      local b = breaker.new { failures = 1, cooldown = 10, probes = 2 }
      b:call(root, fails)
      ctx.sleep(root, 10)
      local first = b:allow()
      ctx.sleep(root, 5)
      local second = b:allow()
      ctx.sleep(root, 5)
      local third = b:allow()
      assert.is_nil((b:allow()))
      first:succeed() -- late: it counts, and frees no place once more
      assert.is_nil((b:allow()))
      second:succeed()
      assert.equal("closed", b:state())
      third:fail()
      assert.equal("closed", b:state())
    end)
  end)

  it("frees the place of an overdue probe once, and not again when that is closed", function()
    testing.run(function(root)
      local b = breaker.new { failures = 1, cooldown = 10 }
      b:call(root, fails)
      ctx.sleep(root, 10)
      do
        local late <close> = b:allow()
        ctx.sleep(root, 10)
        assert.truthy(late and b:allow())
      end
      assert.is_nil((b:allow()))
    end)
  end)
end)

describe("a breaker raises", function()
  it("at options that make no sense", function()
    for name, values in pairs({
      name = { 5 }, failures = { 0, 1.5, "1" }, rate = { 0, 1.1, "x" }, window = { 0, math.huge },
      minimum = { 0 }, cooldown = { 0, -1, "x", 0 / 0 }, probes = { 0 }, is_failure = { 5 },
      on_change = { "fn" }, falures = { 5 },
    }) do
      for _, value in ipairs(values) do
        raises(function() breaker.new { [name] = value } end, "#1", "'new'", "options", name)
      end
    end
    raises(function() breaker.new(5) end, "#1", "'new'", "options")
  end)

  it("at arguments that make no sense", function()
    local b, root = breaker.new(), ctx.background()
    raises(function() b:call({}, works) end, "#1", "'call'")
    raises(function() b:call(root) end, "#2", "'call'")
    raises(function() b.call(root, works) end, "'call'", "colon")
    raises(function() b.allow() end, "'allow'", "colon")
    raises(function() b.state({}) end, "'state'", "colon")
    raises(function() b.retry_after({}) end, "'retry_after'", "colon")
    local permit = b:allow()
    raises(function() permit.succeed() end, "'succeed'", "colon")
    raises(function() permit.fail(b) end, "'fail'", "colon")
  end)
end)
