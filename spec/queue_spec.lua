-- SPDX-License-Identifier: MIT
-- core.queue, and ctx.line on top of it, which mutexes, channels and wait groups are made of.
local core = require "ctx.core"
local ctx = require "ctx"
local line = require "ctx.line"
local luv = require "luv"
local program = require "spec.support.program"
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

  -- To make the record of a wait may run finalizers, and one of them may wake. Records are made 64
  -- at a time: so there are more waits.
  it("hears a finalizer that wakes while its wait is being made", function()
    local output, noise, code = program.run [[
      local core, ctx = require "ctx.core", require "ctx"
      local garbage = require "spec.support.garbage"
      ctx.run(function(root)
        local queue, waiting, early, left = core.queue(), false, 0, 0
        local function interfere()
          if waiting and queue:wake() then
            waiting, early = false, early + 1
          end
          if waiting ~= nil then setmetatable({}, { __gc = interfere }) end
        end
        local function wait(c)
          waiting, left = true, left + 1
          queue:wait(c, "spec")
          left = left - 1
        end
        local kept = {} -- as many waits elsewhere: no record is free
        garbage.during(function()
          interfere()
          for i = 1, 200 do
            kept[i] = core.queue()
            coroutine.wrap(function() kept[i]:wait(nil, "spec") end)()
            local before = early
            coroutine.wrap(wait)(root)
            waiting = false
            if early > before and left > 0 then print("lost") end
            queue:wake()
            ctx.sleep(root, 0)
          end
          waiting = nil
        end)
        print(left, early > 0)
        for _, each in ipairs(kept) do each:wake() end
      end)
    ]]
    assert.same({ "0\ttrue\n", "", 0 }, { output, noise, code })
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

  it("passes over a waiter whose context has ended in this turn", function()
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

describe("a gate", function()
  local WAIT = line.name("spec")

  it("lets all go on that wait, and those that come later wait again", function()
    testing.run(function(root)
      local gate, passed = line.gate(), {}
      local function pass(i)
        assert.is_true(gate:wait(root, WAIT))
        passed[#passed + 1] = i
      end
      for i = 1, 3 do
        ctx.go(pass, i)
      end
      ctx.sleep(root, 1)
      assert.equal(3, gate.waiting)
      assert.is_true(gate:open())
      assert.is_false(gate:open())
      ctx.sleep(root, 1)
      assert.same({ 1, 2, 3 }, passed)
      assert.equal(0, gate.waiting)
    end)
  end)

  it("fails when its context is over, though it was opened before", function()
    testing.run(function(root)
      local gate, c, cancel = line.gate(), ctx.with_cancel(root)
      local task = ctx.go(gate.wait, gate, c, WAIT)
      ctx.sleep(root, 1)
      assert.is_true(gate:open())
      cancel("enough")
      local ok, err = task:wait()
      assert.is_nil(ok)
      assert.equal("context canceled: enough", tostring(err))
    end)
  end)

  it("holds luv's handle while somebody waits, and only then", function()
    testing.run(function(root)
      local timer = luv.new_timer()
      timer:start(1e6, 0, function() end)
      timer:unref()
      local gate = line.gate(timer)
      local co = coroutine.create(function() gate:wait(root, WAIT) end)
      local task = ctx.go(gate.wait, gate, root, WAIT)
      assert(coroutine.resume(co))
      assert.is_true(timer:has_ref())
      coroutine.close(co)
      ctx.sleep(root, 1)
      assert.equal(1, gate.waiting)
      assert.is_true(timer:has_ref())
      gate:open()
      assert.is_true(task:wait(root))
      assert.is_false(timer:has_ref())
      timer:close()
    end)
  end)

  it("wakes those that wait for something outside when they are to look again", function()
    testing.run(function(root)
      local outside, inside = line.gate("outside"), line.gate()
      local woken = ctx.go(outside.wait, outside, root, WAIT)
      local asleep = ctx.go(inside.wait, inside, root, WAIT)
      coroutine.yield()
      core.look_again()
      assert.is_true(woken:wait(root))
      assert.equal("waiting", asleep:status())
      inside:open()
      assert.is_true(asleep:wait(root))
    end)
  end)
end)
