-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local core = require "ctx.core"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "luv"

--- ctx.await whose resolve is handed out; returns the task that waits and the box with resolve.
local function awaiting(c, aborter, free)
  local box = {}
  box.task = ctx.go(function()
    return ctx.await(c, function(resolve)
      box.resolve = resolve
      return aborter
    end, free)
  end)
  ctx.sleep(ctx.background(), 0)
  return box.task, box
end

describe("await", function()
  it("returns the values that resolve is called with, nils included", function()
    testing.run(function(root)
      local task, box = awaiting(root)
      box.resolve(nil, "two", nil)
      assert.same({ nil, "two", nil, n = 3 }, table.pack(task:wait()))
      task, box = awaiting(root)
      box.resolve()
      assert.equal(0, select("#", task:wait()))
    end)
  end)

  it("takes as many values as fit on a stack, from another task or in start", function()
    testing.run(function(root)
      local many = {}
      for i = 1, 5000 do many[i] = i end
      local task, box = awaiting(root)
      box.resolve(table.unpack(many))
      assert.same(many, { task:wait() })
      assert.same(many, { ctx.await(root, function(resolve) resolve(table.unpack(many)) end) })
    end)
  end)

  it("returns at once when start resolves", function()
    testing.run(function(root, clock)
      local turns = 0
      ctx.go(function() turns = 1 end)
      local results = table.pack(ctx.await(root, function(resolve)
        resolve(nil, 2)
        return function() error("nothing is there to abort") end
      end))
      assert.same({ nil, 2, n = 2 }, results)
      assert.equal(0, turns)
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("calls start once, before it returns", function()
    testing.run(function(root)
      local calls = 0
      local _, box = awaiting(root)
      assert.is_function(box.resolve)
      ctx.await(root, function(resolve)
        calls = calls + 1
        resolve()
      end)
      assert.equal(1, calls)
      box.resolve()
    end)
  end)

  it("on a context that is done does not call start", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      local result, err = ctx.await(c, function() error("it did") end)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.canceled, err))
    end)
  end)

  it("ends when start itself cancels the context", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local aborted = 0
      local result, err = ctx.await(c, function()
        cancel()
        return function() aborted = aborted + 1 end
      end)
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.canceled, err))
      assert.equal(1, aborted)
    end)
  end)

  it("raises what start raises, itself, and then nothing was ever waited for", function()
    testing.run(function(root)
      local why, kept = {}, nil
      local before = core.counters()
      local ok, err = pcall(ctx.await, root, function(resolve)
        kept = resolve
        error(why)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(why, err))
      kept("too late")
      assert.is_true(ctx.sleep(root, 1))
      local after = core.counters()
      assert.equal(before.parked, after.parked)
      assert.equal(before.external, after.external)
      assert.equal(before.watchers, after.watchers)
    end)
  end)

  it("raises what start raises after it resolved", function()
    testing.run(function(root)
      local ok, err = pcall(ctx.await, root, function(resolve)
        resolve("value")
        error("why", 0)
      end)
      assert.is_false(ok)
      assert.equal("why", err)
      -- The value does not turn up in a later wait of the same task.
      assert.same({ true, n = 1 }, table.pack(ctx.sleep(root, 1)))
      assert.same({ n = 0 }, table.pack(ctx.await(root, function(resolve) resolve() end)))
    end)
  end)

  it("is resolved from a luv callback", function()
    testing.run(function(root)
      local timer = uv.new_timer()
      local value = ctx.await(root, function(resolve)
        timer:start(0, 0, function() resolve("rang") end)
      end)
      timer:close()
      assert.equal("rang", value)
    end)
  end)

  it("is resolved from a coroutine of somebody else's", function()
    testing.run(function(root)
      local task, box = awaiting(root)
      coroutine.wrap(function() box.resolve("from inside") end)()
      assert.equal("from inside", task:wait())
    end)
  end)
end)

describe("when the context of an await ends,", function()
  local function cut_short(aborter, free)
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(ctx.background())
    local box = {}
    local results
    ctx.go(function()
      results = table.pack(ctx.await(c, function(resolve)
        box.resolve = resolve
        return aborter
      end, free))
    end)
    clock:settle()
    cancel()
    clock:settle()
    assert.is_nil(results[1])
    assert.is_true(rawequal(ctx.canceled, results[2]))
    return box.resolve
  end

  it("a function that start returned is called, once", function()
    local calls = 0
    local resolve = cut_short(function() calls = calls + 1 end)
    resolve("late")
    assert.equal(1, calls)
  end)

  it("what that function raises is reported, and the wait ends as ever", function()
    local list = reports(function()
      cut_short(function() error("cannot abort") end)
    end)
    assert.equal(1, #list)
    assert.matches("cannot abort", list[1].message, 1, true)
  end)

  it("a luv handle that start returned is closed, unless it is closing already", function()
    local timer = uv.new_timer()
    cut_short(timer)
    assert.is_true(timer:is_closing())
    cut_short(timer)
    uv.run("nowait")
  end)

  it("a luv request that start returned is cancelled", function()
    local got
    local request = uv.fs_stat(".", function(err) got = err or "not cancelled" end)
    cut_short(request) -- whether that comes in time is luv's business
    uv.run()
    assert.is_string(got)
  end)

  it("other things that start returned are left alone", function()
    for _, other in ipairs({ 5, "text", {}, true, false }) do
      cut_short(other)
    end
  end)

  it("a late result is dropped, and freed by the function that was given for that", function()
    local freed = {}
    local resolve = cut_short(nil, function(...) freed[#freed + 1] = table.pack(...) end)
    resolve(nil, "fd", 7)
    assert.same({ { nil, "fd", 7, n = 3 } }, freed)
  end)

  it("a late luv handle is closed without being asked for", function()
    local timer, closed = uv.new_timer(), uv.new_timer()
    closed:close()
    cut_short()("status", timer, closed, nil, { "others" })
    assert.is_true(timer:is_closing())
    uv.run("nowait")
  end)

  it("what frees a late result may raise: that is reported", function()
    local list = reports(function()
      cut_short(nil, function() error("cannot free") end)("late")
    end)
    assert.equal(1, #list)
    assert.matches("cannot free", list[1].message, 1, true)
  end)

  -- Cause: these two were called behind the door from C, which knows tracebacks of texts only, and
  -- not whose function it was. Cure: they are called as all functions that only listen.
  it("what frees or aborts is reported with its traceback and place, also when it raises an object",
    function()
      for name, fail in pairs { ["ctx.await's free"] = function() error {} end,
        ["ctx.await's abort"] = function() error {} end } do
        local list = reports(function()
          cut_short(name:find("abort") and fail, name:find("free") and fail or nil)("late")
        end)
        assert.equal(1, #list)
        assert.equal("hook", list[1].kind)
        assert.matches(name .. " failed: table: ", list[1].message, 1, true)
        assert.matches("stack traceback:\n.*await_spec.lua", list[1].message)
        assert.matches("in " .. name .. ", .*await_spec.lua:%d+$", list[1].message)
      end
    end)

  it("a late result does not reach a later wait of the same task", function()
    testing.run(function(root)
      local late
      local task = ctx.go(function()
        local c, cancel <close> = ctx.with_timeout(root, 5)
        ctx.await(c, function(resolve) late = resolve end)
        return ctx.await(root, function(resolve)
          ctx.go(late, "late")
          ctx.go(resolve, "right")
        end)
      end)
      assert.equal("right", task:wait())
    end)
  end)
end)

describe("resolve, called again,", function()
  it("changes nothing; what it brings is freed", function()
    testing.run(function(root)
      local freed = {}
      local task, box = awaiting(root, nil, function(value) freed[#freed + 1] = value end)
      box.resolve("first")
      box.resolve("second")
      assert.equal("first", task:wait())
      box.resolve("third")
      assert.same({ "second", "third" }, freed)
    end)
  end)

  it("in start, too", function()
    testing.run(function(root)
      local freed = {}
      local value = ctx.await(root, function(resolve)
        resolve("first")
        resolve("second")
      end, function(late) freed[#freed + 1] = late end)
      assert.equal("first", value)
      assert.same({ "second" }, freed)
    end)
  end)

  -- Cause: the task did not know yet of the end, and so the result counted. Cure: resolve asks the
  -- context.
  it("after the context ended, is late, in the same turn, too", function()
    testing.run(function(root)
      for _, turns in ipairs({ 0, 1 }) do
        local c, cancel = ctx.with_cancel(root)
        local freed
        local task, box = awaiting(c, nil, function(value) freed = value end)
        cancel("why")
        for _ = 1, turns do ctx.sleep(root, 0) end
        box.resolve("late")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("context canceled: why", tostring(err))
        assert.equal("late", freed)
      end
    end)
  end)

  it("before the context ended in the same turn, is in time", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local task, box = awaiting(c)
      box.resolve("in time")
      cancel()
      assert.equal("in time", task:wait())
    end)
  end)
end)

-- Cause: nobody called the work off for a coroutine that never goes on, and results that it had
-- been given were lost with its stack. Cure: the scheduler holds what start returned, and results
-- that must be freed, and undoes the wait as it does others.
describe("a coroutine in an await that", function()
  local background = ctx.background()

  --- Starts one; the box says what becomes of the wait.
  local function start(c)
    local box = { aborted = 0, freed = {} }
    box.co = coroutine.create(function()
      return ctx.await(c, function(resolve)
        box.resolve = resolve
        return function() box.aborted = box.aborted + 1 end
      end, function(...) table.insert(box.freed, table.pack(...)) end)
    end)
    assert(coroutine.resume(box.co))
    return box
  end

  it("is closed, and then gets a result, frees it, and ends the work", function()
    local clock <close> = testing.clock()
    local parked = core.counters().external
    local box = start(background)
    coroutine.close(box.co)
    box.resolve("fd", 7)
    assert.same({ { "fd", 7, n = 2 } }, box.freed)
    assert.equal(1, box.aborted)
    box.resolve("again")
    assert.equal(2, #box.freed)
    clock:settle()
    assert.equal(1, box.aborted)
    assert.equal(parked, core.counters().external)
  end)

  it("gets a result, and is closed before its turn, frees it", function()
    local clock <close> = testing.clock()
    local box = start(background)
    box.resolve(nil, "fd")
    coroutine.close(box.co)
    clock:settle()
    assert.same({ { nil, "fd", n = 2 } }, box.freed)
  end)

  it("gets a luv handle, and is closed before its turn, closes it", function()
    local clock <close> = testing.clock()
    local resolve
    local co = coroutine.create(function()
      ctx.await(background, function(r) resolve = r end)
    end)
    coroutine.resume(co)
    local timer = uv.new_timer()
    resolve(timer)
    coroutine.close(co)
    clock:settle()
    assert.is_true(timer:is_closing())
    uv.run("nowait")
  end)

  it("is closed, ends the work when its context ends, or as soon as somebody looks", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    local by_context, by_look = start(c), start(background)
    coroutine.close(by_context.co)
    cancel()
    clock:settle()
    assert.equal(1, by_context.aborted)
    coroutine.close(by_look.co)
    core.tasks()
    assert.equal(1, by_look.aborted)
  end)

  it("is resumed by someone else, ends the work, and frees what comes", function()
    local clock <close> = testing.clock()
    local box = start(background)
    assert.is_false((coroutine.resume(box.co)))
    assert.equal(1, box.aborted)
    box.resolve("late")
    assert.same({ { "late", n = 1 } }, box.freed)
    clock:settle()
  end)

  it("is given up since nothing can wake it, ends the work", function()
    local aborted = false
    assert.is_false(pcall(ctx.run, function()
      ctx.await(background, function() return function() aborted = true end end)
    end))
    assert.is_true(aborted)
  end)

  -- Cause: the results stayed with the task's record. Cure: they are freed like other late ones.
  it("never begins, since start raises, frees what start resolved", function()
    testing.run(function(root)
      local freed
      local task = ctx.go(function()
        local ok, err = pcall(ctx.await, root, function(resolve)
          resolve("x", "y")
          error("why", 0)
        end, function(...) freed = table.pack(...) end)
        assert.is_false(ok)
        assert.equal("why", err)
        return ctx.await(root, function(resolve) ctx.go(resolve, "the next") end)
      end)
      assert.same({ "the next", n = 1 }, table.pack(task:wait()))
      assert.same({ "x", "y", n = 2 }, freed)
    end)
  end)
end)

describe("a file that a cancelled fs_open brings all the same", function()
  it("is closed by free", function()
    local before = ctx.now()
    testing.run(function(root)
      local freed
      local c, cancel <close> = ctx.with_cancel(root)
      local result, err = ctx.await(c, function(resolve)
        uv.fs_open("/dev/null", "r", 438, function(failure, fd)
          -- By now it is open, and cannot be cancelled any more.
          cancel("nobody wants it now")
          ctx.go(resolve, failure, fd)
        end)
      end, function(failure, fd)
        assert(not failure, failure)
        freed = fd
        uv.fs_close(fd)
      end)
      assert.is_nil(result)
      assert.equal("context canceled: nobody wants it now", tostring(err))
      ctx.sleep(root, 1)
      assert.is_number(freed)
      assert.is_nil((uv.fs_fstat(freed)))
    end)
    assert.is_true(ctx.now() >= before)
  end)
end)
