-- SPDX-License-Identifier: MIT
--- A rule for tasks that outlive their request: each must (a) have a bounded context, (b) obey it
--- in every wait, and (c) be one of a limited number. Two of the three are not enough. Here are
--- all eight variants of one prefetcher, beside a service that has become slow, while the load
--- grows fourfold. Each runs for two minutes of a clock that is moved by hand.
--
-- Usage: ./dev lua examples/law.lua     (exits 0 only if the counts are what arithmetic says they
--                                       are, and the full variant is the only flat one)

local ctx = require("ctx")
local semaphore = require("ctx.semaphore")
local testing = require("ctx.testing")

-- Requests a second, each of which starts a prefetch; constant for a minute: a steady state.
local RATES, PHASE_S = { 20, 80 }, 60
-- The upstream takes 9 s to say no; a prefetch tries three times, after pauses of 50 and 100 ms.
local UPSTREAM_MS, PAUSES_MS = 9000, { 50, 100, 0 }
-- (a) The whole prefetch, and of that the wait for a place; (c) the places.
local BUDGET_MS, PLACE_MS, PLACES = 800, 20, 12
local SAMPLE_S = 2

-- How long one prefetch is there, when nothing ends it.
local HOLD_S = (3 * UPSTREAM_MS + 50 + 100) / 1000

-- ---- the prefetcher, with three switches --------------------------------------------------------

--- Asks the upstream. `hears` is the context that its waits are given.
local function fetch(hears)
  for attempt = 1, 3 do
    if not ctx.sleep(hears, UPSTREAM_MS) or not ctx.sleep(hears, PAUSES_MS[attempt]) then
      return
    end
  end
end

local function bounded(variant, parent, ms)
  if variant.bounded then
    return ctx.with_timeout(parent, ms)
  end
  return ctx.with_cancel(parent)
end

--- One prefetch. The wait for a place is a wait like any other: where it is bounded and heard, a
--- prefetch that gets none is shed; else it queues.
local function prefetch(variant, root, places)
  local c, cancel <close> = bounded(variant, root, BUDGET_MS)
  local deaf = ctx.background()
  if not variant.capped then
    return fetch(variant.listens and c or deaf)
  end
  local soon, no_more <close> = bounded(variant, c, PLACE_MS) -- luacheck: ignore no_more
  if places:acquire(variant.listens and soon or deaf) then
    fetch(variant.listens and c or deaf)
    places:release()
  end
end

-- ---- one run ------------------------------------------------------------------------------------

--- Lets the load come; returns the parked prefetches every two seconds.
local function measure(variant)
  local samples = {}
  ctx.run(function(root)
    local places = semaphore.new(PLACES)
    local parked, began = 0, ctx.now()
    local function count()
      parked = parked + 1
      prefetch(variant, root, places)
      parked = parked - 1
    end
    for phase, rate in ipairs(RATES) do
      for i = 1, rate * PHASE_S do
        ctx.go(count)
        ctx.sleep(root, began + ((phase - 1) * PHASE_S + i / rate) * 1000 - ctx.now())
        if i % (rate * SAMPLE_S) == 0 then
          samples[#samples + 1] = parked
        end
      end
    end
  end)
  return samples
end

--- What arithmetic says at the end of the first and of the second minute, how, and with how much
--- play.
local function expect(variant)
  local expected, how, play = {}, "arrivals x hold", {}
  local heard = variant.bounded and variant.listens
  local arrived = 0
  for i, rate in ipairs(RATES) do
    arrived = arrived + rate * PHASE_S
    if variant.capped and heard then
      -- A place may be free until the next one comes.
      how = "places, and the waiters"
      expected[i], play[i] = PLACES, 1 + rate * PLACE_MS / 1000
    elseif variant.capped then
      -- No steady state: more come than go, and they queue.
      expected[i], play[i] = arrived - PLACES * (i * PHASE_S // HOLD_S), 1
      how = "arrivals - places x turns"
    else
      -- Little's law.
      expected[i], play[i] = rate * (heard and BUDGET_MS / 1000 or HOLD_S), 1
    end
  end
  return expected, how, play
end

-- ---- as text ------------------------------------------------------------------------------------

local LEVELS = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

--- On a scale of logarithms, on which 6 000 is the top.
local function plot(samples)
  local out = {}
  for i, parked in ipairs(samples) do
    local level = math.log(math.max(parked, 1)) / math.log(6000) * #LEVELS
    out[i] = LEVELS[math.max(1, math.min(#LEVELS, math.ceil(level)))]
  end
  return table.concat(out)
end

local function describe(variant)
  return ("%s %s %s"):format(variant.bounded and "bounded" or "-      ",
    variant.listens and "listens" or "-      ", variant.capped and "capped" or "-     ")
end

local failed = false

local function show(variant)
  local samples = measure(variant)
  local expected, how, play = expect(variant)
  local ends = { samples[#samples // 2], samples[#samples] }
  local flat = ends[2] <= 1.25 * ends[1]
  print(("%s  %s  %6d %6d   %-5s  %s = %g, %g"):format(describe(variant), plot(samples), ends[1],
    ends[2], flat and "flat" or "grows", how, expected[1], expected[2]))
  for i = 1, 2 do
    if math.abs(ends[i] - expected[i]) > play[i] then
      print(("    but arithmetic says %g, give or take %g"):format(expected[i], play[i]))
      failed = true
    end
  end
  local full = variant.bounded and variant.listens and variant.capped
  if flat ~= (full == true) then
    print("    which is not what the law says")
    failed = true
  end
end

collectgarbage("generational")
local _ <close> = testing.clock()

print(("%d requests/s for %d s, then %d requests/s; an upstream that takes %g s to fail, 3 attempts"
  .. ":\na hold of %g s, or of %g s where the context is bounded and heard. %d places.\n"):format(
  RATES[1], PHASE_S, RATES[2], UPSTREAM_MS / 1000, HOLD_S, BUDGET_MS / 1000, PLACES))
print(("%-24s%-62s%6s %6s"):format("the variant", "parked tasks over two minutes, log scale",
  PHASE_S .. " s", 2 * PHASE_S .. " s"))
for bits = 0, 7 do
  show({ bounded = bits & 4 ~= 0, listens = bits & 2 ~= 0, capped = bits & 1 ~= 0 })
end
print(failed and "\nnot as it must be" or "\nonly all three together are flat")
os.exit(failed and 1 or 0, true)
