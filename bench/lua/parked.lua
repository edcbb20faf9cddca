-- SPDX-License-Identifier: MIT
-- W9: a million tasks parked on one context, and what the collector does beside many.

local uv = require "luv"
local ctx = require "ctx"
local countdown = require "bench.lua.countdown"
local meter = require "bench.lua.meter"

local PARKED_TASKS = 1000000
local PARKED_BESIDE = 100000
local PAUSE_ITERATIONS = 10000000

-- Parks n tasks on c. Returns a function that waits until all of them are over.
local function park(root, c, n)
  local over, wait = countdown(root, n)
  local waiting = 0
  local function task()
    waiting = waiting + 1
    c:wait()
    over()
  end
  for _ = 1, n do
    ctx.go(task)
  end
  ctx.sleep(root, 0)
  assert(waiting == n, "not every task has parked")
  return wait
end

local function parked(root)
  local n = meter.scaled(PARKED_TASKS)
  local c, cancel <close> = ctx.with_cancel(root)
  local before = meter.memory()
  local parking, draining = meter.watch("W9.park"), meter.watch("W9.drain")
  parking:start()
  local wait = park(root, c, n)
  parking:stop()
  local after = meter.memory()
  parking:print(n, (after.live - before.live) // n, (after.resident - before.resident) // n)

  draining:start()
  cancel()
  wait()
  draining:stop()
  draining:print(n)
  if not meter.counting then
    print(("W9.peak %.0f"):format(meter.peak_bytes() / 2 ^ 20))
  end
end

-- The longest time between two turns of a loop that allocates, on the clock of the process's own
-- processor time, so that it does not count what the machine does meanwhile for others, and on that
-- of the wall; both in ms.
local function worst_gaps()
  local clock, hrtime = os.clock, uv.hrtime
  local worst, worst_wall = 0, 0
  local before, wall = clock(), hrtime()
  local small -- luacheck: ignore 231 (what is allocated must be kept for a moment)
  for i = 1, meter.scaled(PAUSE_ITERATIONS) do
    small = { i }
    local now, now_wall = clock(), hrtime()
    if now - before > worst then
      worst = now - before
    end
    if now_wall - wall > worst_wall then
      worst_wall = now_wall - wall
    end
    before, wall = now, now_wall
  end
  return worst * 1e3, worst_wall / 1e6
end

-- `servers`: with the collector as the documents of ctx.run advise it for servers.
local function pause(name, servers)
  return { name, function()
    ctx.run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local wait = park(root, c, meter.scaled(PARKED_BESIDE))
      if servers then
        collectgarbage("incremental", 200, 100, 9)
      end
      collectgarbage()
      local worst, worst_wall = worst_gaps()
      cancel()
      wait()
      print(("%s %.3f\n%s.wall %.3f"):format(name, worst, name, worst_wall))
    end)
  end }
end

return {
  { "W9", function() ctx.run(parked) end },
  pause("W9g", true),
  pause("W9g.default", false),
}
