-- SPDX-License-Identifier: MIT
-- Any coroutine may wait, also one that `ctx` did not make, and the main thread.
local ctx = require "ctx"
local core = require "ctx.core"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

--- What is parked and watched now, to compare.
local function counts()
  local now = core.counters()
  return {
    parked = now.parked, external = now.external, watchers = now.watchers, tasks = now.tasks,
  }
end

describe("a coroutine of somebody else's", function()
  it("waits: sleep, c:wait, await and t:wait give it what they give a task", function()
    local clock <close> = testing.clock()
    local before, results = counts(), {}
    local c, cancel = ctx.with_timeout(background, 30)
    local task = ctx.go(function()
      ctx.sleep(background, 40)
      return nil, "task"
    end)
    local resolve
    local co = coroutine.create(function()
      results[1] = table.pack(ctx.sleep(c, 10))
      results[2] = table.pack(ctx.await(c, function(r) resolve = r end))
      results[3] = table.pack(c:wait())
      results[4] = table.pack(task:wait())
      results[5] = table.pack(ctx.sleep(c, 10))
      return "to nobody"
    end)
    assert.is_true(coroutine.resume(co))
    clock:advance(10)
    resolve("a", nil)
    clock:advance(90)
    assert.equal("dead", coroutine.status(co))
    assert.same({ true, n = 1 }, results[1])
    assert.same({ "a", nil, n = 2 }, results[2])
    assert.is_true(rawequal(ctx.deadline_exceeded, results[3][1]))
    assert.same({ nil, "task", n = 2 }, results[4])
    assert.is_nil(results[5][1])
    assert.same(before, counts())
    cancel()
  end)

  it("yields to its resumer when it waits, with no values, and only then", function()
    local clock <close> = testing.clock()
    local co = coroutine.wrap(function()
      coroutine.yield("mine")
      ctx.sleep(background, 10)
    end)
    assert.equal("mine", co())
    assert.equal(0, select("#", co()))
    clock:advance(10)
  end)

  it("in the manner of luvit, started in a luv callback, waits under uv.run", function()
    local seen = {}
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      coroutine.wrap(function()
        seen[#seen + 1] = "handler"
        seen[#seen + 1] = ctx.sleep(background, 1)
        local other = uv.new_timer()
        seen[#seen + 1] = ctx.await(background, function(resolve)
          other:start(0, 0, function() resolve("rang") end)
        end)
        other:close()
      end)()
    end)
    uv.run()
    assert.same({ "handler", true, "rang" }, seen)
  end)

  it("waits within a task: exactly that one is parked, and the task goes on", function()
    testing.run(function(root)
      local seen = {}
      local inner = coroutine.wrap(function()
        ctx.sleep(root, 10)
        seen[#seen + 1] = "inner"
      end)
      inner()
      seen[#seen + 1] = "task"
      ctx.sleep(root, 5)
      seen[#seen + 1] = "task again"
      ctx.sleep(root, 10)
      assert.same({ "task", "task again", "inner" }, seen)
    end)
  end)

  it("nests: each level waits for itself alone", function()
    testing.run(function(root)
      local seen = {}
      local function level(n)
        return function()
          if n < 5 then coroutine.wrap(level(n + 1))() end
          ctx.sleep(root, 10 * n)
          seen[#seen + 1] = n
        end
      end
      level(1)()
      ctx.sleep(root, 50)
      assert.same({ 1, 2, 3, 4, 5 }, seen)
    end)
  end)

  it("may mix its own yields with waits", function()
    local clock <close> = testing.clock()
    local co = coroutine.create(function()
      ctx.sleep(background, 10)
      local got = coroutine.yield("mine")
      ctx.sleep(background, 10)
      return got
    end)
    coroutine.resume(co)
    clock:advance(10)
    assert.equal("suspended", coroutine.status(co)) -- in its own yield, with nobody to hear it
    assert.is_true(coroutine.resume(co, "got"))
    clock:advance(10)
    assert.equal("dead", coroutine.status(co))
  end)

  it("that fails is reported with its stack, its <close> variables run", function()
    local clock <close> = testing.clock()
    local before, closed, co = counts(), nil, nil
    local list = reports(function()
      co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function(_, err) closed = err end })
        local function raises_here()
          ctx.sleep(background, 10)
          error("nobody resumed me who could hear this", 0)
        end
        raises_here()
      end)
      coroutine.resume(co)
      clock:advance(10)
    end)
    assert.equal("dead", coroutine.status(co))
    assert.equal(1, #list)
    assert.equal("coroutine", list[1].kind)
    assert.matches("nobody resumed me who could hear this", list[1].message, 1, true)
    assert.matches("raises_here", list[1].message, 1, true)
    assert.equal("nobody resumed me who could hear this", closed)
    assert.same(before, counts())
  end)

  it("resumed by its owner while it waits, gets an error that says so, and may go on", function()
    local clock <close> = testing.clock()
    local before = counts()
    local messages = {}
    local c, cancel = ctx.with_cancel(background)
    local co = coroutine.create(function()
      for _, wait in ipairs({ function() ctx.sleep(c, 10) end, function() c:wait() end,
                              function() ctx.await(c, function() end) end }) do
        local _, err = pcall(wait)
        messages[#messages + 1] = err
      end
      return ctx.sleep(c, 1)
    end)
    coroutine.resume(co)
    for _ = 1, 3 do
      coroutine.resume(co, "values", "of the owner")
    end
    for i, name in ipairs({ "ctx.sleep", "c:wait", "ctx.await" }) do
      assert.matches(name .. ": this coroutine was resumed by someone else while it waited",
        messages[i], 1, true)
    end
    clock:advance(10)
    assert.equal("dead", coroutine.status(co))
    cancel()
    clock:settle()
    assert.same(before, counts())
  end)

  it("resumed by its owner in the same turn in which it is woken, gets that error, too", function()
    local clock <close> = testing.clock()
    local resolve, message
    local co = coroutine.create(function()
      local _, err = pcall(ctx.await, background, function(r) resolve = r end)
      message = err
    end)
    coroutine.resume(co)
    resolve("handed over already")
    assert.is_true(coroutine.resume(co))
    assert.matches("resumed by someone else", message, 1, true)
    clock:settle()
    assert.equal(0, core.counters().parked)
  end)

  it("closed by its owner while it waits, leaves nothing", function()
    local clock <close> = testing.clock()
    local before, closed = counts(), 0
    local c, cancel = ctx.with_cancel(background)
    local task = ctx.go(function() c:wait() end)
    local waits = {
      function() ctx.sleep(c, 10) end, function() c:wait() end,
      function() ctx.await(c, function() end) end, function() task:wait() end,
    }
    for _, wait in ipairs(waits) do
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
        wait()
      end)
      coroutine.resume(co)
      assert.is_true(coroutine.close(co))
    end
    assert.equal(4, closed)
    collectgarbage()
    clock:advance(20)
    cancel()
    clock:settle()
    assert.same(before, counts())
  end)

  it("closed after it was woken, and before its turn, leaves nothing", function()
    local clock <close> = testing.clock()
    local before, resolve = counts(), nil
    local co = coroutine.create(function()
      ctx.await(background, function(r) resolve = r end)
    end)
    coroutine.resume(co)
    resolve("value")
    coroutine.close(co)
    clock:settle()
    assert.same(before, counts())
  end)

  -- Cause: nothing tells of coroutine.close, so the record of a closed coroutine, and the context
  -- that it waited on, stayed as long as that. Cure: they are looked for as records run out.
  it("closed while it waits on what never ends, gives its record back", function()
    local clock <close> = testing.clock()
    local before = counts()
    for _ = 1, 1000 do
      local co = coroutine.create(function() background:wait() end)
      coroutine.resume(co)
      coroutine.close(co)
    end
    assert.same(before, counts())
    clock:settle()
  end)

  it("is held while it waits, and let go of afterwards", function()
    local clock <close> = testing.clock()
    local weak = setmetatable({}, { __mode = "v" })
    local c, cancel = ctx.with_cancel(background)
    local ended = false
    do
      weak[1] = coroutine.create(function()
        c:wait()
        ended = true
      end)
      coroutine.resume(weak[1])
    end
    collectgarbage()
    cancel()
    clock:settle()
    assert.is_true(ended)
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("the main thread", function()
  it("waits by running the loop, tasks included", function()
    local clock <close> = testing.clock()
    local seen = {}
    ctx.go(function()
      ctx.sleep(background, 5)
      seen[#seen + 1] = "task"
    end)
    assert.is_true(ctx.sleep(background, 10))
    seen[#seen + 1] = "main"
    assert.same({ "task", "main" }, seen)
    assert.equal(10, clock:elapsed())
  end)

  it("waits for a task, a context, and a luv callback", function()
    local clock <close> = testing.clock()
    assert.same({ 1, nil, n = 2 }, table.pack(ctx.go(function() return 1, nil end):wait()))
    local c, cancel <close> = ctx.with_timeout(background, 10)
    assert.is_true(rawequal(ctx.deadline_exceeded, c:wait()))
    local timer = uv.new_timer()
    assert.same({ "a", nil, n = 2 }, table.pack(ctx.await(background, function(resolve)
      timer:start(1, 0, function() resolve("a", nil) end)
    end)))
    timer:close()
    assert.equal(10, clock:elapsed())
  end)

  it("with nothing left that could wake it, is told so, with every stack", function()
    local clock <close> = testing.clock()
    local before = counts()
    local co = coroutine.create(function()
      local function sleeps_for_ever() background:wait() end
      sleeps_for_ever()
    end)
    coroutine.resume(co)
    local ok, err = pcall(function() background:wait() end)
    assert.is_false(ok)
    assert.matches("c:wait: all tasks are asleep", err, 1, true)
    assert.matches("sleeps_for_ever", err, 1, true)
    coroutine.close(co)
    assert.same(before, counts())
    assert.is_true(ctx.sleep(background, 10))
    clock:settle()
  end)
end)
