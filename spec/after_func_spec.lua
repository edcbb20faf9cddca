-- SPDX-License-Identifier: MIT
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local program = require "spec.support.program"
local testing = require "ctx.testing"

local background = ctx.background()

--- A list, and a maker of functions that put a name on it.
local function recorder()
  local list = {}
  return list, function(name)
    return function() list[#list + 1] = name end
  end
end

describe("after_func", function()
  it("runs the function once after the context is done", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    ctx.after_func(c, record "fn")
    clock:advance(1000)
    assert.same({}, ran)
    cancel()
    clock:settle()
    cancel()
    clock:advance(1000)
    assert.same({ "fn" }, ran)
  end)

  it("runs it after a deadline, too", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    ctx.after_func(ctx.with_timeout(background, 100), record "fn")
    clock:advance(99)
    assert.same({}, ran)
    clock:advance(1)
    assert.same({ "fn" }, ran)
  end)

  it("on a done context runs it soon, and not inside the call", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    local stop = ctx.after_func(c, record "fn")
    assert.same({}, ran)
    clock:settle()
    assert.same({ "fn" }, ran)
    assert.is_false(stop())
  end)

  it("never runs it on a root, or on what is detached", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    local stops = {
      ctx.after_func(background, record "background"),
      ctx.after_func(ctx.todo(), record "todo"),
      ctx.after_func(ctx.without_cancel(c), record "detached"),
    }
    cancel()
    clock:advance(1e6)
    assert.same({}, ran)
    for _, stop in ipairs(stops) do
      assert.is_true(stop())
    end
  end)

  it("several registrations are independent, also of the same function", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    local fn = record "fn"
    ctx.after_func(c, fn)
    local stop = ctx.after_func(c, fn)
    ctx.after_func(c, record "other")
    assert.is_true(stop())
    cancel()
    clock:settle()
    assert.same({ "fn", "other" }, ran)
  end)

  it("keeps its context alive: a deadline that only a function waits for still comes", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    ctx.after_func(ctx.with_cancel((ctx.with_timeout(background, 100))), record "fn")
    collectgarbage()
    collectgarbage()
    clock:advance(100)
    assert.same({ "fn" }, ran)
  end)
end)

describe("stop", function()
  it("is true if it kept the function from running, and false again after that", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    local stop = ctx.after_func(c, record "fn")
    assert.is_true(stop())
    assert.is_false(stop())
    cancel()
    clock:settle()
    assert.same({}, ran)
    assert.is_false(stop())
  end)

  it("is false once the function ran", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    local stop = ctx.after_func(c, function() end)
    cancel()
    clock:settle()
    assert.is_false(stop())
  end)

  it("tells the truth between cancel() and the function's turn", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    local stop = ctx.after_func(c, record "fn")
    cancel()
    local kept = stop()
    clock:settle()
    assert.same(kept and {} or { "fn" }, ran)
  end)

  it("does not wait for the function", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_cancel(root)
      local state = "new"
      local stop = ctx.after_func(c, function()
        state = "running"
        ctx.sleep(root, 100)
        state = "over"
      end)
      cancel()
      ctx.sleep(root, 1)
      local before = clock:now()
      assert.is_false(stop())
      assert.equal(before, clock:now())
      assert.equal("running", state)
      ctx.sleep(root, 100)
      assert.equal("over", state)
    end)
  end)

  it("does not touch the context", function()
    local c, cancel = ctx.with_cancel(background)
    ctx.after_func(c, function() end)()
    assert.is_nil(c:err())
    cancel()
  end)
end)

describe("cancel()", function()
  it("runs no function itself; they run later, in the order of registration", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local parent, cancel = ctx.with_cancel(background)
    local child = ctx.with_cancel(parent)
    ctx.after_func(child, record "child 1")
    ctx.after_func(parent, record "parent 1")
    ctx.after_func(child, record "child 2")
    ctx.after_func(parent, record "parent 2")
    cancel()
    assert.same({}, ran)
    assert.is_true(child:done())
    clock:settle()
    assert.same({ "parent 1", "parent 2", "child 1", "child 2" }, ran)
  end)

  it("wakes waiters later, in the order in which they came", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local woken, record = recorder()
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = ctx.go(function()
          local err = c:wait()
          record(i)()
          return err
        end)
      end
      ctx.sleep(root, 1)
      cancel()
      assert.same({}, woken)
      for _, task in ipairs(tasks) do
        assert.is_true(rawequal(ctx.canceled, task:wait()))
      end
      assert.same({ 1, 2, 3, 4, 5 }, woken)
    end)
  end)

  it("a function sees every descendant done already", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_cancel(background)
    local children, seen = {}, 0
    for i = 1, 10 do
      children[i] = ctx.with_cancel(children[i - 1] or parent)
      ctx.after_func(children[i], function() end)
    end
    ctx.after_func(parent, function()
      for _, c in ipairs(children) do
        seen = seen + (c:done() and 1 or 0)
      end
    end)
    cancel()
    clock:settle()
    assert.equal(10, seen)
  end)
end)

describe("a function that acts on the tree", function()
  it("may cancel a child: the child has its parent's cause already", function()
    local clock <close> = testing.clock()
    local parent, cancel = ctx.with_cancel(background)
    local child, cancel_child = ctx.with_cancel(parent)
    ctx.after_func(parent, function() cancel_child("from the function") end)
    local ran, record = recorder()
    ctx.after_func(child, record "child")
    cancel("why")
    clock:settle()
    assert.equal("why", child:cause())
    assert.same({ "child" }, ran)
  end)

  it("may stop, register and cancel others that are due in the same turn", function()
    local clock <close> = testing.clock()
    local ran, record = recorder()
    local c, cancel = ctx.with_cancel(background)
    local other, cancel_other = ctx.with_cancel(background)
    ctx.after_func(other, record "other")
    ctx.after_func(c, function()
      ctx.after_func(c, record "late")
      cancel_other()
      record("first")()
    end)
    ctx.after_func(c, record "second")
    cancel()
    clock:settle()
    table.sort(ran)
    assert.same({ "first", "late", "other", "second" }, ran)
  end)

  it("what is derived while the parent ends, ends with the parent's cause", function()
    local clock <close> = testing.clock()
    for round = 1, 100 do
      local parent, cancel = ctx.with_cancel(background)
      local derived = {}
      local function derive()
        derived[#derived + 1] = ctx.with_cancel((ctx.with_timeout(parent, 1000)))
      end
      ctx.after_func(parent, derive)
      derive()
      cancel("round " .. round)
      derive()
      clock:settle()
      assert.equal(3, #derived)
      for _, c in ipairs(derived) do
        assert.equal("round " .. round, c:cause())
      end
    end
  end)
end)

describe("a function runs as a task", function()
  it("and may wait", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_cancel(root)
      local began = clock:now()
      local ended
      ctx.after_func(c, function()
        ctx.sleep(root, 50)
        ended = clock:now()
      end)
      cancel()
      ctx.sleep(root, 100)
      assert.equal(began + 50, ended)
    end)
  end)

  it("and is passed over by nobody's wait", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local ran, record = recorder()
      ctx.after_func(c, function()
        ctx.sleep(root, 10)
        record("slow")()
      end)
      ctx.after_func(c, record "quick")
      cancel()
      ctx.sleep(root, 1)
      assert.same({ "quick" }, ran)
      ctx.sleep(root, 10)
      assert.same({ "quick", "slow" }, ran)
    end)
  end)

  -- Cause: woken coroutines went straight into the run queue, functions only after them. Cure: both
  -- take their place in it when the context ends.
  it("runs in the order of registration, between the tasks that wait", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local order = {}
      ctx.after_func(c, function() order[#order + 1] = "first" end)
      ctx.go(function()
        c:wait()
        order[#order + 1] = "second"
      end)
      ctx.sleep(root, 1)
      ctx.after_func(c, function() order[#order + 1] = "third" end)
      cancel()
      ctx.sleep(root, 1)
      assert.same({ "first", "second", "third" }, order)
    end)
  end)
end)

-- Cause: what could never happen was registered, and kept its function for ever. Cure: nothing is
-- registered on a context that can never be done.
describe("after_func on a context that can never be done", function()
  it("keeps nothing, and stop() says once that it kept fn from running", function()
    local request, cancel = ctx.with_cancel(background)
    local weak = setmetatable({}, { __mode = "v" })
    local before, stops = ctx.counters(), {}
    for i, c in ipairs {
      background, ctx.todo(), ctx.without_cancel(request), ctx.with_value(background, "a", 1),
    } do
      local used = {}
      weak[i] = used
      stops[i] = ctx.after_func(c, function() return used end)
    end
    collectgarbage()
    collectgarbage()
    local counters = ctx.counters()
    assert.equal(before.watchers, counters.watchers)
    assert.equal(before.linked, counters.linked)
    assert.same({}, weak)
    for _, stop in ipairs(stops) do
      assert.is_true(stop())
      assert.is_false(stop())
    end
    cancel()
    assert.is_false(pcall(ctx.after_func, background, 1))
  end)
end)

-- Cause: those that were registered stood in a table by address, where each new one was a new key;
-- beside 2^k - 1 others Lua built the table anew for it. Cure: they have slots.
describe("after_func and stop", function()
  local function cost(n)
    local c, cancel <close> = ctx.with_cancel(background) -- luacheck: ignore
    local stops = {}
    for i = 1, n do stops[i] = ctx.after_func(c, print) end
    local least = cpu.least(300, function() ctx.after_func(c, print)() end)
    for _, stop in ipairs(stops) do stop() end
    return least
  end

  it("cost the same beside any number of others", function()
    for _, n in ipairs { 4093, 4094, 4095, 4096 } do
      cpu.at_most(5, function() return cost(10) end, function() return cost(n) end)
    end
  end)

  it("give back what a wave of them needed", function()
    cost(20000)
    collectgarbage()
    local before = collectgarbage("count")
    cost(20000)
    cost(1)
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 100)
  end)

  -- Cause: the task for it is made when its turn comes, which may run finalizers. Cure: whether it
  -- is still wanted is looked at when there is one.
  it("are taken back also by a finalizer in its very turn", function()
    local output, noise, code = program.run [[
      local ctx = require "ctx"
      require("ctx.testing").run(function(root)
        local ran, kept, armed, stop = 0, 0, false, nil
        local function interfere()
          if armed then
            armed = false
            if stop() then kept = kept + 1 end
          end
          if armed ~= nil then setmetatable({}, { __gc = interfere }) end
        end
        require("spec.support.garbage").during(function()
          interfere()
          for _ = 1, 20 do
            local c, cancel = ctx.with_cancel(root)
            ctx.after_func(c, function() -- it keeps its thread: the next needs another
              armed = true
              ctx.sleep(root, 1000)
            end)
            stop = ctx.after_func(c, function()
              ran, armed = ran + 1, false
              ctx.sleep(root, 1000)
            end)
            cancel()
            ctx.sleep(root, 0)
          end
          armed = nil
        end)
        print(ran + kept, kept > 0)
      end)
    ]]
    assert.same({ "20\ttrue\n", "", 0 }, { output, noise, code })
  end)
end)
