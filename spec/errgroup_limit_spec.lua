-- SPDX-License-Identifier: MIT
-- Limits: how many tasks of a group run at a time, and which wait for a place.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local new_random = require "spec.support.random"
local testing = require "ctx.testing"

local function nothing() end

--- A function that notes how many of its kind run at once, in `seen`.
local function counted(c, ms, seen)
  seen.now, seen.most, seen.total = 0, 0, 0
  return function()
    seen.now, seen.total = seen.now + 1, seen.total + 1
    seen.most = math.max(seen.most, seen.now)
    ctx.sleep(c, ms)
    seen.now = seen.now - 1
  end
end

--- A group with one place, which a task holds until `ms` have passed.
local function full(root, ms, ...)
  local g, gctx = errgroup.with_context(root)
  local results = table.pack(...)
  g:set_limit(1)
  g:go(function()
    ctx.sleep(root, ms)
    return table.unpack(results, 1, results.n)
  end)
  return g, gctx
end

describe("a limit", function()
  it("is kept, and go waits for a place", function()
    testing.run(function(root, clock)
      local g = errgroup.with_context(root)
      g:set_limit(3)
      local seen = {}
      local task = counted(root, 10, seen)
      for _ = 1, 12 do
        assert.is_true(g:go(task))
      end
      assert.is_true(g:wait())
      assert.same({ 3, 12, 40 }, { seen.most, seen.total, clock:elapsed() })
    end)
  end)

  it("that is negative is none", function()
    testing.run(function(root, clock)
      local g = errgroup.new()
      g:set_limit(1)
      g:set_limit(-1)
      local seen = {}
      local task = counted(root, 10, seen)
      for _ = 1, 100 do
        g:go(task)
      end
      g:wait()
      assert.same({ 100, 10 }, { seen.most, clock:elapsed() })
    end)
  end)

  it("of zero lets nobody begin", function()
    testing.run(function(root)
      local g = errgroup.with_context(root)
      g:set_limit(0)
      assert.is_false(g:try_go(nothing))
      local answer
      ctx.go(function() answer = table.pack(g:go(nothing)) end)
      ctx.sleep(root, 10)
      assert.is_nil(answer)
      assert.is_true(g:wait())
      ctx.sleep(root, 1)
      assert.same({ n = 2, nil, ctx.canceled }, answer)
    end)
  end)

  it("cannot be set while tasks run or wait to begin", function()
    testing.run(function(root)
      local g = full(root, 10)
      misuse.raises(function() g:set_limit(2) end, "set_limit", "1 task(s) are running")
      ctx.go(function() g:go(nothing) end)
      g:wait()
      g:set_limit(0)
      ctx.go(function() g:go(nothing) end)
      ctx.sleep(root, 1)
      g:set_limit(2) -- its context is done: nobody waits
      assert.is_true(g:try_go(nothing))
      g:wait()
      local gate = errgroup.with_context(root)
      gate:set_limit(0)
      ctx.go(function() gate:go(nothing) end)
      ctx.sleep(root, 1)
      misuse.raises(function() gate:set_limit(2) end, "set_limit", "wait to begin")
      gate:wait()
    end)
  end)

  it("makes try_go false; a place is free before the wait is over", function()
    testing.run(function(root)
      local g = full(root, 10)
      assert.is_false(g:try_go(nothing))
      assert.is_true(g:wait())
      assert.is_true(g:try_go(nothing))
      assert.is_true(g:wait())
    end)
  end)
end)

describe("a task that waits for a place", function()
  it("gets it in the order of asking, with the arguments", function()
    testing.run(function(root)
      local g = full(root, 10)
      local order = {}
      for i = 1, 5 do
        ctx.go(function()
          assert(g:go(function(...) order[#order + 1] = table.concat({ ... }, " ") end, i, "of 5"))
        end)
      end
      assert.is_false(g:try_go(nothing))
      ctx.sleep(root, 20)
      g:wait()
      assert.same({ "1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5" }, order)
    end)
  end)

  it("is told when the group's context ends, by whom and why (Go would hang)", function()
    testing.run(function(root, clock)
      local failure = errors.new("broken")
      local g = full(root, 10, nil, failure)
      local ran = false
      local ok, err = g:go(function() ran = true end)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.canceled) and errors.is(err, failure))
      assert.equal(10, clock:elapsed())
      g:wait()
      assert.is_false(ran)
    end)
  end)

  it("is told of a deadline above, too", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 30)
      local g = full(root, 100)
      local other = errgroup.with_context(c)
      other:set_limit(1)
      other:go(function() g:wait() end)
      local ok, err = other:go(nothing)
      assert.same({ nil, ctx.deadline_exceeded, 30 }, { ok, err, clock:elapsed() })
      ok, err = other:go(nothing)
      assert.same({ nil, ctx.deadline_exceeded, 30 }, { ok, err, clock:elapsed() })
      other:wait()
    end)
  end)

  it("without a context of the group waits for the place alone", function()
    testing.run(function(root, clock)
      local g = errgroup.new()
      g:set_limit(1)
      g:go(function()
        ctx.sleep(root, 10)
        return nil, "broken"
      end)
      assert.is_true(g:go(nothing))
      assert.equal(10, clock:elapsed())
      assert.same({ nil, "broken" }, { g:wait() })
    end)
  end)

  it("may be the main thread", function()
    local clock <close> = testing.clock()
    local g = full(ctx.background(), 10)
    local ran = false
    assert.is_true(g:go(function() ran = true end))
    assert.equal(10, clock:elapsed())
    assert.is_true(g:wait())
    assert.is_true(ran)
  end)

  it("may be a coroutine of somebody else's", function()
    testing.run(function(root)
      local g = full(root, 10)
      local ran, answer
      coroutine.wrap(function()
        answer = g:go(function() ran = true end)
      end)()
      ctx.sleep(root, 20)
      assert.same({ true, true }, { answer, ran })
      g:wait()
    end)
  end)

  it("and is closed leaves its place in the queue to the next", function()
    testing.run(function(root)
      local g = full(root, 10)
      local ran = {}
      local cos = {}
      for i = 1, 3 do
        cos[i] = coroutine.create(function() g:go(function() ran[#ran + 1] = i end) end)
        assert(coroutine.resume(cos[i]))
      end
      coroutine.close(cos[1])
      ctx.sleep(root, 9)
      coroutine.close(cos[2])
      ctx.sleep(root, 5)
      assert.is_true(g:wait())
      assert.same({ 3 }, ran)
    end)
  end)

  it("and is closed when it was given the place gives it back", function()
    testing.run(function(root)
      local g = full(root, 10)
      local co = coroutine.create(function() g:go(function() error("closed") end) end)
      assert(coroutine.resume(co))
      local closer = ctx.go(function()
        ctx.sleep(root, 10)
        coroutine.close(co) -- in the turn in which the task ends
      end)
      ctx.sleep(root, 20)
      closer:wait()
      assert.is_true(g:try_go(nothing))
      assert.is_true(g:wait())
    end)
  end)

  it("and is abandoned in a dead end gives its place back", function()
    local g
    pcall(testing.run, function(root)
      g = errgroup.new()
      g:set_limit(1)
      g:go(function() ctx.without_cancel(root):wait() end)
      g:go(nothing)
    end)
    assert.is_true(g:try_go(nothing))
    assert.is_nil((g:wait()))
  end)
end)

describe("at random", function()
  it("the limit is kept, every task runs once, and nothing is left", function()
    local seed = os.time()
    for round = 1, 30 do
      local ok, problem = pcall(testing.run, function(root)
        local random = new_random(seed + round)
        local g = errgroup.new()
        local limit, seen = random(5), {}
        g:set_limit(limit)
        local task = counted(root, random(4) - 1, seen)
        local spawners = errgroup.with_context(root)
        local wanted = 0
        for _ = 1, random(20) do
          local n = random(6)
          wanted = wanted + n
          spawners:go(function()
            for _ = 1, n do
              ctx.sleep(root, random(3) - 1)
              assert(g:go(task))
            end
          end)
        end
        assert(spawners:wait())
        assert(g:wait())
        assert.is_true(seen.most <= limit)
        assert.same({ wanted, 0 }, { seen.total, seen.now })
      end)
      if not ok then
        error(("seed %d: %s"):format(seed + round, tostring(problem)), 0)
      end
    end
  end)
end)
