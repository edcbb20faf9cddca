-- SPDX-License-Identifier: MIT
-- Cause: a coroutine that waits stands in a list inside what it waits on, and only its stack kept
-- that alive. Closed by its owner, it went on standing there, in memory that the collector then
-- took back: the next look at the records of closed coroutines wrote into it. Cure: the scheduler
-- holds the owner of the list for as long as the record stands in it.
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local testing = require "ctx.testing"

local function collect()
  collectgarbage()
  collectgarbage()
end

--- Starts a coroutine that waits in what make() returns, which nothing else holds.
local function wait_in(make, c)
  local co = coroutine.create(function(thing) thing:wait(c) end)
  assert(coroutine.resume(co, make()))
  return co
end

local function look_at_records()
  return core.counters().parked
end

describe("a coroutine that is closed while it waits leaves nothing behind in", function()
  local function test(name, make)
    for _, with_context in ipairs({ false, true }) do
      it(name .. (with_context and ", with a context" or ""), function()
        testing.run(function(root)
          local gate, open <close> = ctx.with_cancel(root)
          local parked = look_at_records()
          local co = wait_in(function() return make(gate, root) end, with_context and root or nil)
          assert.equal(parked + 1, look_at_records())
          coroutine.close(co)
          collect()
          assert.equal(parked, look_at_records())
          open()
          ctx.sleep(root, 1)
        end)
      end)
    end
  end

  test("the handle of a task", function(gate)
    return ctx.go(function() gate:wait() end)
  end)

  test("a group", function(gate)
    local g = errgroup.new()
    g:go(function() gate:wait() end)
    return g
  end)

  it("a group whose tasks end in the same turn", function()
    testing.run(function(root)
      local gate, open <close> = ctx.with_cancel(root)
      local co = wait_in(function()
        local g = errgroup.new()
        g:go(function() gate:wait() end)
        return g
      end)
      ctx.go(function()
        gate:wait()
        collect() -- after the group's task, before anybody is told of its end
      end)
      ctx.sleep(root, 1)
      coroutine.close(co)
      open()
      ctx.sleep(root, 1)
      assert.equal(1, #core.tasks())
    end)
  end)
end)

describe("the results of a task", function()
  -- Cause: an after-func's task took over the record of one that was over, and the handle of that
  -- with it: what it returned became the other's result. Cure: it begins with no handle.
  it("are not replaced by those of an after-func", function()
    testing.run(function(root)
      local tasks = {}
      for i = 1, 100 do
        tasks[i] = ctx.go(function() return i end)
      end
      ctx.sleep(root, 1)
      local c, cancel = ctx.with_cancel(root)
      for _ = 1, 100 do
        ctx.after_func(c, function() return "another's" end)
      end
      cancel()
      ctx.sleep(root, 1)
      for i, task in ipairs(tasks) do
        assert.equal(i, task:wait())
      end
    end)
  end)
end)
