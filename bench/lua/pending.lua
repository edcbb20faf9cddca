-- SPDX-License-Identifier: MIT
-- W10: a million timeouts open at once.

local ctx = require "ctx"
local meter = require "bench.lua.meter"

local PENDING_TIMEOUTS = 1000000
local MINUTE_MS = 60 * 1000

-- The deadlines lie spread over a minute, in no order, as those of requests of different kinds do;
-- equal ones would spare a heap its work. None comes due.
local function timeout_ms_of(i)
  return MINUTE_MS + i * 7919 % MINUTE_MS
end

-- A table with room for n, so that it is no part of the bytes.
local function filled(n)
  local t = {}
  for i = 1, n do
    t[i] = false
  end
  return t
end

-- Keeps what a program with a million open requests keeps. `make(parent, ms)` gives a context, its
-- cancel and, or nil, what takes back the function that waits on it.
local function pending(name, make)
  local n = meter.scaled(PENDING_TIMEOUTS)
  local contexts, cancels, stops = filled(n), filled(n), filled(n)
  local parent, _ <close> = ctx.with_cancel(ctx.background())

  local before = meter.memory()
  local watch = meter.watch(name)
  watch:start()
  for i = 1, n do
    contexts[i], cancels[i], stops[i] = make(parent, timeout_ms_of(i))
  end
  watch:stop()
  local after = meter.memory()
  watch:start()
  for i = 1, n do
    local stop = stops[i]
    if stop then
      stop()
    end
    cancels[i]()
  end
  watch:stop()
  watch:print(n, (after.live - before.live) // n, (after.resident - before.resident) // n)
end

local function never()
  error("stopped before it was due")
end

-- A function waits on each, taken back before the cancel: the request ended in time.
local function make_armed(parent, ms)
  local c, cancel = ctx.with_timeout(parent, ms)
  return c, cancel, ctx.after_func(c, never)
end

return {
  { "W10.idle", function() pending("W10.idle", ctx.with_timeout) end },
  { "W10.armed", function() pending("W10.armed", make_armed) end },
}
