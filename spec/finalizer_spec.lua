-- SPDX-License-Identifier: MIT
-- Cause: to begin a wait makes objects, so a finalizer may run between the look whether what is
-- wanted is there and the place in the queue. What it gave back then woke nobody, and the wait went
-- on for ever; or the semaphore raised, and kept the unit. Cure: each wait looks again after the
-- last object was made, and the queue knows of who is about to wait.
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local garbage = require "spec.support.garbage"
local mutex = require "ctx.mutex"
local semaphore = require "ctx.semaphore"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"

local background = ctx.background()

--- Each makes what is waited for: returns the wait, and what the finalizer does.
local cases = {
  ["a mutex"] = function()
    local m = mutex.new()
    m:lock(background)
    return function(c) return m:lock(c) end, function() m:unlock() end
  end,
  ["a receive, the value"] = function()
    local ch = channel.new(1)
    return function(c) return ch:recv(c) end, function() ch:try_send(1) end
  end,
  ["a receive, the close"] = function()
    local ch = channel.new()
    return function(c) return select(2, ch:recv(c)) == channel.closed end,
      function() ch:close() end
  end,
  ["a send"] = function()
    local ch = channel.new(1)
    ch:try_send(1)
    return function(c) return ch:send(c, 2) end, function() ch:try_recv() end
  end,
  ["a select"] = function()
    local ch, other = channel.new(), channel.new()
    return function(c) return channel.select(c, { { recv = other }, { recv = ch } }) end,
      function() ch:close() end
  end,
  ["a wait group"] = function()
    local wg = waitgroup.new()
    wg:add()
    return function(c) return wg:wait(c) end, function() wg:done() end
  end,
  ["a semaphore"] = function()
    local s = semaphore.new(1)
    s:acquire(background)
    return function(c) return s:acquire(c) end, function() s:release() end
  end,
}

--- Calls fn() in a finalizer, as soon as one runs while `is_time()`. Returns whether it has.
local function in_finalizer(is_time, fn)
  local called = false
  local function finalizer()
    if is_time() and not called then
      called = true
      fn()
    elseif not called then
      setmetatable({}, { __gc = finalizer })
    end
  end
  setmetatable({}, { __gc = finalizer })
  return function()
    local was = called
    called = true
    return was
  end
end

local function beginning_to_wait()
  local trace = debug.traceback()
  return trace:find("ctx/line.lua", 1, true) or trace:find("'acquire'", 1, true)
end

describe("what a finalizer gives back just as somebody begins to wait for it: ", function()
  for name, make in pairs(cases) do
    it(name .. ", in a task", function()
      testing.run(function(root)
        local wait, give = make()
        local given
        local task = ctx.go(function()
          return garbage.during(function()
            given = in_finalizer(beginning_to_wait, give)
            return wait(root)
          end)
        end)
        assert.truthy(task:wait())
        assert.is_true(given())
      end)
    end)

    it(name .. ", in another coroutine, once the loop hears of it", function()
      local clock <close> = testing.clock()
      local parked = core.counters().parked
      local wait, give = make()
      local given, got
      garbage.during(function()
        given = in_finalizer(function() return core.counters().parked > parked end, give)
        coroutine.wrap(function() got = wait(background) end)()
      end)
      clock:settle()
      assert.is_true(given())
      assert.truthy(got)
      assert.equal(parked, core.counters().parked)
    end)
  end

  it("a place in a group", function()
    testing.run(function(root)
      local g, holder = errgroup.new(), nil
      g:set_limit(1)
      g:go(function()
        holder = coroutine.running()
        background:wait()
      end)
      ctx.sleep(root, 1)
      local given, begun
      local task = ctx.go(function()
        return garbage.during(function()
          given = in_finalizer(function() return debug.traceback():find("'go'", 1, true) end,
            function()
              coroutine.close(holder)
              core.tasks() -- looks, and finds it over
            end)
          return g:go(function() begun = true end)
        end)
      end)
      assert.is_true(task:wait())
      g:wait()
      assert.is_true(given())
      assert.is_true(begun)
    end)
  end)

  it("the end of the context of an acquire", function()
    testing.run(function(root)
      local s = semaphore.new(1)
      s:acquire(root)
      local c, cancel = ctx.with_cancel(root)
      local given
      local task = ctx.go(function()
        return garbage.during(function()
          given = in_finalizer(beginning_to_wait, cancel)
          return s:acquire(c)
        end)
      end)
      local ok, err = task:wait()
      assert.is_nil(ok)
      assert.equal(ctx.canceled, err)
      assert.is_true(given())
      assert.equal(1, (s:held()))
    end)
  end)
end)
