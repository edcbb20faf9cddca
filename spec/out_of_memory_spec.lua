-- SPDX-License-Identifier: MIT
-- Cause: a change was made in two steps, and the second one ran out of memory. A value had left the
-- channel's buffer when the next sender's was to go in; a waiter had left its line when it was to
-- be woken; a pool had counted an item that it then could not keep. So values were lost, and waits
-- and drains never ended. Cure: what needs memory comes first. Here each request for memory of an
-- operation fails in turn (with lua-static; elsewhere each runs once, with memory), and afterwards
-- nothing is lost, and nothing waits for ever.
local channel = require "ctx.channel"
local ctx = require "ctx"
local mutex = require "ctx.mutex"
local pool = require "ctx.pool"
local reports = require "spec.support.reports"
local semaphore = require "ctx.semaphore"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"
local has_alloc, alloc = pcall(require, "alloc")

--- The values that are left, in a list.
local function rest_of(ch)
  local values = {}
  for value in ch.try_recv, ch do values[#values + 1] = value end
  return values
end

-- Each: what is made ready; then the operation, and what must hold behind it.
local operations = {
  ["a receiver that lets a sender in"] = function(root)
    local ch, got = channel.new(2), nil
    for i = 1, 5 do ctx.go(ch.send, ch, root, i) end
    ctx.sleep(root, 1)
    return function() got = ch:recv(root) end, function()
      ctx.sleep(root, 1)
      local values = {}
      for _ = 1, got and 4 or 5 do values[#values + 1] = ch:recv(root) end
      assert.same(got and { 2, 3, 4, 5 } or { 1, 2, 3, 4, 5 }, values)
    end
  end,
  ["senders to receivers that wait"] = function(root)
    local ch, sent, received = channel.new(3), 0, 0
    for _ = 1, 3 do
      ctx.go(function()
        ch:recv(root)
        received = received + 1
      end)
    end
    ctx.sleep(root, 1)
    return function()
      while sent < 6 and ch:try_send(sent) do sent = sent + 1 end
    end, function()
      ctx.sleep(root, 1)
      assert.equal(math.min(sent, 3), received)
      assert.equal(sent - received, #rest_of(ch))
      for _ = received + 1, 3 do assert.is_true(ch:try_send("late")) end
      ctx.sleep(root, 1)
      assert.equal(3, received)
    end
  end,
  ["a mutex that is passed on"] = function(root)
    local m, locked = mutex.new(), false
    m:try_lock()
    ctx.go(function() locked = m:lock(root) end)
    ctx.sleep(root, 1)
    local unlocked = false
    return function()
      m:unlock()
      unlocked = true
    end, function()
      if not unlocked then m:unlock() end
      ctx.sleep(root, 1)
      assert.is_true(locked)
    end
  end,
  ["units that are released"] = function(root)
    local s, held = semaphore.new(1), false
    s:try_acquire()
    ctx.go(function() held = s:acquire(root) end)
    ctx.sleep(root, 1)
    local released = false
    return function()
      s:release()
      released = true
    end, function()
      if not released then s:release() end
      ctx.sleep(root, 1)
      assert.is_true(held)
    end
  end,
  ["items for a pool"] = function(root)
    local done, taken = 0, 0
    local p = pool.new(root, { workers = 2, queue = 3 }, function() done = done + 1 end)
    return function()
      while taken < 5 and p:submit(root, taken) do taken = taken + 1 end
    end, function()
      assert.is_true(p:drain(root))
      assert.equal(taken, done)
    end
  end,
  ["a pool that is cancelled"] = function(root)
    local p = pool.new(root, { workers = 1, queue = 6 }, function(c) ctx.sleep(c, 1000) end)
    for i = 1, 6 do p:submit(root, i) end
    ctx.sleep(root, 1)
    return function()
      p:cancel()
      p:dropped()
    end, function()
      p:cancel()
      assert.is_true(p:drain(root))
      assert.same({ 2, 3, 4, 5, 6 }, p:dropped())
    end
  end,
  ["tasks of a wait group"] = function(root)
    local wg = waitgroup.new()
    local function nothing() end
    return function()
      for _ = 1, 3 do wg:go(nothing) end
    end, function()
      assert.is_true(wg:wait(root))
    end
  end,
  ["a flight that is joined"] = function(root)
    local flights = singleflight.new()
    local function fly(c) return ctx.sleep(c, 2) end
    local one = ctx.go(flights.call, flights, root, "key", fly)
    ctx.sleep(root, 1)
    return function() flights:call(root, "key", fly) end, function()
      one:wait(root) -- it may be what has run out of memory
      assert.is_true(flights:call(root, "key", fly))
    end
  end,
  ["a flight that ends"] = function(root)
    local flights = singleflight.new()
    local function fly(c) return ctx.sleep(c, 2) end
    local one = ctx.go(flights.call, flights, root, "key", fly)
    ctx.sleep(root, 1)
    return function() ctx.sleep(root, 5) end, function()
      one:wait(root)
      assert.is_true(flights:call(root, "key", fly))
    end
  end,
}

--- Runs it with the n-th request for memory failing; whether so many came.
local function fails_at(make, n)
  local asked = 0
  local _ <close> = testing.clock()
  ctx.run(function(root)
    local operation, check = make(root)
    collectgarbage("stop")
    if has_alloc then alloc.fail_once(n) end
    pcall(operation)
    asked = has_alloc and alloc.reset() or 0
    collectgarbage("restart")
    check()
  end)
  return asked >= n
end

describe("without memory nothing is lost, and nothing waits for ever:", function()
  for name, make in pairs(operations) do
    it(name, function()
      reports(function()
        local n = 1
        while fails_at(make, n) do n = n + 1 end
      end)
    end)
  end
end)
