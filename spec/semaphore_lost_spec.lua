-- SPDX-License-Identifier: MIT
-- No unit is lost, however the wait for it ends.
local askers = require "spec.support.askers"
local core = require "ctx.core"
local ctx = require "ctx"
local semaphore = require "ctx.semaphore"
local testing = require "ctx.testing"
local uv = require "luv"

local asker, settle = askers.of, askers.settle

describe("a coroutine that is closed", function()
  local function waiter(s, c, k)
    local co = coroutine.create(function()
      s:acquire(c, k)
      error("went on")
    end)
    assert(coroutine.resume(co))
    return co
  end

  it("while it waits leaves its place in the queue", function()
    testing.run(function(root)
      local s, log = semaphore.new(1), {}
      assert(s:acquire(root))
      local co = waiter(s, root)
      asker(s, log)("b", root)
      settle(root)
      coroutine.close(co)
      s:release()
      settle(root)
      assert.same({ "b" }, log)
    end)
  end)

  it("when it has been given units gives them back", function()
    testing.run(function(root)
      local s, log = semaphore.new(1), {}
      assert(s:acquire(root))
      local co = waiter(s, root)
      asker(s, log)("b", root)
      settle(root)
      s:release()
      coroutine.close(co)
      settle(root)
      assert.same({ "b" }, log)
      assert.equal(1, (s:held()))
    end)
  end)

  -- Cause: what a closed coroutine had asked for, more than was free, held up all behind it, until
  -- somebody released. Cure: each use of the semaphore looks whether the first still lives.
  it("holds up nobody by asking for much", function()
    testing.run(function(root)
      local s, log = semaphore.new(4), {}
      assert(s:acquire(root, 2))
      coroutine.close(waiter(s, root, 4))
      assert.is_true(s:try_acquire())
      s:release()
      coroutine.close(waiter(s, root, 4))
      asker(s, log)("b", root)
      settle(root)
      assert.same({ "b" }, log)
      local co = waiter(s, root, 4)
      asker(s, log)("c", root)
      settle(root)
      coroutine.close(co)
      s:release()
      settle(root)
      assert.same({ "b", "c" }, log)
    end)
  end)

  -- Cause: a dead end was called one although a closed coroutine held what another waited for.
  -- Cure: the records of closed coroutines are looked through first.
  it("makes no dead end", function()
    testing.run(function(root)
      local s = semaphore.new(4)
      assert(s:acquire(root, 2))
      local co = waiter(s, root, 4)
      local task = ctx.go(function() return s:acquire(root) end)
      settle(root)
      coroutine.close(co)
      assert.is_true(task:wait())
    end)
  end)

  it("or resumed by someone else gives its place, or its units, to the next", function()
    for _, released_first in ipairs({ false, true }) do
      testing.run(function(root)
        local s, log = semaphore.new(1), {}
        assert(s:acquire(root))
        local co = waiter(s, root)
        asker(s, log)("b", root)
        settle(root)
        if released_first then s:release() end
        local ok, message = coroutine.resume(co)
        assert.is_false(ok)
        assert.truthy(tostring(message):find("resumed by someone else", 1, true))
        if not released_first then s:release() end
        settle(root)
        assert.same({ "b" }, log)
      end)
    end
  end)
end)

describe("units that change hands outside the scheduler's turn", function()
  local background = ctx.background()

  --- A task that acquires one unit; whether it got it after some turns of luv's own loop.
  local function next_in_line(s)
    local log = {}
    asker(s, log)("next", background)
    ctx.sleep(background, 0)
    return function()
      for _ = 1, 3 do
        uv.run("nowait")
      end
      return log[1] == "next"
    end
  end

  -- Cause: what the main thread, and a coroutine that was resumed by others, gave back was passed
  -- on, but nobody told the loop that there is work. Cure: they do.
  it("are passed on when the main thread cannot have them", function()
    local s = semaphore.new(1)
    assert(s:acquire(background))
    local c, cancel = ctx.with_cancel(background)
    local log = {}
    ctx.go(function()
      asker(s, log)("next", background) -- behind the main thread
      coroutine.yield()
      s:release()
      coroutine.yield() -- meanwhile the main thread is given the unit
      cancel()
    end)
    assert.same({ nil, ctx.canceled }, { s:acquire(c) })
    for _ = 1, 3 do
      uv.run("nowait")
    end
    assert.same({ "next" }, log)
    s:release()
  end)

  it("are passed on when the first in the queue is resumed by someone else", function()
    local s = semaphore.new(4)
    assert(s:acquire(background, 2))
    local co = coroutine.create(function() s:acquire(background, 4) end)
    assert(coroutine.resume(co))
    local has_got_it = next_in_line(s)
    assert.is_false(has_got_it())
    assert.is_false((coroutine.resume(co)))
    assert.is_true(has_got_it())
    s:release(3)
    assert.equal(0, (s:held()))
  end)
end)

describe("a task that is abandoned in a dead end", function()
  it("gives its place back", function()
    local s = semaphore.new(2)
    local ok = pcall(testing.run, function(root)
      local forever = ctx.without_cancel(root)
      assert(s:acquire(forever))
      ctx.go(function() s:acquire(forever, 2) end)
      s:acquire(forever, 2)
    end)
    assert.is_false(ok)
    assert.same({ 1, 2 }, { s:held() })
    assert.is_true(s:try_acquire())
  end)
end)

describe("nothing of a semaphore stays", function()
  it("once nobody uses it", function()
    testing.run(function(root)
      local before = core.counters()
      local s = semaphore.new(1)
      assert(s:acquire(root))
      for i = 1, 100 do
        local c, cancel = ctx.with_timeout(root, i)
        ctx.go(function()
          assert.is_nil((s:acquire(c)))
          cancel()
        end)
      end
      ctx.sleep(root, 200)
      s:release()
      local after = core.counters()
      for _, name in ipairs({ "watchers", "linked", "deadlines", "parked", "tasks" }) do
        assert.equal(before[name], after[name], name)
      end
    end)
  end)
end)
