-- SPDX-License-Identifier: MIT
-- W1 and W2: one context made and cancelled, with nobody waiting and with somebody.

local ctx = require "ctx"
local meter = require "bench.lua.meter"

local REQUEST_TIMEOUT_MS = 10 * 1000

local function never()
  error("stopped before it was due")
end

local function nothing() end

local function with_cancel()
  local parent, _ <close> = ctx.with_cancel(ctx.background())
  meter.per_op("W1", 2000000, function(n)
    for _ = 1, n do
      local _, cancel = ctx.with_cancel(parent)
      cancel()
    end
  end)
end

-- Idle: nobody waits, so a context that is linked lazily is in no list and has no timer.
local function with_timeout_idle()
  local parent, _ <close> = ctx.with_cancel(ctx.background())
  meter.per_op("W2.idle", 1000000, function(n)
    for _ = 1, n do
      local _, cancel = ctx.with_timeout(parent, REQUEST_TIMEOUT_MS)
      cancel()
    end
  end)
end

-- Armed: it has been in every list that it can be in.
local function with_timeout_armed()
  local parent, _ <close> = ctx.with_cancel(ctx.background())
  meter.per_op("W2.armed", 1000000, function(n)
    for _ = 1, n do
      local c, cancel = ctx.with_timeout(parent, REQUEST_TIMEOUT_MS)
      local stop = ctx.after_func(c, never)
      stop()
      cancel()
    end
  end)
end

-- A task must be parked before its context is cancelled, so this stays one task ahead: waiting for
-- the one before lets the new one run as far as its wait.
local function with_timeout_parked(root)
  local parked = 0
  local function park(c)
    parked = parked + 1
    c:wait()
  end
  local function start()
    local c, cancel = ctx.with_timeout(root, REQUEST_TIMEOUT_MS)
    return ctx.go(park, c), cancel
  end
  meter.per_op("W2b", 500000, function(n)
    parked = 0
    local before, cancel_before = ctx.go(nothing), nothing
    for i = 1, n do
      local task, cancel = start()
      cancel_before()
      before:wait()
      assert(parked == i, "the task has not parked")
      before, cancel_before = task, cancel
    end
    cancel_before()
    before:wait()
  end)
end

return {
  { "W1", with_cancel },
  { "W2.idle", with_timeout_idle },
  { "W2.armed", with_timeout_armed },
  { "W2b", function() ctx.run(with_timeout_parked) end },
}
