-- SPDX-License-Identifier: MIT
-- What must not grow, and what must not recurse. In a file of its own, so that runs which make
-- every allocation expensive can leave it out.
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local growth = require "spec.support.growth"
local testing = require "ctx.testing"

local background = ctx.background()
local CHAIN, MILLION = 100000, 1000000

--- What stays of a million calls, in kilobytes for each fifth of them.
local function growth_of_million(make)
  local i = 0
  return growth(function()
    for _ = 1, MILLION // 5 do
      i = i + 1
      make(i)
    end
  end)
end

describe("a million children of one parent, one after another, leave memory flat:", function()
  local parent, cancel_parent, stop
  before_each(function()
    parent, cancel_parent = ctx.with_cancel(background)
    stop = ctx.after_func(parent, function() end)
  end)
  after_each(function()
    stop()
    cancel_parent()
  end)

  it("with_cancel", function()
    local more = growth_of_million(function()
      local _, cancel = ctx.with_cancel(parent)
      cancel()
    end)
    assert.is_true(more < 64, more .. " KiB more")
    assert.is_nil(parent:err())
  end)

  it("with_timeout", function()
    local more = growth_of_million(function(i)
      local _, cancel = ctx.with_timeout(parent, 10000 + i)
      cancel("done")
    end)
    assert.is_true(more < 64, more .. " KiB more")
  end)

  it("with_cancel with a function on each, stopped or run", function()
    local clock <close> = testing.clock()
    local runs = 0
    local function count() runs = runs + 1 end
    local more = growth_of_million(function(i)
      local c, cancel = ctx.with_cancel(parent)
      local stop_it = ctx.after_func(c, count)
      if i % 2 == 0 then
        stop_it()
      end
      cancel()
      if i % 100 == 0 then
        clock:settle()
      end
    end)
    assert.is_true(more < 64, more .. " KiB more")
    assert.equal(MILLION // 2, runs)
  end)

  it("with_value and without_cancel, never cancelled", function()
    local more = growth_of_million(function(i)
      ctx.without_cancel(ctx.with_value(parent, "key", i))
    end)
    assert.is_true(more < 64, more .. " KiB more")
  end)
end)

describe(("a chain of %d contexts"):format(CHAIN), function()
  --- The chain, the cancel of its top, and its leaf; a value at the top.
  local function chain(derive)
    local top, cancel = ctx.with_cancel(background)
    local leaf = ctx.with_value(top, "key", "at the top")
    local nodes = { top, leaf }
    for i = 3, CHAIN do
      leaf = derive(leaf, i)
      nodes[i] = leaf
    end
    return nodes, cancel, leaf
  end

  local function with_cancel(parent)
    return (ctx.with_cancel(parent))
  end

  it("is cancelled as one, without recursion", function()
    local nodes, cancel = chain(with_cancel)
    cancel("why")
    for i, c in ipairs(nodes) do
      if c:err() ~= ctx.canceled then
        error("number " .. i .. " is not done")
      end
    end
    for i = 1, CHAIN, CHAIN // 20 do
      assert.equal("why", nodes[i]:cause())
    end
  end)

  it("is cancelled as one when somebody waits at its end", function()
    local clock <close> = testing.clock()
    local _, cancel, leaf = chain(with_cancel)
    local cause
    ctx.after_func(leaf, function() cause = leaf:cause() end)
    cancel("why")
    clock:settle()
    assert.equal("why", cause)
  end)

  it("ends by a deadline at its top, asked for at its end", function()
    local clock <close> = testing.clock()
    local top = ctx.with_timeout(background, 100, "late")
    local leaf = top
    for i = 2, CHAIN do
      leaf = ctx.with_timeout(leaf, 100 + i)
    end
    clock:advance(99)
    assert.is_nil(leaf:err())
    clock:advance(1)
    assert.equal("late", leaf:cause())
  end)

  it("finds a value at its top, misses one that is not there, and tells its name", function()
    local _, cancel, leaf = chain(function(parent, i)
      return ctx.with_value(parent, i, i)
    end)
    assert.equal("at the top", leaf:value("key"))
    assert.equal(3, leaf:value(3))
    assert.is_nil(leaf:value("no such key"))
    local name = tostring(leaf)
    assert.equal("ctx.background.with_cancel.with_value", name:sub(1, 37))
    local _, parts = name:gsub("with_value", "")
    assert.equal(CHAIN - 1, parts)
    cancel()
  end)

  it("goes when its end goes", function()
    local more = growth(function() chain(with_cancel) end)
    assert.is_true(more < 64, more .. " KiB more")
  end)
end)

describe("a hundred thousand siblings", function()
  it("end together, each with its function, in the order of their birth", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_cancel(background)
    local ran, disorder = 0, 0
    for i = 1, CHAIN do
      ctx.after_func(ctx.with_cancel(parent), function()
        ran = ran + 1
        disorder = disorder + (ran ~= i and 1 or 0)
      end)
    end
    cancel()
    assert.equal(0, ran)
    clock:settle()
    assert.same({ CHAIN, 0 }, { ran, disorder })
  end)

  it("each end by a deadline of their own", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_cancel(background)
    local ran, early = 0, 0
    for i = 1, CHAIN do
      local ms = i * 7919 % 1000 + 1
      local c = ctx.with_timeout(parent, ms)
      ctx.after_func(c, function()
        ran = ran + 1
        early = early + (clock:now() < c:deadline() and 1 or 0)
      end)
    end
    clock:advance(500)
    assert.same({ CHAIN // 2, 0 }, { ran, early })
    cancel()
    clock:settle()
    assert.equal(CHAIN, ran)
  end)
end)

-- Cause: the handle or the group that failed got a finalizer then, and Lua looked for it from the
-- newest object on: 13 to 36 ms with a million younger ones. Fix: a new object has the finalizer.
describe("a failure costs no more when a million objects were made since the start:", function()
  local younger -- luacheck: ignore 241 (they are there, that is all)
  before_each(function() younger = {} end)
  after_each(function()
    younger = nil
    collectgarbage("restart")
  end)

  --- Fails if what `start` prepares, and gives, costs more with a million younger objects.
  local function assert_same_cost(root, start)
    local function cost_beside(objects)
      local fail = start()
      collectgarbage("stop") -- it looks at each object, too
      younger = {}
      for i = 1, objects do
        younger[i] = { i }
      end
      local began = os.clock()
      fail(root)
      local spent = os.clock() - began
      collectgarbage("restart")
      return math.max(spent, 5e-4) -- what caches do to so short a time is not looked at
    end
    cpu.at_most(6, function() return cost_beside(0) end, function()
      return cost_beside(MILLION)
    end)
  end

  it("of a group", function()
    testing.run(function(root)
      assert_same_cost(root, function()
        local g = errgroup.with_context(root)
        return function()
          g:go(function() return nil, "failed" end)
          g:wait()
        end
      end)
    end)
  end)

  it("of a task", function()
    testing.run(function(root)
      assert_same_cost(root, function()
        local task = ctx.go(function()
          ctx.sleep(root, 1)
          error("failed")
        end)
        return function()
          ctx.sleep(root, 2)
          assert(task:status() == "failed")
          task:wait()
        end
      end)
    end)
  end)
end)
