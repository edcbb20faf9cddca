-- SPDX-License-Identifier: MIT
-- Cause: g:wait() registered with the core before the last step that may raise or run finalizers.
-- A wait in a place that cannot wait left a pointer to the group behind, and a finalizer that asked
-- the same group took back what the wait had registered: it was never woken. Cure: a wait makes its
-- record first, which may fail or run others; then it looks, joins a line and parks, with nothing
-- in between. Here for every wait that C has.
local ctx = require "ctx"
local program = require "spec.support.program"
local testing = require "ctx.testing"
local waits = require "spec.support.waits"

local function collect()
  collectgarbage()
  collectgarbage()
end

local function registered()
  local counters = ctx.counters()
  return { counters.watchers, counters.linked, counters.parked, counters.external }
end

for name, make in pairs(waits) do
  describe(name, function()
    it("in a place that cannot wait leaves nothing behind", function()
      testing.run(function(root)
        local wait, finish = make(root)
        ctx.sleep(root, 1)
        collect()
        local before = registered()
        for _ = 1, 3 do
          local ok, err = pcall(table.sort, { 1, 2 }, function() wait(root) end)
          assert.is_false(ok)
          assert.matches("cannot wait here", tostring(err))
        end
        assert.same(before, registered())
        finish()
        ctx.sleep(root, 5)
        wait, finish = nil, nil -- luacheck: ignore
        ctx.sleep(root, 1)
        collect()
        ctx.sleep(root, 1)
      end)
    end)
  end)
end

-- A finalizer runs at each step of a wait at which one can: it waits in the same, with a context
-- that is done and in coroutines of its own, and leaves the next one behind. A sleep had reserved
-- its alarm before it made its record: these coroutines took it.
local BESIDE_FINALIZERS = [[
  local ctx = require "ctx"
  local garbage = require "spec.support.garbage"
  require("ctx.testing").run(function(root) -- time passes when all that can go on has
    local done, cancel = ctx.with_cancel(root)
    cancel()
    local wait, finish = require("spec.support.waits")["%s"](root)
    local left, asked, waiting = 0, 0, false
    local function start()
      left = left + 1
      coroutine.wrap(function()
        waiting = true
        if wait(root) then left = left - 1 end
      end)()
      waiting = false
    end
    local function interfere()
      if waiting then
        asked = asked + 1
        wait(done)
        for _ = 1, 3 do start() end
        waiting = true
      end
      if waiting ~= nil then setmetatable({}, { __gc = interfere }) end
    end
    garbage.during(function()
      interfere()
      for _ = 1, 70 do start() end -- there is room for 64 records at a time
      waiting = nil
    end)
    finish()
    ctx.sleep(root, 50)
    print(left, asked > 0)
  end)
]]

describe("beside finalizers that wait in the same", function()
  for name in pairs(waits) do
    it(name .. " ends", function()
      local output, noise, code = program.run(BESIDE_FINALIZERS:format(name))
      assert.same({ "0\ttrue\n", "", 0 }, { output, noise, code })
    end)
  end
end)

-- Cause: what was granted was noted only once the waiter had been woken, which may run finalizers.
-- When one of them closed the waiter's coroutine, a value was lost, and a mutex stayed locked for
-- good. Cure: it is noted, then the waiter is woken; one that leaves gives back what is noted.
local CLOSED_BY_FINALIZERS = [[
  local ctx, line = require "ctx", require "ctx.line"
  local channel, mutex = require "ctx.channel", require "ctx.mutex"
  local semaphore, waitgroup = require "ctx.semaphore", require "ctx.waitgroup"
  local c = ctx.background()
  -- Each: how to wait; how to give, which tells whether it did; whether what was given is there.
  local kinds = {
    recv = function()
      local ch, got = channel.new(), nil
      return function() got = ch:recv(c) end, function() return ch:try_send("value") end,
        function() return got or ch:try_recv() end
    end,
    select = function()
      local ch, other, got = channel.new(), channel.new(), nil
      return function() got = select(2, channel.select(c, { { recv = ch }, { recv = other } })) end,
        function() return ch:try_send("value") end, function() return got or ch:try_recv() end
    end,
    lock = function()
      local m = mutex.new()
      m:try_lock()
      return function() m:lock(c) m:unlock() end, function() m:unlock() return true end,
        function() return m:try_lock() end
    end,
    acquire = function()
      local s = semaphore.new(1)
      s:try_acquire()
      return function() s:acquire(c) s:release() end, function() s:release() return true end,
        function() return s:try_acquire() end
    end,
    waitgroup = function()
      local wg = waitgroup.new()
      wg:add()
      return function() wg:wait(c) end, function() wg:done() return true end,
        function() return pcall(wg.add, wg) end
    end,
  }
  local function try(make)
    local wait, give, is_there = make()
    local co, closed = coroutine.create(wait), false
    coroutine.resume(co)
    for _ = 1, 20 do
      setmetatable({}, { __gc = function()
        if co and coroutine.status(co) == "suspended" then
          coroutine.close(co)
          closed = true
        end
      end })
    end
    local given = give()
    local during = closed
    co = nil
    ctx.run(function(root) ctx.sleep(root, 0) end)
    return given and not is_there(), during
  end
  for name, make in pairs(kinds) do
    local lost, closed = 0, 0
    for round = 1, 600 do
      collectgarbage()
      require("spec.support.garbage").slowly(100 + round % 300)
      local was_lost, was_closed = try(make)
      lost, closed = lost + (was_lost and 1 or 0), closed + (was_closed and 1 or 0)
    end
    print(name, lost, closed > 100)
  end
]]

describe("what is granted while a finalizer closes the coroutine that waits", function()
  it("goes to the next", function()
    local output, noise, code = program.run(CLOSED_BY_FINALIZERS)
    assert.equal("", noise)
    assert.equal(0, code)
    for _, name in ipairs { "recv", "select", "lock", "acquire", "waitgroup" } do
      assert.matches(name .. "\t0\ttrue\n", output, 1, true)
    end
  end)
end)

-- Cause: what a hook was to tell luv's handles counted as not told when it failed halfway, so that
-- the opposite, once it was wanted, was not told: a timer stayed without its reference. Cure: what
-- is not known is told again.
describe("waits that failed near the limit of C calls", function()
  it("do no harm to later ones at the top", function()
    local output, noise, code = program.run([[
      local ctx = require "ctx"
      ctx.set_report(function() end)
      local c = ctx.background()
      local function nested(n, fn)
        if n == 0 then return fn() end
        assert(pcall(nested, n - 1, fn))
      end
      for depth = 180, 200 do
        pcall(nested, depth, function()
          for _ = 1, 3 do
            ctx.go(function() nested(5, function() ctx.sleep(c, 1) end) end)
          end
          ctx.sleep(c, 5)
        end)
      end
      for _ = 1, 3 do print(pcall(ctx.sleep, c, 1)) end
    ]])
    assert.equal("", noise)
    assert.equal(("true\ttrue\n"):rep(3), output)
    assert.equal(0, code)
  end)
end)
