-- SPDX-License-Identifier: MIT
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local no_error = require "spec.support.no_error"
local testing = require "ctx.testing"

local function nothing() end

--- A function for a task: sleeps so long, and then returns the rest.
local function after(c, ms, ...)
  local results = table.pack(...)
  return function()
    ctx.sleep(c, ms)
    return table.unpack(results, 1, results.n)
  end
end

--- Collects reports instead of printing them, until it is closed.
local function reports()
  local list = setmetatable({}, { __close = function(self) ctx.set_report(self.previous) end })
  list.previous = ctx.set_report(function(message, kind)
    list[#list + 1] = kind .. ": " .. message
  end)
  return list
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a group", function()
  it("waits for all its tasks, which run at the same time", function()
    testing.run(function(root, clock)
      local g = errgroup.with_context(root)
      local over = 0
      for i = 1, 10 do
        assert.is_true(g:go(function(ms)
          ctx.sleep(root, ms)
          over = over + 1
        end, i * 10))
      end
      assert.is_true(g:wait())
      assert.same({ 10, 100 }, { over, clock:elapsed() })
    end)
  end)

  it("hands the arguments of go to the function, nils among them", function()
    testing.run(function(root)
      local g = errgroup.with_context(root)
      local got
      g:go(function(...) got = table.pack(...) end, nil, 1, nil)
      assert.is_true(g:wait())
      assert.same({ n = 3, nil, 1, nil }, got)
    end)
  end)

  it("resumes nothing within go: the task begins in its turn", function()
    testing.run(function(root)
      local g = errgroup.with_context(root)
      local began = false
      g:go(function() began = true end)
      assert.is_false(began)
      g:wait()
      assert.is_true(began)
    end)
  end)

  it("the first error cancels its context, and hence what else is in flight", function()
    testing.run(function(root, clock)
      local g, gctx = errgroup.with_context(root)
      local failure = errors.new("no such product")
      local seen
      g:go(function()
        local _, err = ctx.sleep(gctx, 1000)
        seen = err
        return nil, err
      end)
      g:go(after(root, 10, nil, failure))
      local ok, err = g:wait()
      assert.is_nil(ok)
      assert.is_true(rawequal(failure, err))
      assert.equal(10, clock:elapsed())
      assert.is_true(errors.is(seen, ctx.canceled) and errors.is(seen, failure))
      assert.is_nil(root:err())
    end)
  end)

  it("cancels its context when the wait is over, also without a failure", function()
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(after(root, 10))
      assert.is_nil(gctx:err())
      assert.is_true(g:wait())
      assert.equal(ctx.canceled, gctx:err())
    end)
  end)

  it("the cause is the first error; without one it is canceled", function()
    testing.run(function(root)
      local failure = errors.new("why")
      local g, gctx = errgroup.with_context(root)
      local child = ctx.with_value(gctx, "key", 1)
      g:go(after(root, 1, nil, failure))
      g:wait()
      assert.is_true(rawequal(failure, gctx:cause()))
      assert.is_true(rawequal(failure, child:cause()))
      g, gctx = errgroup.with_context(root)
      g:go(nothing)
      g:wait()
      assert.equal(ctx.canceled, gctx:cause())
    end)
  end)

  it("the first is the first to end; the wait is over when all have", function()
    testing.run(function(root, clock)
      local g, gctx = errgroup.with_context(root)
      g:go(after(root, 30, nil, "third"))
      g:go(after(root, 20, nil, "second"))
      g:go(after(root, 10, nil, "first"))
      g:go(after(root, 50))
      local ok, err = g:wait()
      assert.same({ nil, "first" }, { ok, err })
      assert.equal(50, clock:elapsed())
      assert.equal("first", tostring(gctx:cause()))
      assert.same({ "first", "second", "third" }, g:errors())
    end)
  end)

  -- Errors that are ctx.canceled itself are counted, not listed.
  it("tells all errors in their order, also those that only say that the group was cancelled",
    function()
      testing.run(function(root)
        local g, gctx = errgroup.with_context(root)
        local expected = { "first" }
        for i, err in ipairs { gctx, gctx, "second", "third", gctx, "fourth", gctx, gctx, gctx } do
          err = err == gctx and ctx.canceled or err
          g:go(after(root, i, nil, err))
          expected[i + 1] = err
        end
        g:go(after(root, 0, nil, "first"))
        assert.same({ nil, "first" }, { g:wait() })
        assert.same(expected, g:errors())
        assert.same(expected, g:errors())
        assert.equal(ctx.canceled, g:errors()[2])
      end)
    end)

  it("the parent's end is no failure", function()
    testing.run(function(root)
      local parent, cancel <close> = ctx.with_cancel(root)
      local g, gctx = errgroup.with_context(parent)
      g:go(function() gctx:wait() end)
      cancel("gone")
      assert.is_true(g:wait())
      assert.equal("gone", gctx:cause())
    end)
  end)

  it("without a context it cancels nobody, and may be used again and again", function()
    testing.run(function(root, clock)
      local g = errgroup.new()
      assert.is_true(g:wait())
      g:go(after(root, 10))
      assert.is_true(g:wait())
      g:go(after(root, 10, nil, "first"))
      g:go(after(root, 30, "unharmed"))
      assert.same({ nil, "first" }, { g:wait() })
      g:go(after(root, 10, nil, "second"))
      assert.same({ nil, "first" }, { g:wait() })
      assert.equal(50, clock:elapsed())
    end)
  end)

  it("go after the end of the context runs the function all the same", function()
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(after(root, 0, nil, "first"))
      g:wait()
      local err
      assert.is_true(g:go(function() err = gctx:err() end))
      assert.is_true(g:try_go(nothing))
      g:wait()
      assert.equal(ctx.canceled, err)
    end)
  end)

  it("a producer who returns what the wait says gives the real error", function()
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(after(root, 10, nil, "disk full"))
      local function produce()
        while not gctx:done() do
          ctx.sleep(gctx, 1)
        end
        return g:wait()
      end
      assert.same({ nil, "disk full" }, { produce() })
    end)
  end)
end)

describe("a task of a group fails", function()
  local function outcome(fn)
    return testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(fn)
      local ok, err = g:wait()
      return ok, err, gctx:cause()
    end)
  end

  it("by returning nil or false, and an error", function()
    for _, first in ipairs({ { nil }, { false } }) do
      local ok, err = outcome(function() return first[1], "broken" end)
      assert.same({ nil, "broken" }, { ok, err })
    end
  end)

  it("and by nothing else that it returns", function()
    for _, results in ipairs({
      {}, { n = 1 }, { false, n = 1 }, { n = 2 }, { true, "text" }, { 0, "text" }, { "", "text" },
    }) do
      local n = results.n or #results
      assert.is_true((outcome(function() return table.unpack(results, 1, n) end)))
    end
  end)

  it("by raising: the wait has the error, with the traceback of where", function()
    local function deep() error("broken") end
    local ok, err, cause = outcome(function() deep() end)
    assert.is_nil(ok)
    assert.truthy(tostring(err):find("errgroup_spec.lua:%d+: broken$"))
    assert.truthy(err.traceback:find("in upvalue 'deep'", 1, true))
    assert.is_true(rawequal(err, cause))
  end)

  it("by raising an object, which errors.is and errors.as find", function()
    local class = { __name = "failure" }
    local failure = setmetatable({}, class)
    local _, err = outcome(function() error(failure) end)
    assert.is_true(errors.is(err, failure))
    assert.is_true(rawequal(failure, errors.as(err, class)))
    assert.is_string(err.traceback)
  end)

  it("by raising nil, or a value of any kind", function()
    for _, raised in ipairs({ {}, { false }, { 42 }, { {} }, { coroutine.create(nothing) } }) do
      local value = raised[1]
      local _, err = outcome(function() error(value) end)
      assert.is_string(err.traceback)
      assert.is_true(value == nil and no_error(err) or tostring(value) == tostring(err))
      assert.is_true(value == nil or errors.is(err, value))
    end
  end)

  it("by running out of stack", function()
    local function forever() return 1 + forever() end
    local _, err = outcome(forever)
    assert.truthy(tostring(err):find("stack overflow", 1, true))
  end)

  it("when it is abandoned in a dead end", function()
    local g
    local ok, message = pcall(testing.run, function(root)
      g = errgroup.new()
      g:go(function() ctx.without_cancel(root):wait() end)
      g:wait()
    end)
    assert.is_false(ok)
    assert.truthy(tostring(message):find("all tasks are asleep", 1, true))
    local waited, err = g:wait()
    assert.is_nil(waited)
    assert.truthy(tostring(err):find("all tasks are asleep", 1, true))
  end)
end)

describe("an error that nobody asks for", function()
  --- What is reported when a group with a failure is used like this and then dropped.
  local function reported(use)
    local list <close> = reports()
    testing.run(function(root)
      local function scope()
        local g = errgroup.new()
        g:go(after(root, 1, nil, "lost"))
        use(root, g)
      end
      scope()
      ctx.sleep(root, 5)
      collect()
    end)
    collect()
    return list
  end

  it("is reported once, when the group is collected", function()
    local list = reported(nothing)
    assert.equal(1, #list)
    assert.equal("group: a group failed, and nobody waited for it: lost", list[1])
  end)

  -- Cause: it was reported when the group was collected, which in an idle program may be never.
  it("is reported half a second after it came, while the others run", function()
    local list <close> = reports()
    testing.run(function(root)
      local g = errgroup.new()
      g:go(after(root, 1, nil, "lost"))
      g:go(after(root, 10000))
      ctx.sleep(root, 500)
      assert.equal(0, #list)
      ctx.sleep(root, 1)
      assert.equal(1, #list)
      assert.is_nil((g:wait()))
      assert.same({ "lost" }, g:errors())
    end)
    assert.equal(1, #list)
  end)

  it("is not reported while somebody waits, who gets it when all are over", function()
    local list <close> = reports()
    testing.run(function(root)
      local g = errgroup.new()
      g:go(after(root, 1, nil, "lost"))
      g:go(after(root, 10000))
      ctx.sleep(root, 100)
      local ok, err = g:wait()
      assert.same({ nil, "lost" }, { ok, err })
    end)
    assert.equal(0, #list)
  end)

  it("is reported when the wait gave up before", function()
    assert.equal(1, #reported(function(root, g)
      local c, cancel <close> = ctx.with_cancel(root)
      cancel()
      g:wait(c)
    end))
  end)

  -- Cause: a wait without a failure counted as having heard of it. Cure: only what was told counts.
  it("is reported when the wait was over before it failed", function()
    assert.equal(1, #reported(function(root, g)
      g:wait()
      local again = errgroup.new()
      assert.is_true(again:wait())
      again:go(after(root, 0, nil, "lost"))
    end))
  end)

  it("is not reported after a wait, or after errors()", function()
    assert.same({}, { table.unpack(reported(function(_, g) g:wait() end)) })
    assert.same({}, { table.unpack(reported(function(root, g)
      ctx.sleep(root, 2)
      assert.same({ "lost" }, g:errors())
    end)) })
  end)

  it("is not reported when it only says that the tasks were cancelled", function()
    local list <close> = reports()
    testing.run(function(root)
      local parent, cancel <close> = ctx.with_cancel(root)
      local function scope()
        local g <close>, gctx = errgroup.with_context(parent)
        g:go(ctx.sleep, gctx, 10)
      end
      scope()
    end)
    collect()
    assert.equal(0, #list)
  end)

  it("shows the traceback of one that was raised", function()
    local list <close> = reports()
    testing.run(function(root)
      local function scope()
        local g <close> = errgroup.new()
        g:go(function() error("oh") end)
      end
      scope()
      assert.truthy(list[1]:find("errgroup_spec.lua:%d+: oh\nstack traceback:"))
      ctx.sleep(root, 1)
    end)
    collect()
    assert.equal(1, #list)
  end)
end)

describe("under ctx.debug a task of a group", function()
  it("knows where it was started, also after waiting for a place", function()
    testing.run(function(root)
      ctx.go(ctx.sleep, root, 0):wait() -- whose record and line the next one takes over
      local g = errgroup.new()
      g:set_limit(1)
      local lines = {}
      local function note()
        for _, task in ipairs(core.tasks()) do
          if task.status == "running" then
            lines[#lines + 1] = tonumber(task.spawned:match("errgroup_spec.lua:(%d+):"))
          end
        end
        ctx.sleep(root, 1)
      end
      local line = debug.getinfo(1, "l").currentline
      g:go(note)
      g:go(note)
      g:wait()
      g:try_go(note)
      g:wait()
      assert.same({ line + 1, line + 2, line + 4 }, lines)
    end)
  end)
end)

describe("misuse of a group", function()
  local g = errgroup.new()

  it("is told at the caller's line", function()
    local raises = misuse.raises
    raises(function() errgroup.with_context(nil) end, "#1", "with_context", "c: a context")
    raises(function() errgroup.new(ctx.background()) end, "#1", "errgroup.with_context(c)")
    raises(function() g:go() end, "go", "fn: a function expected, got no value")
    raises(function() g:try_go(5) end, "try_go", "fn: a function expected, got number")
    raises(function() g.go({}, nothing) end, "go", "g: a group expected, got table")
    raises(function() g:wait(5) end, "wait", "c: a context expected, got number")
    raises(function() g:set_limit(1.5) end, "set_limit", "n: a whole number")
    raises(function() g:set_limit("3") end, "set_limit", "n: a whole number expected, got string")
    raises(function() g.errors(io.stdout) end, "errors", "g: a group")
  end)

  it("starts nothing", function()
    testing.run(function()
      pcall(g.go, g, nil)
      pcall(g.try_go, g, "fn")
      assert.is_true(g:wait())
    end)
  end)
end)
