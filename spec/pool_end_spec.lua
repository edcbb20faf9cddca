-- SPDX-License-Identifier: MIT
-- How a pool ends: by its scope, by cancel, by its context, and by drain.
local ctx = require "ctx"
local errors = require "ctx.errors"
local pool = require "ctx.pool"
local sleeper = require("spec.support.pools").sleeper
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

describe("the scope of a pool", function()
  it("cancels and waits on every path; what was not begun is handed back", function()
    testing.run(function(root, clock)
      local p, why
      local ok, err = pcall(function()
        local scope <close> = pool.new(root, { workers = 1, queue = 5 }, function(c)
          c:wait()
          why = c:cause()
          ctx.sleep(ctx.background(), 20) -- cleans up
        end)
        p = scope
        for item = 1, 4 do
          p:submit(root, item)
        end
        ctx.sleep(root, 1)
        error("went wrong", 0)
      end)
      assert.is_false(ok)
      assert.equal("went wrong", err)
      assert.equal("went wrong", why)
      assert.equal(21, clock:elapsed())
      assert.same({ 2, 3, 4 }, p:dropped())
    end)
  end)

  -- Cause: the list of what was dropped was filled by the workers, as they ended, or by drain.
  -- Cure: cancel fills it; after the end of the parent, the next that asks.
  it("hands back at once what was not begun, also what a worker was to begin with", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 2, queue = 5 }, sleeper())
      for item = 1, 4 do
        p:submit(root, item)
      end
      assert.same({ working = 2, queued = 2, done = 0, failed = 0 }, p:stats())
      p:cancel("enough")
      assert.same({ 1, 2, 3, 4 }, p:dropped())
      local c, cancel = ctx.with_cancel(root)
      local q <close> = pool.new(c, { workers = 1, queue = 5 }, sleeper())
      for item = 100, 102 do
        q:submit(root, item)
      end
      ctx.sleep(root, 1)
      cancel()
      assert.same({ 101, 102 }, q:dropped())
      assert.is_true(q:drain(root))
      assert.same({ 101, 102 }, q:dropped())
    end)
  end)

  it("tells the cause of a cancel to those that come later, also to those that wait", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 1 }, function(c) c:wait() end)
      p:submit(root, 1)
      local waiting = ctx.go(function() return p:submit(root, 2) end)
      ctx.sleep(root, 1)
      p:cancel("disk full")
      for _, err in ipairs { select(2, p:submit(root, 3)), select(2, waiting:wait()) } do
        assert.equal("context canceled: disk full", tostring(err))
        assert.is_true(errors.is(err, "disk full"))
      end
    end)
  end)

  -- Cause: what woke the drain counted, and not how the pool stood when it went on.
  it("counts an item for which a worker starts once, also when another worker leaves", function()
    local list = reports(function() testing.run(function(root)
      local victim
      local p <close> = pool.new(root, { workers = 2, queue = 1 }, function(c)
        victim = victim or coroutine.running()
        c:wait()
      end)
      p:submit(root, 1)
      ctx.sleep(root, 1)
      p:submit(root, 2)
      coroutine.close(victim)
      assert.same({ working = 1, queued = 0, done = 0, failed = 0 }, p:stats())
    end) end)
    assert.matches("the task's coroutine was closed", list[1].message, 1, true)
  end)

  it("is drained, though the last item's last act ends the context of the drain", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local p <close> = pool.new(root, { workers = 1 }, function(w)
        ctx.sleep(w, 10)
        cancel()
      end)
      p:submit(root, 1)
      assert.is_true(p:drain(c))
    end)
  end)

  it("ends with its context as well", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local p = pool.new(c, { workers = 1, queue = 2 }, sleeper())
      p:submit(root, 1000)
      p:submit(root, 2000)
      p:submit(root, 30)
      local waiting = ctx.go(function() return p:submit(root, 40) end)
      ctx.sleep(root, 1)
      cancel("enough")
      local ok, err = waiting:wait()
      assert.is_nil(ok)
      assert.equal("context canceled: enough", tostring(err))
      assert.is_true(p:drain(root))
      assert.same({ 2000, 30 }, p:dropped())
      assert.equal(1, select(2, p:errors())) -- the one that was interrupted
    end)
  end)
end)
