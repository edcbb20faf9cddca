-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local no_error = require "spec.support.no_error"
local out_of_memory = require "spec.support.memory"
local pool = require "ctx.pool"
local sleeper = require("spec.support.pools").sleeper
local testing = require "ctx.testing"
local misuse = require "spec.support.misuse"

describe("a pool", function()
  it("works on no more items at a time than it has workers", function()
    testing.run(function(root, clock)
      local fn, seen, now = sleeper()
      local p <close> = pool.new(root, { workers = 4, queue = 2 }, fn)
      for _ = 1, 40 do
        assert.is_true(p:submit(root, 10))
      end
      assert.is_true(p:drain(root))
      assert.equal(40, #seen)
      assert.equal(4, now.most)
      assert.equal(100, clock:elapsed())
      assert.same({ working = 0, queued = 0, done = 40, failed = 0 }, p:stats())
    end)
  end)

  it("may have as many workers and places as there are whole numbers", function()
    testing.run(function(root)
      for _, options in ipairs { { workers = 1, queue = math.maxinteger },
        { workers = math.maxinteger, queue = math.maxinteger } } do
        local p <close> = pool.new(root, options, sleeper())
        assert.is_true(p:submit(root, 10))
        assert.is_true(p:drain(root))
      end
    end)
  end)

  it("lets a fast source wait for a place", function()
    testing.run(function(root, clock)
      local fn = sleeper()
      local p <close> = pool.new(root, { workers = 2, queue = 1 }, fn)
      local times = {}
      for i = 1, 6 do
        p:submit(root, 10)
        times[i] = clock:elapsed()
      end
      assert.same({ 0, 0, 0, 10, 10, 20 }, times)
      p:drain(root)
    end)
  end)

  it("takes items in their order, and places go to the one that waited longest", function()
    testing.run(function(root)
      local order = {}
      local p <close> = pool.new(root, { workers = 1, queue = 1 }, function(c, item)
        ctx.sleep(c, 10)
        order[#order + 1] = item
      end)
      for _, item in ipairs({ "a", "b", "c", "d", "e" }) do
        ctx.go(function() p:submit(root, item) end)
      end
      ctx.sleep(root, 5)
      assert.is_false(p:try_submit("pushy"))
      ctx.sleep(root, 100)
      assert.is_true(p:try_submit("f"))
      p:drain(root)
      assert.equal("abcdef", table.concat(order))
    end)
  end)

  it("is no task while it has nothing to do", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 8 }, sleeper())
      assert.equal("ctx.pool.Pool (0 of 8 working, 0 queued)", tostring(p))
      p:submit(root, 10)
      assert.equal("ctx.pool.Pool (1 of 8 working, 0 queued)", tostring(p))
      ctx.sleep(root, 20)
      assert.equal(0, p:stats().working)
    end)
  end)

  it("gives its workers a context below its own, with its values", function()
    testing.run(function(root)
      local key, got = ctx.key("tenant"), nil
      local p <close> = pool.new(ctx.with_value(root, key, 7), { workers = 1 }, function(c)
        got = c:value(key)
      end)
      p:submit(root, "item")
      p:drain()
      assert.equal(7, got)
    end)
  end)
end)

describe("p:submit", function()
  it("ends its wait with c, and the item was not taken", function()
    testing.run(function(root, clock)
      local fn, seen = sleeper()
      local p <close> = pool.new(root, { workers = 1 }, fn)
      p:submit(root, 100)
      local c, cancel <close> = ctx.with_timeout(root, 30)
      local ok, err = p:submit(c, 1)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.equal(30, clock:elapsed())
      p:drain(root)
      assert.same({ 100 }, seen)
    end)
  end)

  it("takes nothing on a done context, though there is a place", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 1 }, sleeper())
      local c, cancel = ctx.with_cancel(root)
      cancel("gone")
      local ok, err = p:submit(c, 1)
      assert.is_nil(ok)
      assert.equal("context canceled: gone", tostring(err))
      assert.equal(0, p:stats().working)
    end)
  end)

  it("gives on the place that came in the same turn as the end of c", function()
    testing.run(function(root)
      local fn, seen = sleeper()
      local p <close> = pool.new(root, { workers = 1 }, fn)
      p:submit(root, 50)
      local c, cancel <close> = ctx.with_cancel(root)
      local first = ctx.go(function() return p:submit(c, 1) end)
      local second = ctx.go(function() return p:submit(root, 2) end)
      ctx.go(function()
        ctx.sleep(root, 50) -- wakes after the worker, in the same turn, and before `first`
        cancel()
      end)
      local ok, err = first:wait()
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true((second:wait()))
      p:drain(root)
      assert.same({ 50, 2 }, seen)
    end)
  end)
end)

describe("an item that fails", function()
  it("costs no worker: the next comes, and the failures are kept", function()
    testing.run(function(root)
      local broken = errors.new("broken")
      local p <close> = pool.new(root, { workers = 2 }, function(_, item)
        if item == 2 then error(broken) end
        if item == 3 then return nil, "refused" end
        if item == 4 then return nil end
      end)
      for item = 1, 5 do
        p:submit(root, item)
      end
      p:drain(root)
      local failures, count = p:errors()
      assert.equal(2, count)
      assert.equal(2, failures[1].item)
      assert.equal(broken, failures[1].err)
      assert.truthy(failures[1].traceback:find("pool_spec.lua", 1, true))
      assert.equal("refused", failures[2].err)
      assert.equal(3, p:stats().done)
    end)
  end)

  it("goes to on_error instead, where there is one", function()
    testing.run(function(root)
      local got = {}
      local p <close> = pool.new(root, {
        workers = 1,
        on_error = function(err, item) got[#got + 1] = item .. ": " .. err end,
      }, function() return nil, "refused" end)
      p:submit(root, "a")
      p:submit(root, "b")
      p:drain(root)
      assert.same({ "a: refused", "b: refused" }, got)
      local failures, count = p:errors()
      assert.same({}, failures)
      assert.equal(2, count)
    end)
  end)

  it("may end all by on_error and p:cancel", function()
    testing.run(function(root)
      local p
      p = pool.new(root, {
        workers = 1, queue = 3, on_error = function(err) p:cancel(err) end,
      }, function() return nil, "disk full" end)
      for item = 1, 3 do
        p:submit(root, item)
      end
      assert.is_true(p:drain(root))
      assert.same({ 2, 3 }, p:dropped())
      local ok, err = p:submit(root, 4)
      assert.is_nil(ok)
      assert.equal("pool: closed: disk full", tostring(err))
      assert.is_true(errors.is(err, pool.closed))
      assert.is_true(errors.is(err, "disk full"))
    end)
  end)

  it("does not end the pool through an on_error that fails itself", function()
    local reports = {}
    local previous = ctx.set_report(function(message) reports[#reports + 1] = message end)
    local worse = { "worse", setmetatable({}, { __tostring = function() error("worst", 0) end }) }
    testing.run(function(root)
      local p <close> = pool.new(root, {
        workers = 1, on_error = function(_, item) error(worse[item], 0) end,
      }, function() return nil, "bad" end)
      p:submit(root, 1)
      p:submit(root, 2)
      assert.is_true(p:drain(root))
    end)
    ctx.set_report(previous)
    assert.equal(2, #reports)
    assert.truthy(reports[1]:find("on_error failed: worse", 1, true))
    assert.truthy(reports[2]:find("on_error failed: (an error object", 1, true))
  end)

  -- Cause: Lua calls no message handler when it is out of memory, so the pool's own took no part,
  -- and it looked for the error in nothing; error(nil) was an error that is nil. Cure: errors.call,
  -- the one place where a caller's function runs.
  it("is never nil: out of memory and error(nil) are errors, too", function()
    testing.run(function(root)
      local got = {}
      local p <close> = pool.new(root, {
        workers = 1, on_error = function(err, _, trace) got[#got + 1] = { err, trace } end,
      }, function(_, fn) fn() end)
      p:submit(root, error)
      p:submit(root, out_of_memory)
      p:drain(root)
      assert.is_true(no_error(got[1][1]))
      assert.is_true(errors.as(got[1][1], getmetatable(ctx.canceled)) ~= nil)
      assert.matches("stack traceback", got[1][2])
      assert.equal("not enough memory", got[2][1])
    end)
  end)

  -- Cause: a function that ends with a tail call leaves no line in a traceback.
  it("ends with the place of the function, which a tail call leaves out of the stack", function()
    testing.run(function(root)
      local function fn(c) return ctx.sleep(c, "soon") end
      local line = debug.getinfo(fn, "S").linedefined
      local p <close> = pool.new(root, { workers = 1 }, fn)
      p:submit(root, 1)
      p:drain(root)
      local trace = p:errors()[1].traceback
      local place = ("\n\tin the pool's function, spec/pool_spec.lua:%d"):format(line)
      assert.equal(place, trace:sub(-#place))
    end)
  end)

  it("is kept up to the hundredth, and counted beyond", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 1 }, function() return nil, "no" end)
      for item = 1, 150 do
        p:submit(root, item)
      end
      p:drain(root)
      local failures, count = p:errors()
      assert.equal(100, #failures)
      assert.equal(150, count)
    end)
  end)
end)

describe("p:drain", function()
  it("waits for queued items too, turns away waiting and later callers", function()
    testing.run(function(root, clock)
      local fn, seen = sleeper()
      local p <close> = pool.new(root, { workers = 1, queue = 1 }, fn)
      p:submit(root, 10)
      p:submit(root, 20)
      local waiting = ctx.go(function() return p:submit(root, 30) end)
      ctx.sleep(root, 1)
      assert.is_true(p:drain(root))
      assert.same({ 10, 20 }, seen)
      assert.equal(30, clock:elapsed())
      local ok, err = waiting:wait()
      assert.is_nil(ok)
      assert.equal(pool.closed, err)
      ok, err = p:submit(root, 1)
      assert.is_nil(ok)
      assert.equal(pool.closed, err)
      assert.is_false(p:try_submit(1))
      assert.is_true(p:drain()) -- again
    end)
  end)

  it("gives up with c, and the work goes on", function()
    testing.run(function(root)
      local fn, seen = sleeper()
      local p <close> = pool.new(root, { workers = 1 }, fn)
      p:submit(root, 100)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local ok, err = p:drain(c)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.is_true(p:drain(root))
      assert.same({ 100 }, seen)
    end)
  end)
end)

describe("a worker", function()
  it("whose coroutine somebody closes is replaced, and its place is not lost", function()
    local previous = ctx.set_report(function() end)
    testing.run(function(root)
      local victim
      local fn, seen = sleeper()
      local p <close> = pool.new(root, { workers = 1, queue = 1 }, function(c, item)
        victim = victim or coroutine.running()
        return fn(c, item)
      end)
      p:submit(root, 100)
      p:submit(root, 10)
      ctx.sleep(root, 1)
      coroutine.close(victim)
      assert.is_true(p:submit(root, 20))
      assert.is_true(p:drain(root))
      assert.same({ 10, 20 }, seen)
    end)
    collectgarbage()
    ctx.set_report(previous)
  end)
end)

describe("misuse of ctx.pool", function()
  local background = ctx.background()
  local function fn() end

  it("raises at the caller's line", function()
    misuse.raises(function() pool.new({}, { workers = 1 }, fn) end, "#1 to 'new' (c: a context")
    misuse.raises(function() pool.new(background, 4, fn) end, "#2 to 'new' (options: a table")
    misuse.raises(function() pool.new(background, { workers = 1 }) end, "#3 to 'new' (fn: a func")
    misuse.raises(function() pool.new(background, {}, fn) end, "workers: a whole number of 1 or")
    misuse.raises(function() pool.new(background, { workers = 0 }, fn) end, "got 0")
    misuse.raises(function() pool.new(background, { workers = 1, queue = -1 }, fn) end, "queue: ")
    misuse.raises(function() pool.new(background, { workers = 1, on_error = 1 }, fn) end,
      "options.on_error: a function expected, got 1")
    misuse.raises(function() pool.new(background, { workers = 1, size = 1 }, fn) end,
      "the name of an option expected, got \"size\"")
    local p <close> = pool.new(background, { workers = 1 }, fn)
    misuse.raises(function() p:submit("item") end, "#1 to 'submit' (c: a context expected")
    misuse.raises(function() p:submit(background, nil) end, "#2 to 'submit' (item: anything")
    misuse.raises(function() p:try_submit(nil) end, "#1 to 'try_submit' (item: anything")
    misuse.raises(function() p:drain(1) end, "#1 to 'drain' (c: a context expected, got 1)")
  end)
end)
