-- SPDX-License-Identifier: MIT
-- Leaving the scope of a group cancels it and waits for its tasks, on every path.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local testing = require "ctx.testing"

local function nothing() end

--- Starts a task that ends, by its own time, only some ms after it was told to; `state` shows it.
local function stubborn(root, g, gctx, state)
  state.running = (state.running or 0) + 1
  g:go(function()
    state.err = gctx:wait()
    ctx.sleep(root, 25)
    state.running = state.running - 1
  end)
end

describe("leaving the scope of a group cancels it and waits,", function()
  --- Runs scope(root, state) in a task, and then sees whether its group's task is over.
  local function leaves_nothing(scope)
    testing.run(function(root, clock)
      local state = {}
      scope(root, state)
      assert.same({ 0, ctx.canceled, 25 }, { state.running, state.err, clock:elapsed() })
    end)
  end

  it("at its end", function()
    leaves_nothing(function(root, state)
      local g <close>, gctx = errgroup.with_context(root)
      stubborn(root, g, gctx, state)
      stubborn(root, g, gctx, state)
      ctx.sleep(root, 0)
    end)
  end)

  it("by an error, which becomes the cause and goes on", function()
    leaves_nothing(function(root, state)
      local cause
      local ok, err = pcall(function()
        local g <close>, gctx = errgroup.with_context(root)
        ctx.after_func(gctx, function() cause = gctx:cause() end)
        stubborn(root, g, gctx, state)
        ctx.sleep(root, 0)
        error("on the way", 0)
      end)
      assert.same({ false, "on the way", "on the way" }, { ok, err, cause })
    end)
  end)

  it("by break, and by goto", function()
    leaves_nothing(function(root, state)
      for _ = 1, 3 do
        local g <close>, gctx = errgroup.with_context(root)
        stubborn(root, g, gctx, state)
        ctx.sleep(root, 0)
        if state then break end
      end
      assert.equal(0, state.running)
    end)
    leaves_nothing(function(root, state)
      do
        local g <close>, gctx = errgroup.with_context(root)
        stubborn(root, g, gctx, state)
        ctx.sleep(root, 0)
        goto out
      end
      ::out::
    end)
  end)

  it("by return, whose values stay", function()
    leaves_nothing(function(root, state)
      local function scope()
        local g <close>, gctx = errgroup.with_context(root)
        stubborn(root, g, gctx, state)
        ctx.sleep(root, 0)
        return 1, nil, 3
      end
      assert.same({ n = 3, 1, nil, 3 }, table.pack(scope()))
    end)
  end)

  it("in a task, and in a task of another group", function()
    leaves_nothing(function(root, state)
      ctx.go(function()
        local outer <close> = errgroup.new()
        outer:go(function()
          local g <close>, gctx = errgroup.with_context(root)
          stubborn(root, g, gctx, state)
          ctx.sleep(root, 0)
        end)
      end):wait()
    end)
  end)

  it("in a coroutine of somebody else's", function()
    leaves_nothing(function(root, state)
      local left = false
      coroutine.wrap(function()
        do
          local g <close>, gctx = errgroup.with_context(root)
          stubborn(root, g, gctx, state)
          ctx.sleep(root, 0)
        end
        left = true
      end)()
      ctx.sleep(root, 25)
      ctx.sleep(root, 0) -- the task has ended, the word of it is on its way
      assert.is_true(left)
    end)
  end)

  it("on the main thread", function()
    local clock <close> = testing.clock()
    local state = {}
    do
      local g <close>, gctx = errgroup.with_context(ctx.background())
      stubborn(ctx.background(), g, gctx, state)
      ctx.sleep(ctx.background(), 0)
    end
    assert.same({ 0, 25 }, { state.running, clock:elapsed() })
  end)

  it("when the task that holds it ends with an error", function()
    leaves_nothing(function(root, state)
      local _, err = ctx.go(function()
        local g <close>, gctx = errgroup.with_context(root)
        stubborn(root, g, gctx, state)
        ctx.sleep(root, 0)
        error("broken", 0)
      end):wait()
      assert.equal("broken", err)
    end)
  end)

  it("also those tasks that another coroutine starts while it waits", function()
    testing.run(function(root)
      local late = {}
      local starter
      do
        local g <close>, gctx = errgroup.with_context(root)
        g:go(ctx.sleep, root, 10)
        -- Wakes in the turn in which the scope would be left, and before it.
        starter = ctx.go(function()
          ctx.sleep(root, 10)
          stubborn(root, g, gctx, late)
        end)
        ctx.sleep(root, 0)
      end
      starter:wait()
      assert.equal(0, late.running)
    end)
  end)

  it("when nothing was ever started", function()
    testing.run(function(root, clock)
      local own
      do
        local g <close>, gctx = errgroup.with_context(root)
        assert.same({}, g:errors())
        own = gctx
      end
      assert.same({ ctx.canceled, 0 }, { own:err(), clock:elapsed() })
    end)
  end)

  it("and of a group without a context only waits", function()
    testing.run(function(root, clock)
      do
        local g <close> = errgroup.new()
        g:go(ctx.sleep, root, 10)
      end
      assert.equal(10, clock:elapsed())
    end)
  end)

  it("and tells those who wait for a place", function()
    testing.run(function(root)
      local answer
      do
        local g <close>, gctx = errgroup.with_context(root)
        g:set_limit(1)
        stubborn(root, g, gctx, {})
        ctx.go(function() answer = table.pack(g:go(nothing)) end)
        ctx.sleep(root, 0)
      end
      assert.same({ n = 2, nil, ctx.canceled }, answer)
    end)
  end)
end)

describe("a scope that is left while its group has failed", function()
  --- What is reported by and by when a scope is left like this.
  local function reported(scope)
    local list = {}
    local previous = ctx.set_report(function(message)
      list[#list + 1] = message:match("^[^\n]*")
    end)
    local ok, err = pcall(testing.run, scope)
    collectgarbage()
    collectgarbage()
    ctx.set_report(previous)
    return list, ok, err
  end

  it("reports the error at once if nobody has asked for it", function()
    local list, ok = reported(function(root)
      local g <close> = errgroup.with_context(root)
      g:go(function() return nil, "unheard" end)
      ctx.sleep(root, 1)
    end)
    assert.is_true(ok)
    assert.same({ "a group failed, and nobody waited for it: unheard" }, list)
  end)

  it("reports it beside another error of the scope's own, but not beside itself", function()
    local function leave_with(raise)
      return reported(function(root)
        local g <close>, gctx = errgroup.with_context(root)
        g:go(function() return nil, errors.new("of a task") end)
        ctx.sleep(root, 1)
        raise(gctx)
      end)
    end
    local list, ok, err = leave_with(function() error("of the scope", 0) end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("of the scope", 1, true))
    assert.same({ "a group failed, and nobody waited for it: of a task" }, list)
    list, ok, err = leave_with(function(gctx)
      local _, canceled = ctx.sleep(gctx, 1)
      error(canceled, 0)
    end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("of a task", 1, true))
    for _, message in ipairs(list) do
      assert.is_nil(message:find("nobody waited", 1, true))
    end
  end)
end)
