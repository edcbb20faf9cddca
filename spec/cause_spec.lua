-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local places = require "spec.support.places"
local testing = require "ctx.testing"

local background = ctx.background()
local LONG = 1e9 -- ms
local parent_cause, child_cause = errors.new("of the parent"), errors.new("of the child")
local too_slow, early = errors.new("too slow"), errors.new("finished early")

--- A parent and a child; then the calls in `order`, each { "parent" | "child", cause }.
local function pair(order)
  return function()
    local parent, cancel_parent = ctx.with_cancel(background)
    local child, cancel_child = ctx.with_cancel(parent)
    local cancel = { parent = cancel_parent, child = cancel_child }
    for _, call in ipairs(order) do
      cancel[call[1]](call[2])
    end
    return child
  end
end

--- A context with a timeout, cancelled afterwards.
local function timeout(ms, cause)
  return function()
    local c, cancel = ctx.with_timeout(background, ms, cause)
    cancel()
    return c
  end
end

--- A context with a timeout below one that is cancelled afterwards.
local function stacked(ms)
  return function()
    local parent, cancel = ctx.with_cancel(background)
    local c = ctx.with_timeout(parent, ms, too_slow)
    cancel(early)
    return c
  end
end

local function detached_and_cancelled()
  local parent, cancel = ctx.with_cancel(background)
  local c = ctx.without_cancel(parent)
  cancel(early)
  return c
end

local function detached_from_timeout()
  local parent, cancel = ctx.with_timeout(background, 0, too_slow)
  local c = ctx.without_cancel(parent)
  cancel()
  return c
end

local canceled, exceeded = ctx.canceled, ctx.deadline_exceeded

-- What Go 1.23 answers in these 20 situations: the name, the context, its err, its cause.
local cases = {
  { "background", ctx.background, nil, nil },
  { "todo", ctx.todo, nil, nil },
  { "a cancel", pair { { "child" } }, canceled, canceled },
  { "a cancel with a cause", pair { { "child", child_cause } }, canceled, child_cause },
  { "a cancel with nil for a cause", pair { { "child", nil } }, canceled, canceled },
  { "the parent, then the child, both with causes",
    pair { { "parent", parent_cause }, { "child", child_cause } }, canceled, parent_cause },
  { "the child, then the parent, both with causes",
    pair { { "child", child_cause }, { "parent", parent_cause } }, canceled, child_cause },
  { "the parent with a cause, then the child without",
    pair { { "parent", parent_cause }, { "child" } }, canceled, parent_cause },
  { "the child without a cause, then the parent with one",
    pair { { "child" }, { "parent", parent_cause } }, canceled, canceled },
  { "the parent without a cause, then the child with one",
    pair { { "parent" }, { "child", child_cause } }, canceled, canceled },
  { "the child with a cause, then the parent without",
    pair { { "child", child_cause }, { "parent" } }, canceled, child_cause },
  { "no time at all", timeout(0), exceeded, exceeded },
  { "a timeout, cancelled before", timeout(LONG), canceled, canceled },
  { "no time at all, with a cause", timeout(0, too_slow), exceeded, too_slow },
  { "a timeout with a cause, cancelled before", timeout(LONG, too_slow), canceled, canceled },
  { "no time at all, then the parent", stacked(0), exceeded, too_slow },
  { "a timeout, but the parent before", stacked(LONG), canceled, early },
  { "detached", function() return ctx.without_cancel(background) end, nil, nil },
  { "detached from what is cancelled", detached_and_cancelled, nil, nil },
  { "detached from what ran out of time", detached_from_timeout, nil, nil },
}

describe("Go's table of causes:", function()
  it("all 20 cases are here", function()
    assert.equal(20, #cases)
  end)

  for i, case in ipairs(cases) do
    it(("%d: %s"):format(i, case[1]), function()
      local clock <close> = testing.clock()
      local c = case[2]()
      -- Asked before and after the turn of the loop in which the functions would run.
      for _ = 1, 2 do
        assert.is_true(rawequal(case[3], c:err()))
        assert.is_true(rawequal(case[4], c:cause()))
        clock:settle()
      end
    end)
  end
end)

describe("a cause", function()
  it("may be any value; err stays canceled", function()
    for _, cause in ipairs({ "text", 42, {}, print, early, ctx.deadline_exceeded }) do
      local c, cancel = ctx.with_cancel(background)
      cancel(cause)
      assert.is_true(rawequal(ctx.canceled, c:err()))
      assert.is_true(rawequal(cause, c:cause()))
    end
  end)

  it("is kept as long as a context that has it, and no longer", function()
    local weak = setmetatable({}, { __mode = "v" })
    local c
    local function make()
      local cancel
      c, cancel = ctx.with_cancel(background)
      weak.cause = { "a cause that only the context holds" }
      cancel(weak.cause)
      c = ctx.with_cancel((ctx.with_cancel(c)))
    end
    make()
    collectgarbage()
    assert.is_true(rawequal(weak.cause, c:cause()))
    c = nil
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak.cause)
    assert.is_nil(c)
  end)
end)

describe("leaving the scope", function()
  it("by an error records that error as the cause", function()
    local kept
    local ok, caught = pcall(function()
      local c, cancel <close> = ctx.with_cancel(background)
      kept = c
      error(early, 0)
    end)
    assert.is_false(ok)
    assert.is_true(rawequal(early, caught))
    assert.is_true(rawequal(ctx.canceled, kept:err()))
    assert.is_true(rawequal(early, kept:cause()))
  end)

  it("by an error after a cancel changes nothing", function()
    local kept
    pcall(function()
      local c, cancel <close> = ctx.with_timeout(background, LONG)
      kept = c
      cancel("first")
      error(early, 0)
    end)
    assert.equal("first", kept:cause())
  end)

  it("of a done parent keeps the parent's cause", function()
    local kept
    pcall(function()
      local parent, cancel_parent = ctx.with_cancel(background)
      local c, cancel <close> = ctx.with_cancel(parent)
      kept = c
      cancel_parent(parent_cause)
      error(early, 0)
    end)
    assert.is_true(rawequal(parent_cause, kept:cause()))
  end)
end)

describe("ctx.with, the idiom without <close>", function()
  it("passes the context in and the results out, and cancels", function()
    local kept
    local c, cancel = ctx.with_cancel(background)
    local a, b, n = ctx.with(c, cancel, function(given)
      kept = given
      return 1, nil, 3
    end)
    assert.same({ 1, nil, 3 }, { a, b, n })
    assert.is_true(rawequal(c, kept))
    assert.is_true(rawequal(ctx.canceled, c:cause()))
  end)

  it("records an error as the cause and raises it on", function()
    local c, cancel = ctx.with_cancel(background)
    local ok, caught = pcall(ctx.with, c, cancel, function() error(early) end)
    assert.is_false(ok)
    assert.is_true(rawequal(early, caught))
    assert.is_true(rawequal(early, c:cause()))
  end)

  -- Cause: it caught the error and raised it again, so that the traceback began there. Cure: a
  -- <close> variable.
  it("leaves the error its traceback", function()
    testing.run(function(root)
      local line = debug.getinfo(1, "l").currentline + 1
      local function deep(object) return object.missing.field end
      local task = ctx.go(function()
        local c, cancel = ctx.with_cancel(root)
        ctx.with(c, cancel, function() return (deep({})) end)
      end)
      assert.matches("attempt to index a nil value", (select(2, task:wait(root))))
      assert.matches(("cause_spec.lua:%d: in "):format(line), task:traceback(), 1, true)
    end)
  end)

  for place, run in pairs(places) do
    it("lets its function wait, in " .. place, function()
      run(function(root)
        local c, cancel = ctx.with_cancel(root)
        assert.equal("slept", ctx.with(c, cancel, function(given)
          return ctx.sleep(given, 1) and "slept"
        end))
        assert.is_true(rawequal(ctx.canceled, c:cause()))
      end)
    end)
  end

  it("cancels when the coroutine is closed in which its function waits", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local co = coroutine.create(function()
        ctx.with(c, cancel, function(given) given:wait() end)
      end)
      assert(coroutine.resume(co))
      assert.is_nil(c:err())
      assert(coroutine.close(co))
      assert.equal(ctx.canceled, c:err())
    end)
  end)
end)

describe("a wait that ends with its context", function()
  local function sleep_until_cancelled(cause)
    local result
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(function() result = table.pack(ctx.sleep(c, LONG)) end)
      ctx.sleep(root, 1)
      cancel(cause)
      task:wait()
    end)
    return result
  end

  it("returns nil and an error that is both the sentinel and the cause", function()
    local result = sleep_until_cancelled(early)
    assert.is_nil(result[1])
    assert.is_true(errors.is(result[2], ctx.canceled))
    assert.is_true(errors.is(result[2], early))
    assert.equal("context canceled: finished early", tostring(result[2]))
  end)

  it("returns the sentinel itself when there is no other cause", function()
    assert.is_true(rawequal(ctx.canceled, sleep_until_cancelled(nil)[2]))
  end)

  it("says the same when the context is done before the call", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 0, too_slow)
      local began = clock:now()
      local ok, err = ctx.sleep(c, 100)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.is_true(errors.is(err, too_slow))
      assert.is_true(err:timeout())
      assert.equal(began, clock:now())
      cancel()
    end)
  end)

  it("comes as the sentinel from wait(), since cause() tells the rest", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(function() return c:wait() end)
      ctx.sleep(root, 1)
      cancel(early)
      assert.is_true(rawequal(ctx.canceled, task:wait()))
      assert.is_true(rawequal(ctx.canceled, c:wait()))
    end)
  end)
end)
