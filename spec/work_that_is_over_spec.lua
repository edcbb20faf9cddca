-- SPDX-License-Identifier: MIT
-- Cause: work whose last step ended the context of its waiters gave them that context's error:
-- `g:wait(gctx)` of a group that had succeeded returned "context canceled". Cure: a wait whose
-- context ends checks first whether the work is complete, and then returns its result.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local pool = require "ctx.pool"
local reports = require "spec.support.reports"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"

--- Waits for work that calls `last(c)` at its end: by each module that waits for work. Returns what
--- the wait does.
local waits = {
  ["task:wait"] = function(c, last)
    return ctx.go(last, c):wait(c)
  end,
  ["g:wait"] = function(c, last)
    local g = errgroup.new()
    g:go(last, c)
    return g:wait(c)
  end,
  ["g:wait at a limit"] = function(c, last)
    local g = errgroup.new()
    g:set_limit(1)
    g:go(ctx.sleep, c, 1)
    g:go(last, c)
    return g:wait(c)
  end,
  ["wg:wait"] = function(c, last)
    local wg = waitgroup.new()
    wg:go(last, c)
    return wg:wait(c)
  end,
  ["wg:wait, counted by hand"] = function(c, last)
    local wg = waitgroup.new()
    wg:add()
    ctx.go(function()
      last(c)
      wg:done()
    end)
    return wg:wait(c)
  end,
  ["p:drain"] = function(c, last)
    local p <close> = pool.new(ctx.background(), { workers = 1 }, function() last(c) end)
    p:submit(c, "item")
    return p:drain(c)
  end,
  ["singleflight:call"] = function(c, last)
    return singleflight.new():call(c, "key", function() return last(c) end)
  end,
}

describe("Work that ends the context of its waiters as its last act", function()
  for name, wait in pairs(waits) do
    it("is over, and that is the result: " .. name, function()
      testing.run(function(root)
        local c, cancel = ctx.with_cancel(root)
        local ok, err = wait(c, function()
          ctx.sleep(c, 10)
          cancel("the last act")
          return true
        end)
        assert.same({ true }, { ok, err })
      end)
    end)

    it("is not over while it goes on after that: " .. name, function()
      testing.run(function(root)
        local c, cancel = ctx.with_cancel(root)
        local ok, err = wait(c, function()
          cancel("too early")
          ctx.sleep(root, 10)
          return true
        end)
        assert.is_nil(ok)
        assert.equal("context canceled: too early", tostring(err))
        ctx.sleep(root, 20)
      end)
    end)
  end
end)

describe("g:wait with the group's own context", function()
  it("is true when all have succeeded", function()
    testing.run(function(root)
      local g <close>, c = errgroup.with_context(root)
      g:go(ctx.sleep, c, 1)
      assert.same({ true }, { g:wait(c) })
      assert.same({ true }, { g:wait(c) })
    end)
  end)

  it("waits for all when one has failed, has its error, and leaves nothing to report", function()
    local why = errors.new("why")
    local list = reports(function()
      testing.run(function(root, clock)
        local g <close>, c = errgroup.with_context(root)
        g:go(function() return nil, why end)
        g:go(ctx.sleep, root, 1000)
        local ok, err = g:wait(ctx.with_value(c, "key", "a value does not make it another"))
        assert.is_nil(ok)
        assert.is_true(rawequal(why, err))
        assert.equal(1000, clock:elapsed())
      end)
    end)
    assert.same({}, list)
  end)

  it("ends with the context above", function()
    testing.run(function(root)
      local above, cancel = ctx.with_timeout(root, 10)
      local g, c = errgroup.with_context(above)
      g:go(ctx.sleep, root, 1000)
      local ok, err = g:wait(c)
      assert.is_nil(ok)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      cancel()
      assert.is_true(g:wait(root))
    end)
  end)

  it("ends with a context below it that has a bound of its own", function()
    testing.run(function(root, clock)
      local g, c = errgroup.with_context(root)
      g:go(ctx.sleep, root, 1000)
      local below, cancel <close> = ctx.with_timeout(c, 10)
      assert.is_nil((g:wait(below)))
      assert.equal(10, clock:elapsed())
      assert.is_true(g:wait(root))
      cancel()
    end)
  end)
end)
