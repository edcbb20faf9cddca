-- SPDX-License-Identifier: MIT
-- A context that is dropped without its cancel having been called is taken back, and counted.
local ctx = require "ctx"
local collected = require "spec.support.collected"
local core = require "ctx.core"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local background = ctx.background()

local function lost()
  collectgarbage()
  collectgarbage()
  return core.counters().lost
end

--- How many cancels were lost by what `fn` dropped.
local function lost_by(fn)
  local before = lost()
  fn()
  return lost() - before
end

describe("a context that is dropped without its cancel", function()
  it("is taken back by the collector, and counted", function()
    assert.is_true(collected(function() return (ctx.with_cancel(background)) end))
    assert.is_true(collected(function() return (ctx.with_timeout(background, 1e9)) end))
    assert.equal(2, lost_by(function()
      ctx.with_cancel(background)
      ctx.with_timeout(background, 1e9)
    end))
  end)

  -- Cause: ctx.any did not enter what it made among the live contexts. Cure: it does.
  it("is counted when it is done with the first of several, too", function()
    assert.is_true(collected(function() return (ctx.any(background)) end))
    assert.equal(2, lost_by(function()
      ctx.any(background)
      ctx.any(background, ctx.todo())
    end))
  end)

  it("is counted each time, also in their thousands", function()
    assert.equal(5000, lost_by(function()
      for _ = 1, 5000 do ctx.with_cancel(background) end
    end))
  end)

  it("is counted below a parent that lives", function()
    local parent, cancel = ctx.with_cancel(background)
    assert.equal(1, lost_by(function() ctx.with_cancel(ctx.with_value(parent, "key", 1)) end))
    cancel()
  end)

  -- Cause: to note the line of a context made a string while its slot was chosen and not yet taken;
  -- a finalizer that ran then made a context in the same slot, and the list of free ones broke.
  -- Cure: the line comes first. A long name: Lua makes a string of it each time.
  it("is counted also while finalizers make contexts, under ctx.debug", function()
    local before = ctx.debug(true)
    local cancels = {}
    local late = { __gc = function()
      cancels[#cancels + 1] = select(2, ctx.with_cancel(background))
    end }
    local chunk = assert(load([[
      local make, parent, late = ...
      for _ = 1, 2000 do
        setmetatable({}, late)
        local c, cancel <close> = make(parent)
      end]], "@" .. ("a name as long as a path "):rep(4)))
    local mode = collectgarbage("generational")
    local lost_then = lost_by(function() chunk(ctx.with_cancel, background, late) end)
    collectgarbage(mode)
    for _, cancel in ipairs(cancels) do cancel() end
    ctx.debug(before)
    assert.equal(0, lost_then)
  end)

  it("is reported with the line that made it, under ctx.debug", function()
    local before = ctx.debug()
    local line
    local list = reports(function()
      lost() -- what others left is counted now
      ctx.debug(true)
      line = debug.getinfo(1, "l").currentline + 1
      ctx.with_timeout(background, 1e9)
      lost()
    end)
    ctx.debug(before)
    assert.equal(1, #list)
    assert.equal("lost_cancel", list[1].kind)
    assert.matches("lost_cancel_spec.lua:" .. line .. " was collected", list[1].message, 1, true)
  end)

  it("is not reported otherwise", function()
    local before = ctx.debug()
    ctx.debug(false)
    local list = reports(function()
      ctx.with_cancel(background)
      lost()
    end)
    ctx.debug(before)
    assert.same({}, list)
  end)

  -- Cause: a place in the table of live contexts kept the line of the last context that was made
  -- there under debug. Cure: turning debug on or off forgets all lines.
  it("is not reported with the line of another", function()
    local before = ctx.debug()
    local list = reports(function()
      lost()
      ctx.debug(true)
      for _ = 1, 100 do
        local _, cancel = ctx.with_cancel(background)
        cancel()
      end
      ctx.debug(false)
      for _ = 1, 100 do ctx.with_cancel(background) end
      ctx.debug(true)
      lost()
    end)
    ctx.debug(before)
    assert.same({}, list)
  end)
end)

describe("a context that was cancelled", function()
  it("is never counted: by its cancel, its scope, with, or an ancestor's scope", function()
    assert.equal(0, lost_by(function()
      local _, cancel = ctx.with_cancel(background)
      cancel()
      do local _, scope <close> = ctx.with_timeout(background, 1e9) end
      local c, by_hand = ctx.with_cancel(background)
      ctx.with(c, by_hand, function() end)
      do local _, scope <close> = ctx.any(background, c) end
      local _, cancel_any = ctx.any(background, ctx.todo())
      cancel_any()
    end))
  end)

  it("is not counted when its deadline passed before, and cancel came after", function()
    local clock <close> = testing.clock()
    assert.equal(0, lost_by(function()
      local _, cancel = ctx.with_timeout(background, 10)
      clock:advance(20)
      cancel()
    end))
  end)

  it("is not counted where no cancel is owed: values, without_cancel, the roots", function()
    assert.equal(0, lost_by(function()
      ctx.with_value(background, "key", 1)
      ctx.without_cancel(background)
      ctx.background()
    end))
  end)
end)

describe("a context is not collected", function()
  --- Makes a context with `use`, lets go of it, and answers a function that tells whether it is
  --- still there.
  local function dropped(use)
    local weak = setmetatable({}, { __mode = "v" })
    local function make()
      local c, cancel = ctx.with_timeout(background, 100)
      weak.c = c
      use(c, cancel)
    end
    make()
    collectgarbage()
    collectgarbage()
    return function()
      collectgarbage()
      collectgarbage()
      return weak.c ~= nil
    end
  end

  it("while a task or a coroutine waits on it", function()
    local clock <close> = testing.clock()
    local is_there = dropped(function(c)
      ctx.go(function() c:wait() end)
      coroutine.wrap(function() c:wait() end)()
    end)
    clock:settle()
    assert.is_true(is_there())
    clock:advance(100)
    assert.is_false(is_there())
  end)

  it("while a coroutine waits on what is below it", function()
    local clock <close> = testing.clock()
    local is_there = dropped(function(c)
      coroutine.wrap(function() ctx.sleep(ctx.with_cancel(ctx.with_value(c, 1, 1)), 1e6) end)()
    end)
    assert.is_true(is_there())
    clock:advance(100)
    assert.is_false(is_there())
  end)

  it("while an after-func is registered on it", function()
    local clock <close> = testing.clock()
    local ran, stop = 0, nil
    local is_there = dropped(function(c)
      ctx.after_func(c, function() ran = ran + 1 end)
    end)
    local is_there_too = dropped(function(c)
      stop = ctx.after_func(c, function() ran = ran + 1 end)
    end)
    assert.is_true(is_there() and is_there_too())
    assert.is_true(stop())
    stop = nil -- luacheck: ignore
    assert.is_false(is_there_too())
    clock:advance(100)
    assert.equal(1, ran)
    assert.is_false(is_there())
  end)

  it("while a task that waits for something else has it", function()
    local clock <close> = testing.clock()
    local is_there = dropped(function(c)
      ctx.go(function(mine)
        ctx.sleep(background, 50)
        return mine
      end, c)
    end)
    clock:advance(1)
    assert.is_true(is_there())
    clock:advance(50)
    assert.is_false(is_there())
  end)

  it("while its cancel is held", function()
    local kept
    local is_there = dropped(function(_, cancel) kept = cancel end)
    assert.is_true(is_there())
    kept()
    kept = nil -- luacheck: ignore
    assert.is_false(is_there())
  end)
end)

describe("a cancel that a finalizer calls", function()
  it("is harmless, and in time: it is not lost", function()
    assert.is_true(lost_by(function()
      for _ = 1, 100 do
        local c, cancel = ctx.with_cancel(background)
        setmetatable({ c }, { __gc = function() cancel("from a finalizer") end })
      end
    end) <= 100)
    collectgarbage()
    local c, cancel = ctx.with_cancel(background)
    assert.is_nil(c:err())
    cancel()
  end)

  it("does not take away the place of a context that came after", function()
    local clock <close> = testing.clock()
    local cause
    do
      local _, cancel = ctx.with_cancel(background)
      setmetatable({}, { __gc = function()
        core.counters() -- counts as lost what only this finalizer holds
        local others = {}
        for i = 1, 200 do others[i] = { ctx.with_cancel(background) } end
        cancel()
        for i = 1, 200 do others[i][2](i) end
        cause = others[200][1]:cause()
      end })
    end
    collectgarbage()
    collectgarbage()
    clock:settle()
    assert.equal(200, cause)
  end)

  it("wakes those who wait, in their turn", function()
    local clock <close> = testing.clock()
    local woken
    do
      local c, cancel = ctx.with_cancel(background)
      coroutine.wrap(function()
        c:wait()
        woken = c:cause()
      end)()
      setmetatable({}, { __gc = function() cancel("from a finalizer") end })
    end
    collectgarbage()
    collectgarbage()
    clock:settle()
    assert.equal("from a finalizer", woken)
  end)
end)
