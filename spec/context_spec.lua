-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local collected = require "spec.support.collected"
local random = require "spec.support.random"
local testing = require "ctx.testing"

local background = ctx.background()

describe("the two roots", function()
  it("are two, each with a name, and always the same", function()
    assert.is_true(rawequal(ctx.background(), ctx.background()))
    assert.is_true(rawequal(ctx.todo(), ctx.todo()))
    assert.is_false(rawequal(ctx.background(), ctx.todo()))
    assert.equal("ctx.background", tostring(ctx.background()))
    assert.equal("ctx.todo", tostring(ctx.todo()))
  end)

  it("are never done", function()
    local clock <close> = testing.clock()
    for _, root in ipairs({ ctx.background(), ctx.todo() }) do
      local _, cancel = ctx.with_cancel(root)
      cancel("of a child")
      clock:advance(1e9)
      assert.is_nil(root:err())
      assert.is_nil(root:cause())
      assert.is_false(root:done())
      assert.is_nil(root:deadline())
      assert.equal(math.huge, root:remaining())
    end
  end)
end)

describe("cancel", function()
  it("ends the context", function()
    local c, cancel = ctx.with_cancel(background)
    assert.is_nil(c:err())
    assert.is_false(c:done())
    cancel()
    assert.is_true(rawequal(ctx.canceled, c:err()))
    assert.is_true(rawequal(ctx.canceled, c:cause()))
    assert.is_true(c:done())
  end)

  it("the first one wins; err and cause are set together and stay", function()
    local first, second = errors.new("first"), errors.new("second")
    local c, cancel = ctx.with_cancel(background)
    cancel(first)
    cancel(second)
    cancel()
    assert.is_true(rawequal(ctx.canceled, c:err()))
    assert.is_true(rawequal(first, c:cause()))
  end)

  it("a cancel without a cause is a first one, too", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    cancel("too late")
    assert.is_true(rawequal(ctx.canceled, c:cause()))
  end)

  it("is what leaving the scope does", function()
    local kept
    do
      local c, cancel <close> = ctx.with_cancel(background)
      kept = c
      assert.is_nil(c:err())
    end
    assert.is_true(rawequal(ctx.canceled, kept:err()))
    assert.is_true(rawequal(ctx.canceled, kept:cause()))
  end)

  it("works when only the cancel is held, and not the context", function()
    local leaf, cancel
    do
      local top
      top, cancel = ctx.with_cancel(background)
      leaf = ctx.with_cancel((ctx.with_cancel(top)))
    end
    collectgarbage()
    cancel("why")
    assert.equal("why", leaf:cause())
  end)
end)

-- top ── a ── a1 ── a2
--     ├─ b
--     └─ v (value) ── b1
describe("a cancelled subtree", function()
  local function tree()
    local t, cancel = {}, {}
    t.top, cancel.top = ctx.with_cancel(background)
    t.a, cancel.a = ctx.with_cancel(t.top)
    t.a1, cancel.a1 = ctx.with_timeout(t.a, 1000)
    t.a2, cancel.a2 = ctx.with_cancel(t.a1)
    t.b, cancel.b = ctx.with_cancel(t.top)
    t.v = ctx.with_value(t.top, "key", "value")
    t.b1, cancel.b1 = ctx.with_cancel(t.v)
    return t, cancel
  end

  it("is done in whole when cancel() returns", function()
    local t, cancel = tree()
    cancel.top("why")
    for name, c in pairs(t) do
      assert.is_true(rawequal(ctx.canceled, c:err()), name)
      assert.equal("why", c:cause(), name)
    end
  end)

  it("also where somebody waits, in any order of asking", function()
    local clock <close> = testing.clock()
    local t, cancel = tree()
    local seen = {}
    for name, c in pairs(t) do
      ctx.after_func(c, function() seen[name] = c:cause() end)
    end
    cancel.top("why")
    assert.equal("why", t.a2:cause())
    assert.equal("why", t.v:cause())
    clock:settle()
    for name in pairs(t) do
      assert.equal("why", seen[name], name)
    end
  end)

  it("leaves its siblings and its parents alone", function()
    local t, cancel = tree()
    cancel.a("why")
    for _, name in ipairs({ "a", "a1", "a2" }) do
      assert.equal("why", t[name]:cause())
    end
    for _, name in ipairs({ "top", "b", "v", "b1" }) do
      assert.is_nil(t[name]:err())
      assert.is_nil(t[name]:cause())
    end
    cancel.top()
  end)

  it("reaches through value contexts, which are no nodes of their own", function()
    local t, cancel = tree()
    cancel.b1("b1 only")
    assert.is_nil(t.v:err())
    cancel.top("all")
    assert.equal("b1 only", t.b1:cause())
    assert.equal("all", t.v:cause())
    assert.is_true(t.v:done())
  end)
end)

describe("a child of a done parent", function()
  it("is born done with its err and cause", function()
    local parent, cancel = ctx.with_cancel(background)
    cancel("why")
    local derived = {
      with_cancel = ctx.with_cancel(parent),
      with_timeout = ctx.with_timeout(parent, 1000, "unused"),
      with_value = ctx.with_value(parent, "key", "value"),
      any = ctx.any(parent, background),
    }
    for name, c in pairs(derived) do
      assert.is_true(rawequal(ctx.canceled, c:err()), name)
      assert.equal("why", c:cause(), name)
    end
  end)

  it("keeps that cause, whatever cancel it gets", function()
    local parent, cancel = ctx.with_cancel(background)
    cancel("why")
    local child, cancel_child = ctx.with_cancel(parent)
    cancel_child("another")
    assert.equal("why", child:cause())
  end)

  it("of a deadline, too", function()
    local parent = ctx.with_timeout(background, 0, "late")
    local child = ctx.with_cancel(parent)
    assert.is_true(rawequal(ctx.deadline_exceeded, child:err()))
    assert.equal("late", child:cause())
  end)

  it("hangs on nothing", function()
    local parent, cancel = ctx.with_cancel(background)
    cancel()
    assert.is_true(collected(function() return (ctx.with_cancel(parent)) end))
    assert.is_nil(background:err())
  end)
end)

describe("a parent forgets", function()
  local parent, cancel_parent, stop
  before_each(function()
    parent, cancel_parent = ctx.with_cancel(background)
    stop = ctx.after_func(parent, function() end) -- so that the parent has a list to be left in
  end)
  after_each(function()
    stop()
    cancel_parent()
  end)

  it("a child that was cancelled", function()
    assert.is_true(collected(function()
      local c, cancel = ctx.with_cancel(parent)
      ctx.after_func(c, function() end)()
      cancel()
      return c
    end))
  end)

  it("a child with a deadline that was cancelled", function()
    assert.is_true(collected(function()
      local c, cancel = ctx.with_timeout(parent, 1000)
      ctx.after_func(c, function() end)()
      cancel()
      return c
    end))
  end)

  it("a function that was stopped", function()
    assert.is_true(collected(function()
      local function fn() return parent end
      ctx.after_func(parent, fn)()
      return fn
    end))
  end)

  it("an `any` that was cancelled", function()
    assert.is_true(collected(function()
      local c, cancel = ctx.any(parent, background)
      cancel()
      return c
    end))
  end)

  it("a detached context", function()
    assert.is_true(collected(function() return ctx.without_cancel(parent) end))
  end)
end)

describe("without_cancel", function()
  it("has no deadline, no err and no cause, before and after its parent's end", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_timeout(background, 100, "late")
    local before = ctx.without_cancel(parent)
    cancel("why")
    local after = ctx.without_cancel(parent)
    clock:advance(1000)
    for _, c in ipairs({ before, after }) do
      assert.is_nil(c:deadline())
      assert.equal(math.huge, c:remaining())
      assert.is_nil(c:err())
      assert.is_nil(c:cause())
      assert.is_false(c:done())
    end
  end)

  it("is the root of a fresh tree", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_cancel(background)
    local detached = ctx.without_cancel(parent)
    local child, cancel_child = ctx.with_cancel(detached)
    local timed = ctx.with_timeout(detached, 100, "late")
    cancel("why")
    assert.is_nil(child:err())
    cancel_child("child only")
    assert.equal("child only", child:cause())
    clock:advance(100)
    assert.equal("late", timed:cause())
    assert.is_nil(detached:err())
  end)

  it("lets values pass, and loses those that come after it to nobody", function()
    local key = ctx.key("trace")
    local c = ctx.without_cancel(ctx.with_value(background, key, "t1"))
    assert.equal("t1", c:value(key))
    assert.equal("t2", ctx.with_value(c, key, "t2"):value(key))
    assert.equal("t1", c:value(key))
  end)
end)

describe("cancels that cross", function()
  it("a hundred, in random order, from tasks, with a waiter on each", function()
    local seed = 100
    local draw = random(seed)
    testing.run(function(root)
      local nodes, cancels, waiters = { root }, {}, {}
      for i = 1, 100 do
        nodes[i + 1], cancels[i] = ctx.with_cancel(nodes[(i - 1) // 4 + 1])
        waiters[i] = ctx.go(function() return nodes[i + 1]:wait() end)
      end
      for i = #cancels, 1, -1 do
        local k = draw(i)
        cancels[i], cancels[k] = cancels[k], cancels[i]
        ctx.go(function() cancels[i]() end)
      end
      for i, waiter in ipairs(waiters) do
        assert.is_true(rawequal(ctx.canceled, waiter:wait()), ("seed %d, task %d"):format(seed, i))
      end
    end)
  end)
end)
