-- SPDX-License-Identifier: MIT
-- How this library lives beside others on luv's loop.
local ctx = require "ctx"
local core = require "ctx.core"
local uv = require "luv"

local background = ctx.background()

--- How many handles of each type are open.
local function open_handles()
  local count = {}
  uv.walk(function(handle)
    if not handle:is_closing() then
      local kind = tostring(handle):match("^%S-:") or tostring(handle)
      count[kind] = (count[kind] or 0) + 1
    end
  end)
  return count
end

local function close_all()
  uv.walk(function(handle)
    if not handle:is_closing() then handle:close() end
  end)
end

local function slept_in_coroutine(ms)
  local slept
  coroutine.wrap(function() slept = ctx.sleep(background, ms) end)()
  uv.run()
  return slept
end

describe("on luv's loop, ctx", function()
  it("has one timer and one idle handle at most, however much waits", function()
    close_all()
    uv.run()
    ctx.run(function(root)
      local tasks = {}
      for i = 1, 200 do
        local c, cancel = ctx.with_timeout(root, i % 7)
        tasks[i] = ctx.go(function()
          ctx.sleep(c, i % 5)
          c:wait()
          cancel()
        end)
      end
      for i = 1, 200 do tasks[i]:wait() end
      local count, total = open_handles(), 0
      for kind, n in pairs(count) do
        total = total + n
        assert.is_true(n <= 1, kind)
      end
      assert.is_true(total <= 2)
    end)
  end)

  it("needs no handle for contexts that nobody waits for", function()
    close_all()
    uv.run()
    for _ = 1, 100 do
      local c, cancel = ctx.with_timeout(background, 60000)
      assert.is_nil(c:err())
      cancel()
    end
    assert.same({}, open_handles())
  end)

  it("keeps it from ending for nothing: with no one parked, uv.run returns", function()
    assert.is_true(slept_in_coroutine(0))
    assert.is_false(uv.run("nowait"))
    assert.is_false(uv.loop_alive())
  end)

  it("is woken in time by a clock that the loop has let go stale", function()
    local slept, early
    coroutine.wrap(function()
      local began = uv.hrtime()
      while uv.hrtime() - began < 10e6 do end -- work, in which the loop's own time stands still
      began = uv.hrtime()
      slept = ctx.sleep(background, 5)
      early = uv.hrtime() - began < 5e6
    end)()
    uv.run()
    assert.is_true(slept)
    assert.is_false(early)
  end)

  it("lets other callbacks have their turns beside a task that only yields", function()
    local rang, turns = false, 0
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      rang = true
    end)
    ctx.run(function()
      while not rang and turns < 1e6 do
        turns = turns + 1
        coroutine.yield()
      end
    end)
    assert.is_true(rang)
  end)

  it("runs what luv callbacks start, cancel and resolve, soon", function()
    local list = {}
    local c, cancel = ctx.with_cancel(background)
    ctx.after_func(c, function() list[#list + 1] = "after" end)
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      ctx.go(function() list[#list + 1] = "task" end)
      cancel()
    end)
    uv.run()
    table.sort(list)
    assert.same({ "after", "task" }, list)
  end)

  it("raises nothing into luv: an error in a task or a coroutine ends no loop", function()
    local seen = 0
    local previous = ctx.set_report(function() seen = seen + 1 end)
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      ctx.go(error, "in a task")
      coroutine.wrap(function()
        ctx.sleep(background, 0)
        error("in a coroutine")
      end)()
    end)
    uv.run()
    core.tell_failures() -- before their time, as the end of ctx.run does
    ctx.set_report(previous)
    assert.equal(2, seen)
    assert.is_true(slept_in_coroutine(0))
  end)
end)

describe("uv.walk", function()
  it("shows our handles as it shows all others", function()
    slept_in_coroutine(1)
    local count = 0
    uv.walk(function(handle)
      count = count + 1
      assert.is_string(tostring(handle))
    end)
    assert.is_true(count >= 1)
  end)

  it("may close them all, after which everything works again", function()
    for _ = 1, 3 do
      slept_in_coroutine(1)
      close_all()
      uv.run()
      assert.same({}, open_handles())
      assert.is_true(slept_in_coroutine(1))
      assert.is_true(ctx.run(function(root) return ctx.sleep(root, 1) end))
    end
  end)

  it("may close them while the scheduler has work for the next turn", function()
    local ran = false
    ctx.go(function() ran = true end)
    close_all()
    uv.run()
    assert.is_true(slept_in_coroutine(1))
    assert.is_true(ran)
  end)

  -- Cause: a timer that was closed while it ran passed for one that would still ring. Cure: a
  -- wait from outside of a task looks whether the handles are open.
  it("may close them while someone sleeps: the next wait wakes both", function()
    local first
    coroutine.wrap(function() first = ctx.sleep(background, 1) end)()
    close_all()
    uv.run()
    assert.is_nil(first)
    assert.is_true(slept_in_coroutine(1))
    assert.is_true(first)
  end)

  it("may close them in a luv callback within ctx.run", function()
    local timer = uv.new_timer()
    timer:start(0, 0, close_all)
    assert.is_true(ctx.run(function(root) return ctx.sleep(root, 2) end))
    assert.equal(0, core.counters().parked)
  end)

  it("may close them in a task", function()
    assert.is_true(ctx.run(function(root)
      close_all()
      return ctx.sleep(root, 1)
    end))
  end)
end)

describe("loops", function()
  it("of the user's and ours may follow one another in any order", function()
    for _ = 1, 3 do
      assert.is_true(slept_in_coroutine(0))
      assert.is_true(ctx.sleep(background, 0))
      assert.is_true(ctx.run(function(root) return ctx.sleep(root, 0) end))
    end
  end)

  it("may be guarded twice: the first guard stays, and nothing is closed", function()
    core.guard()
    collectgarbage()
    collectgarbage()
    local task = ctx.go(ctx.sleep, ctx.background(), 1)
    assert.is_true(task:wait())
  end)

  it("may be stopped by uv.stop: ctx.run goes on", function()
    assert.is_true(ctx.run(function(root)
      uv.stop()
      local slept = ctx.sleep(root, 1)
      uv.stop()
      return slept
    end))
    assert.is_true(slept_in_coroutine(0))
  end)
end)
