-- SPDX-License-Identifier: MIT
-- core.queue, and ctx.line on top of it, which mutexes, channels and wait groups are made of.
local core = require "ctx.core"
local ctx = require "ctx"
local line = require "ctx.line"
local testing = require "ctx.testing"

describe("a queue of coroutines", function()
  it("wakes the first that waits, with values; false when nobody does", function()
    testing.run(function(root)
      local queue, seen, tasks = core.queue(), {}, {}
      for i = 1, 2 do
        tasks[i] = ctx.go(function()
          seen[i] = table.pack(queue:wait(root, "spec"))
        end)
      end
      ctx.sleep(root, 1)
      assert.is_false(queue:empty())
      assert.is_true(queue:wake("a", nil))
      assert.is_true(queue:wake())
      assert.is_false(queue:wake("nobody's"))
      assert.is_true(queue:empty())
      tasks[1]:wait()
      tasks[2]:wait()
      assert.same({ { "a", nil, n = 2 }, { n = 0 } }, seen)
    end)
  end)
end)

describe("a line", function()
  it("leaves no record of a coroutine that was closed in it", function()
    testing.run(function(root)
      local from = line.new()
      local co = coroutine.create(function()
        local waiter <close> = line.waiter(root)
        waiter:join(from)
        waiter:wait("spec")
      end)
      coroutine.resume(co)
      assert.truthy(from.first)
      local parked = #core.tasks()
      coroutine.close(co)
      assert.is_false(from.first)
      assert.equal(parked - 1, #core.tasks())
    end)
  end)

  it("passes over who waits on a context that has ended in this turn", function()
    testing.run(function(root)
      local from, c, cancel = line.new(), ctx.with_cancel(root)
      local function wait(on)
        local waiter <close> = line.waiter(on)
        waiter:join(from)
        return waiter:wait("spec")
      end
      local first, second = ctx.go(wait, c), ctx.go(wait, root)
      ctx.sleep(root, 1)
      cancel()
      assert.truthy(line.grant(from))
      assert.is_nil((first:wait()))
      assert.is_true(second:wait())
    end)
  end)
end)
