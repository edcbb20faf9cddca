-- SPDX-License-Identifier: MIT
-- What holds values that come and go: in order (ctx.fifo), by keys (ctx.registry), and back in the
-- order in which they were granted (ctx.channel.returned). Each against a plain model, and its cost
-- beside as many values as a Lua table has room for.
--
-- Cause: a Lua table uses the place of a removed key again only once it has been built anew, which
-- happens at each new key beside 2^k - 1 others: a value in a channel cost 60 µs beside 4095, 190
-- beside 16 383, and 1 beside 4096. Cure: no table loses keys one by one while others come.
local channel = require "ctx.channel"
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local fifo = require "ctx.fifo"
local mutex = require "ctx.mutex"
local pool = require "ctx.pool"
local randoms = require "spec.support.random"
local registry = require "ctx.registry"
local returned = require "ctx.channel.returned"
local shutdown = require "ctx.shutdown"
local signal = require "ctx.signal"
local singleflight = require "ctx.singleflight"

local seed = os.time()

describe("a fifo", function()
  it(("is a list from which the first is taken: seed %d"):format(seed), function()
    local draw = randoms(seed)
    local model, queue = {}, fifo.new()
    for i = 1, 20000 do
      if draw(100) <= (i % 4000 < 2000 and 60 or 40) then
        fifo.push(queue, i)
        table.insert(model, i)
      else
        assert.equal(model[1], fifo.peek(queue))
        assert.equal(table.remove(model, 1), fifo.pop(queue))
      end
      assert.equal(#model, queue.count)
    end
  end)
end)

describe("a fifo that was long", function()
  it("gives its memory back", function()
    local queue = fifo.new()
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    for i = 1, 100000 do fifo.push(queue, i) end
    for i = 1, 100000 do assert(fifo.pop(queue) == i) end
    fifo.push(queue, 1)
    fifo.pop(queue)
    collectgarbage()
    collectgarbage()
    assert(collectgarbage("count") - before < 20, collectgarbage("count") - before)
  end)
end)

describe("a registry", function()
  it(("is a table: seed %d"):format(seed), function()
    local draw = randoms(seed)
    local model, entries, count = {}, registry.new(), 0
    for i = 1, 20000 do
      local key = draw(500)
      if draw(2) == 1 then
        count = count + (model[key] and 0 or 1)
        model[key] = i
        registry.set(entries, key, i)
      else
        count = count - (model[key] and 1 or 0)
        model[key] = nil
        registry.remove(entries, key)
      end
      key = draw(500)
      assert.equal(model[key], registry.get(entries, key))
      assert.equal(count, entries.count)
    end
  end)

  it("keeps few keys that were removed, and none when it is empty", function()
    local weak = setmetatable({}, { __mode = "k" })
    local entries = registry.new()
    local function churn(n)
      for _ = 1, n do
        local key = {}
        weak[key] = true
        registry.set(entries, key, true)
        registry.remove(entries, key)
      end
    end
    registry.set(entries, "stays", true)
    churn(1000)
    collectgarbage()
    local kept = 0
    for _ in pairs(weak) do kept = kept + 1 end
    assert(kept <= 34, kept)
    registry.remove(entries, "stays")
    churn(1)
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("what came back", function()
  it(("comes out in the order of the grants: seed %d"):format(seed), function()
    local draw = randoms(seed)
    local model, heap = {}, false
    local free = {}
    for order = 1, 3000 do free[order] = order end
    while #free > 0 or #model > 0 do
      if #free > 0 and draw(100) <= 55 then
        local order = table.remove(free, draw(#free))
        heap = returned.push(heap, { value = "value " .. order, order = order })
        table.insert(model, order)
      elseif #model > 0 then
        table.sort(model)
        local value
        value, heap = returned.pop(heap)
        assert.equal("value " .. table.remove(model, 1), value)
      end
      assert.equal(#model > 0, heap ~= false)
    end
  end)
end)

-- ---- cost -------------------------------------------------------------------------------------

--- Each makes something with n values that stay, and returns a function that lets one come and go.
local beside = {
  ["a channel"] = function(_, n)
    local ch = channel.new(n + 1)
    for i = 1, n do ch:try_send(i) end
    return function(i)
      ch:try_send(i)
      ch:try_recv()
    end
  end,
  ["a singleflight"] = function(c, n)
    local flights = singleflight.new()
    local function wait(w) w:wait() end
    for _ = 1, n do ctx.go(flights.call, flights, c, {}, wait) end
    ctx.sleep(c, 0)
    return function()
      flights:call(c, {}, function() end)
    end
  end,
  ["a shutdown"] = function(c, n)
    local s = shutdown.new(c, { signals = {} })
    local function wait() c:wait() end
    for _ = 1, n do s:go(wait) end
    ctx.sleep(c, 0)
    return function()
      s:go(function() end):wait()
    end
  end,
  ["a signal"] = function(c, n)
    local name = n % 2 == 0 and "sigusr1" or "sigusr2" -- one each
    for _ = 1, n do signal.notify(c, name) end
    return function()
      local _, stop = signal.notify(c, name)
      stop()
    end
  end,
  ["the after-funcs of a context"] = function(parent, n)
    local c = ctx.with_cancel(parent)
    for _ = 1, n do ctx.after_func(c, function() end) end
    return function()
      ctx.after_func(c, function() end)()
    end
  end,
  ["the waiters for a lock"] = function(c, n)
    local m = mutex.new()
    m:try_lock()
    for _ = 1, n do ctx.go(m.lock, m, c) end
    ctx.sleep(c, 0)
    return function()
      local own, cancel <close> = ctx.with_cancel(c)
      ctx.go(m.lock, m, own)
      ctx.sleep(c, 0)
    end
  end,
  ["the children of a context"] = function(parent, n)
    local c = ctx.with_cancel(parent)
    for _ = 1, n do ctx.after_func((ctx.with_timeout(c, 1e6)), function() end) end
    return function()
      local own, cancel <close> = ctx.with_timeout(c, 1e6)
      ctx.after_func(own, function() end)()
    end
  end,
  ["a pool's queue"] = function(c, n)
    local gate = channel.new()
    local p = pool.new(c, { workers = 1, queue = n + 1 }, function() gate:recv(c) end)
    for i = 1, n do p:submit(c, i) end
    ctx.sleep(c, 0)
    return function(i)
      p:try_submit(i)
      gate:try_send(true)
      ctx.sleep(c, 0)
    end
  end,
}

describe("one that comes and goes costs the same beside 4095 as beside 3000 in", function()
  for name, make in pairs(beside) do
    it(name, function()
      ctx.run(function(root)
        local c, cancel <close> = ctx.with_cancel(root)
        local few, many = make(c, 3000), make(c, 4095)
        cpu.at_most(5, function() return cpu.least(150, few) end, function()
          return cpu.least(150, many)
        end)
      end)
    end)
  end
end)

-- Cause: each value that came back was moved past all that had come back before: the square of
-- their number. Cure: a heap.
describe("values that go back to a channel cost about as much as they are many", function()
  local function cost(n, order)
    local used
    ctx.run(function(root)
      local ch, cancels = channel.new(n), {}
      for i = 1, n do
        local c
        c, cancels[i] = ctx.with_cancel(root)
        ctx.go(ch.recv, ch, c)
      end
      ctx.sleep(root, 0)
      for i = 1, n do ch:try_send(i) end
      for i = 1, n do cancels[order(i, n)]() end
      -- The collector's work would be counted by chance.
      collectgarbage()
      collectgarbage("stop")
      local began = os.clock()
      repeat
        ctx.sleep(root, 0)
      until ctx.counters().parked == 0
      used = os.clock() - began
      collectgarbage("restart")
      for i = 1, n do assert.equal(i, (ch:try_recv())) end
    end)
    return used
  end

  for name, order in pairs {
    ["in order"] = function(i) return i end,
    ["the last first"] = function(i, n) return n + 1 - i end,
    ["in any order"] = function(i, n) return i * 7919 % n + 1 end, -- a prime, so each comes once
  } do
    it(name, function()
      cost(500, order)
      cpu.at_most(24, function() return cost(2000, order) end, function()
        return cost(16000, order)
      end)
    end)
  end
end)
