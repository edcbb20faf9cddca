-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local testing = require "ctx.testing"

--- A backend that answers, or fails, after so many ms.
local function backend(ms, ...)
  local answer = table.pack(...)
  return function(c)
    local ok, err = ctx.sleep(c, ms)
    if not ok then
      return nil, err
    end
    return table.unpack(answer, 1, answer.n)
  end
end

describe("collect", function()
  it("asks all at once and returns the answers by name", function()
    testing.run(function(root, clock)
      local page = assert(errgroup.collect(root, {
        info = backend(30, { name = "kettle" }),
        reviews = backend(50, { 5, 4 }),
        inventory = backend(10, 7),
        recommendations = backend(20, false),
      }))
      assert.same({
        info = { name = "kettle" }, reviews = { 5, 4 }, inventory = 7, recommendations = false,
      }, page)
      assert.equal(50, clock:elapsed())
    end)
  end)

  it("the first failure stops the others, and says whose it is", function()
    testing.run(function(root, clock)
      local failure = errors.new("connection refused")
      local stopped = {}
      local page, err = errgroup.collect(root, {
        info = backend(10, nil, failure),
        reviews = function(c)
          local _, why = ctx.sleep(c, 1000)
          stopped.err = why
          return nil, why
        end,
      })
      assert.is_nil(page)
      assert.equal("info: connection refused", tostring(err))
      assert.is_true(errors.is(err, failure))
      assert.is_true(errors.is(stopped.err, failure))
      assert.equal(10, clock:elapsed())
    end)
  end)

  it("ends with the budget of its context, and waits for everybody", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 2000)
      local over = false
      local page, err = errgroup.collect(c, {
        slow = function(gctx)
          local _, why = ctx.sleep(gctx, 60000)
          ctx.sleep(root, 100)
          over = true
          return nil, why
        end,
      })
      assert.is_nil(page)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.equal("slow: context deadline exceeded", tostring(err))
      assert.is_true(over)
      assert.equal(2100, clock:elapsed())
    end)
  end)

  -- Cause: the error was raised a second time, so that its traceback was that of `collect` itself.
  -- Cure: it is returned, with the first one's.
  it("keeps the traceback of an error that was raised, and the object", function()
    testing.run(function(root)
      local function deep() error("broken") end
      local _, err = errgroup.collect(root, { name = function() deep() end })
      assert.truthy(tostring(err):find("^name: .-collect_spec.lua:%d+: broken$"))
      assert.truthy(err.traceback:find("in upvalue 'deep'", 1, true))
      local object = setmetatable({}, {})
      _, err = errgroup.collect(root, { name = function() error(object) end })
      assert.is_true(errors.is(err, object))
    end)
  end)

  it("may wait within pcall, and hand over names of any kind", function()
    testing.run(function(root)
      local key = {}
      local results = assert(errgroup.collect(root, {
        [1] = function(c) return select(2, pcall(ctx.sleep, c, 5)) end,
        [key] = backend(1, "by a table"),
        none = backend(1),
      }))
      assert.same({ [1] = true, [key] = "by a table" }, results)
      local _, err = errgroup.collect(root, { [7] = backend(1, nil, "bad") })
      assert.equal("7: bad", tostring(err))
      assert.same({}, errgroup.collect(root, {}))
    end)
  end)

  it("starts nothing on a context that is done", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel("gone")
      local started = false
      local results, err = errgroup.collect(c, { name = function() started = true end })
      assert.is_nil(results)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.equal("context canceled: gone", tostring(err))
      assert.is_false(started)
    end)
  end)

  it("refuses other values than contexts and functions, at the caller's line", function()
    local root = ctx.background()
    misuse.raises(function() errgroup.collect(nil, {}) end, "#1", "collect", "c: a context")
    misuse.raises(function() errgroup.collect(root) end, "#2", "collect", "a table of functions")
    misuse.raises(function() errgroup.collect(root, { a = 5 }) end, "#2", "got 5")
  end)
end)
