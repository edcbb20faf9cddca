-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local collected = require "spec.support.collected"
local errgroup = require "ctx.errgroup"
local growth = require "spec.support.growth"
local testing = require "ctx.testing"

local background = ctx.background()

describe("any", function()
  it("is done with the first of its contexts, with its err and cause", function()
    local a, cancel_a = ctx.with_cancel(background)
    local b, cancel_b = ctx.with_cancel(background)
    local c = ctx.any(a, b)
    assert.is_nil(c:err())
    cancel_b("b first")
    assert.is_true(rawequal(ctx.canceled, c:err()))
    assert.equal("b first", c:cause())
    cancel_a("a second")
    assert.equal("b first", c:cause())
  end)

  it("is done at once, with all below, when cancel() of a source returns", function()
    local clock <close> = testing.clock()
    local a, cancel_a = ctx.with_cancel(background)
    local c = ctx.any(ctx.with_value(a, "key", 1), (ctx.with_cancel(background)))
    local below = ctx.with_cancel((ctx.with_timeout(c, 1000)))
    local seen
    ctx.after_func(below, function() seen = below:cause() end)
    cancel_a("why")
    assert.equal("why", below:cause())
    assert.is_nil(seen)
    clock:settle()
    assert.equal("why", seen)
  end)

  it("ends by the sooner deadline, and tells it", function()
    local clock <close> = testing.clock()
    local a = ctx.with_timeout(background, 200, "a late")
    local b = ctx.with_timeout(background, 100, "b late")
    local c = ctx.any(a, b)
    assert.equal(clock:now() + 100, c:deadline())
    clock:advance(100)
    assert.is_true(rawequal(ctx.deadline_exceeded, c:err()))
    assert.equal("b late", c:cause())
    assert.is_nil(a:err())
  end)

  it("is born done if one of them is: of several the first in order", function()
    local a, cancel_a = ctx.with_cancel(background)
    local b, cancel_b = ctx.with_cancel(background)
    cancel_b("b")
    cancel_a("a")
    assert.equal("b", ctx.any(background, b):cause())
    assert.equal("a", ctx.any(a, b):cause())
    assert.equal("b", ctx.any(b, a):cause())
  end)

  it("has a cancel of its own, which its sources do not notice", function()
    local a, b = ctx.with_cancel(background), ctx.with_cancel(background)
    local c, cancel = ctx.any(a, b)
    cancel("own")
    assert.equal("own", c:cause())
    assert.is_nil(a:err())
    assert.is_nil(b:err())
  end)

  it("ends with its scope", function()
    local kept
    pcall(function()
      local c, cancel <close> = ctx.any(background, ctx.todo())
      kept = c
      error("failed", 0)
    end)
    assert.equal("failed", kept:cause())
  end)

  it("of one context, and of one context twice, is as good as a child", function()
    local a, cancel = ctx.with_cancel(background)
    local one, twice = ctx.any(a), ctx.any(a, a)
    cancel("why")
    assert.equal("why", one:cause())
    assert.equal("why", twice:cause())
  end)

  it("of others of its kind hears through them, also where they meet again", function()
    local a, cancel = ctx.with_cancel(background)
    local b = ctx.with_cancel(background)
    local left, right = ctx.any(a, b), ctx.any(b, a)
    local c = ctx.any(left, right)
    cancel("why")
    assert.equal("why", c:cause())
    assert.equal("why", left:cause())
    assert.equal("why", right:cause())
  end)

  it("sees the deadline of a source in a loop that never yields", function()
    local a = ctx.with_timeout(background, 3, "late")
    local c = ctx.any((ctx.with_cancel(background)), a)
    local began = ctx.now()
    repeat
      local err = c:err()
    until err or ctx.now() - began > 10000
    assert.equal("late", c:cause())
    assert.equal("late", a:cause())
  end)
end)

-- Cause: to find the context whose cause it is, all sources were searched, and what is above them:
-- twice as much for each `any` above another, or as deep on C's stack as there were. Cure: each
-- knows which source ended it: there is one way up. A group's cause is one that is looked for.
describe("the cause of any of any", function()
  --- What the failure of a group is for the last of the contexts that `make` returns in a list,
  --- together with their cancels.
  local function cause_by(make)
    local cause
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      local contexts, cancels = make(root, gctx)
      g:go(function() return nil, "failed" end)
      g:wait()
      cause = contexts[#contexts]:cause()
      for _, cancel in ipairs(cancels) do cancel() end
    end)
    return cause
  end

  it("is found where a hundred others are looked at first", function()
    assert.equal("failed", cause_by(function(root, gctx)
      local contexts, cancels = { [0] = root }, {}
      for i = 1, 100 do
        contexts[i], cancels[i] = ctx.any(contexts[i - 1], i == 100 and gctx or root)
      end
      return contexts, cancels
    end))
  end)

  it("is found however many lie between", function()
    assert.equal("failed", cause_by(function(_, gctx)
      local contexts, cancels = { [0] = gctx }, {}
      for i = 1, 200000 do
        contexts[i], cancels[i] = ctx.any(contexts[i - 1])
      end
      return contexts, cancels
    end))
  end)
end)

describe("any leaves nothing behind", function()
  local long, cancel_long
  before_each(function() long, cancel_long = ctx.with_cancel(background) end)
  after_each(function() cancel_long() end)

  it("in a source that lives on, when another ended it", function()
    assert.is_true(collected(function()
      local a, cancel = ctx.with_cancel(background)
      local c = ctx.any(long, a)
      cancel()
      return c
    end))
    assert.is_nil(long:err())
  end)

  it("in its sources, when it was cancelled", function()
    assert.is_true(collected(function()
      local c, cancel = ctx.any(long, background)
      cancel()
      return c
    end))
  end)

  it("when nobody holds it any longer", function()
    assert.is_true(collected(function() return (ctx.any(long, background)) end))
  end)

  it("in a source that outlives a hundred thousand of them", function()
    local more = growth(function()
      for _ = 1, 20000 do
        local _, cancel = ctx.any(long, background)
        cancel()
      end
    end)
    assert.is_true(more < 64, more .. " KiB more")
  end)

  it("and keeps its sources' deadlines coming as long as somebody waits", function()
    local clock <close> = testing.clock()
    local cause
    local c = ctx.any(long, (ctx.with_timeout(background, 100, "late")))
    ctx.after_func(c, function() cause = true end)
    c = nil
    collectgarbage()
    collectgarbage()
    clock:advance(100)
    assert.is_nil(c)
    assert.is_true(cause)
  end)
end)
