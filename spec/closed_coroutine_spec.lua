-- SPDX-License-Identifier: MIT
-- Cause: a coroutine that waits stands in a list inside what it waits on, and only its stack kept
-- that alive. Closed by its owner, it went on standing there, in memory that the collector then
-- took back: the next look at the records of closed coroutines wrote into it. Cure: the scheduler
-- holds the owner of the list for as long as the record stands in it.
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local testing = require "ctx.testing"
local uv = require "luv"

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

-- Cause: Lua tells nobody when a coroutine is closed. One that slept went on holding the loop until
-- its time was up. Cure: something to be closed stands on its stack, and leaves the wait.
describe("a coroutine that is closed in its wait, in a loop that the program runs,", function()
  local background = ctx.background()
  local waits = {
    ["ctx.sleep"] = function(c) ctx.sleep(c, 60000) end,
    ["c:wait"] = function(c) c:wait() end,
  }

  for name, wait in pairs(waits) do
    it("does not hold the loop: " .. name, function()
      local c, cancel <close> = ctx.with_timeout(background, 60000)
      for _, turns in ipairs { 0, 2 } do
        local co = coroutine.create(wait)
        assert(coroutine.resume(co, c))
        for _ = 1, turns do uv.run("nowait") end
        assert.is_true(uv.loop_alive())
        assert.is_true(coroutine.close(co))
        uv.run("nowait")
        assert.is_false(uv.loop_alive())
      end
      cancel()
    end)

    it("is not woken any more, if it was already: " .. name, function()
      local c, cancel = ctx.with_cancel(background)
      local over = false
      local co = coroutine.create(function()
        wait(c)
        over = true
      end)
      assert(coroutine.resume(co))
      cancel()
      assert.is_true(coroutine.close(co))
      uv.run()
      assert.is_false(over)
      assert.equal(0, look_at_records())
    end)
  end

  it("ends as others do, if it goes on", function()
    local list = {}
    local co = coroutine.create(function()
      for i = 1, 3 do
        list[i] = ctx.sleep(background, 1)
        collect()
      end
      return "over"
    end)
    assert(coroutine.resume(co))
    uv.run()
    assert.same({ true, true, true }, list)
    assert.equal("dead", coroutine.status(co))
  end)
end)

-- Cause: a wait that is given up calls the function that aborts its work. That may resume the
-- coroutine, which left the wait a second time, and freed its record twice. Cure: the record has no
-- wait any more when the function is called.
describe("a coroutine that is resumed by what aborts its wait", function()
  local background = ctx.background()
  local co, resolve, resumed

  local function wait()
    ctx.await(background, function(resolve_it)
      resolve = resolve_it
      return function() resumed = { coroutine.resume(co) } end
    end)
  end

  local bodies = {
    ["itself"] = wait,
    ["in a generator"] = function()
      for _ in ctx.wrap(wait) do end
    end,
    ["and waits again"] = function()
      local ok, err = pcall(wait)
      if ok then return end
      pcall(ctx.sleep, background, 1)
      error(err, 0)
    end,
  }

  for name, body in pairs(bodies) do
    for _, how in ipairs { "waits", "was woken" } do
      it("is told so, and closed: " .. name .. ", " .. how, function()
        co, resumed = coroutine.create(body), nil
        assert(coroutine.resume(co))
        if how == "was woken" then resolve() end
        core.give_up(core.serial(), "given up", { [co] = true })
        assert.is_table(resumed)
        assert.equal("dead", coroutine.status(co))
        if not resumed[1] then
          assert.matches("was resumed by someone else while it waited", resumed[2])
        end
        uv.run()
        assert.equal(0, core.counters().parked)
        assert.equal(0, look_at_records())
      end)
    end
  end
end)
