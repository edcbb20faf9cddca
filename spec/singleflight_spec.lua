-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"

local raises = misuse.raises

--- A function that takes 10 ms, and a list of its calls.
local function slow()
  local calls = {}
  return function(c, ...)
    calls[#calls + 1] = { c = c, ... }
    local ok, err = ctx.sleep(c, 10)
    if not ok then
      calls[#calls].err = err
      return nil, err
    end
    return "value " .. #calls
  end, calls
end

local function calling(sf, c, key, fn, ...)
  return ctx.go(function(...)
    return table.pack(sf:call(c, key, fn, ...))
  end, ...)
end

describe("a singleflight", function()
  it("calls once for all that ask meanwhile, and again for one that asks later", function()
    testing.run(function(root, clock)
      local sf, tasks = singleflight.new(), {}
      local fn, calls = slow()
      for i = 1, 3 do
        tasks[i] = calling(sf, root, "key", fn, "argument")
      end
      for i = 1, 3 do
        assert.same({ "value 1", nil, true, n = 3 }, tasks[i]:wait())
      end
      assert.equal(10, clock:elapsed())
      assert.equal("argument", calls[1][1])
      assert.same({ "value 2", nil, false }, { sf:call(root, "key", fn) })
      assert.equal(2, #calls)
    end)
  end)

  it("has a flight for each key, whatever that is", function()
    testing.run(function(root)
      local sf, tasks = singleflight.new(), {}
      local fn, calls = slow()
      for i, key in ipairs({ "1", 1, false, {}, root }) do
        tasks[i] = calling(sf, root, key, fn)
      end
      for _, task in ipairs(tasks) do
        assert.is_false(task:wait()[3])
      end
      assert.equal(5, #calls)
    end)
  end)

  it("forgets a flight on request; its waiters go on waiting", function()
    testing.run(function(root)
      local sf = singleflight.new()
      local fn, calls = slow()
      local old = calling(sf, root, "key", fn)
      ctx.sleep(root, 5)
      sf:forget("key")
      sf:forget("never known")
      local new = calling(sf, root, "key", fn)
      ctx.sleep(root, 7) -- the old one lands, and the new one is still known
      local third = calling(sf, root, "key", fn)
      assert.equal("value 2", old:wait()[1])
      assert.is_false(old:wait()[3])
      assert.is_true(new:wait()[3])
      assert.is_true(third:wait()[3])
      assert.equal(2, #calls)
    end)
  end)

  it("shares what is returned as an error", function()
    testing.run(function(root)
      local sf, down = singleflight.new(), errors.new("503")
      local function fn(c)
        ctx.sleep(c, 1)
        return nil, down
      end
      local first, second = calling(sf, root, 1, fn), calling(sf, root, 1, fn)
      assert.same({ nil, down, true, n = 3 }, first:wait())
      assert.same({ nil, down, true, n = 3 }, second:wait())
    end)
  end)

  it("shares what is raised, with the traceback of where", function()
    testing.run(function(root)
      local sf, oops = singleflight.new(), errors.new("oops")
      local function fn(c)
        ctx.sleep(c, 1)
        error(oops)
      end
      local first, second = calling(sf, root, 1, fn), calling(sf, root, 1, fn)
      local err = first:wait()[2]
      assert.is_true(errors.is(err, oops))
      assert.equal("oops", tostring(err))
      assert.truthy(err.traceback:find("singleflight_spec.lua", 1, true))
      assert.equal(err, second:wait()[2])
      assert.same({ nil, "plain" }, { (function()
        local value, raised = sf:call(root, 1, function() error("plain", 0) end)
        return value, tostring(raised)
      end)() })
    end)
  end)
end)

describe("the context of a flight", function()
  it("is no caller's: the first may leave, and the others get the result", function()
    testing.run(function(root, clock)
      local sf, key = singleflight.new(), ctx.key("user")
      local fn, calls = slow()
      local c, cancel = ctx.with_timeout(ctx.with_value(root, key, "ann"), 5)
      local first, second = calling(sf, c, 1, fn), calling(sf, root, 1, fn)
      local value, err = table.unpack(first:wait(), 1, 2)
      assert.is_nil(value)
      assert.equal(ctx.deadline_exceeded, err)
      assert.equal(5, clock:elapsed())
      assert.equal("value 1", second:wait()[1])
      assert.equal("ann", calls[1].c:value(key)) -- but it has the first one's values
      assert.is_nil(calls[1].c:deadline())
      assert.is_true(calls[1].c:done())
      cancel()
    end)
  end)

  it("is cancelled when all have left; the next caller starts a new flight", function()
    testing.run(function(root, clock)
      local sf = singleflight.new()
      local fn, calls = slow()
      local c, cancel = ctx.with_cancel(root)
      local first, second = calling(sf, c, 1, fn), calling(sf, c, 1, fn)
      ctx.sleep(root, 2)
      cancel()
      assert.is_true(errors.is(first:wait()[2], ctx.canceled))
      second:wait()
      assert.is_true(calls[1].c:done())
      assert.equal("value 2", (sf:call(root, 1, fn)))
      assert.equal(12, clock:elapsed())
      assert.equal("context canceled: singleflight: all callers have left",
        tostring(calls[1].err))
    end)
  end)

  it("goes on for one who comes in the turn in which the only other leaves", function()
    testing.run(function(root)
      local sf = singleflight.new()
      local fn, calls = slow()
      local c, cancel = ctx.with_cancel(root)
      local first = calling(sf, c, 1, fn)
      ctx.sleep(root, 2)
      local second = calling(sf, root, 1, fn)
      cancel()
      assert.is_nil(first:wait()[1])
      assert.equal("value " .. #calls, second:wait()[1])
    end)
  end)

  it("is left by a coroutine that its owner closes", function()
    testing.run(function(root)
      local sf = singleflight.new()
      local fn, calls = slow()
      local co = coroutine.create(function() sf:call(root, 1, fn) end)
      coroutine.resume(co)
      ctx.sleep(root, 2)
      coroutine.close(co)
      assert.is_true(calls[1].c:done())
      ctx.sleep(root, 1)
    end)
  end)

  it("does not begin for a caller whose own is done", function()
    testing.run(function(root)
      local fn, calls = slow()
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      local value, err, shared = singleflight.new():call(c, 1, fn)
      assert.is_nil(value)
      assert.is_true(errors.is(err, "why"))
      assert.is_false(shared)
      assert.same({}, calls)
    end)
  end)

  it("lets a result count that comes in the turn in which the caller's own ends", function()
    testing.run(function(root)
      local sf = singleflight.new()
      local c, cancel = ctx.with_cancel(root)
      local task = calling(sf, c, 1, function()
        cancel()
        return "value"
      end)
      assert.equal("value", task:wait()[1])
    end)
  end)
end)

describe("a singleflight raises", function()
  it("in a flight that waits for itself", function()
    testing.run(function(root)
      local sf = singleflight.new()
      local _, err = sf:call(root, 1, function(c)
        local value = sf:call(c, 1, error)
        return value
      end)
      assert.truthy(tostring(err):find("singleflight_spec.lua:%d+: a task cannot wait for itself"))
    end)
  end)

  it("at arguments that make no sense", function()
    local sf, root = singleflight.new(), ctx.background()
    raises(function() sf:call({}, 1, error) end, "#1", "'call'")
    raises(function() sf:call(root, nil, error) end, "#2", "'call'")
    raises(function() sf:call(root, 0 / 0, error) end, "#2", "'call'")
    raises(function() sf:call(root, 1) end, "#3", "'call'")
    raises(function() sf.call(root, 1, error) end, "'call'", "colon")
    raises(function() sf:forget(nil) end, "#1", "'forget'")
    raises(function() sf.forget(1) end, "'forget'", "colon")
  end)

  it("where nothing can wait, at the caller's line, and begins no flight", function()
    testing.run(function(root)
      local fn, calls = slow()
      raises(function()
        table.sort({ 1, 2 }, function() singleflight.new():call(root, 1, fn) end)
      end, "singleflight:call: cannot wait here")
      ctx.sleep(root, 1)
      assert.same({}, calls)
    end)
  end)
end)
