-- SPDX-License-Identifier: MIT
--- Loses finalizers, as Lua does near its limits: it calls a finalizer by a protected call, and
--- where there is no room for that, at about 197 nested C calls or at the end of the Lua stack, it
--- only warns and frees the object all the same.
---
--- A memory fault does not show by itself: these specs mean most under AddressSanitizer.
local lost = {}

-- Nested C calls: a coroutine that is resumed begins with its resumer's.
local FEWEST, MOST = 150, 200

--- Calls fn with `n` more C calls below it.
local function nested(n, fn)
  if n == 0 then return fn() end
  assert(pcall(nested, n - 1, fn))
end

--- Calls fn at each depth of C calls that is left before the limit.
function lost.at_c_limit(fn)
  for depth = FEWEST, MOST do
    if not pcall(nested, depth, fn) then return end
  end
end

local FRAME, NEAR = 190, 40 -- slots of a frame; those that are left where finalizers are lost

--- A function with a large frame: a few thousand calls fill the stack.
local names = {}
for i = 1, FRAME do
  names[i] = "a" .. i
end
local deep = load(([[
  local function last(fn, ...) fn() end
  local function deep(n, fn, padding)
    local %s
    if n > 0 then
      deep(n - 1, fn, padding)
    else
      last(fn, table.unpack(padding, 1, padding.n))
    end
    return a1
  end
  return deep
]]):format(table.concat(names, ",")))()

--- The largest number from `low` on, where it fits, and below `high`, where it does not.
local function largest(low, high, fits)
  while high - low > 1 do
    local middle = (low + high) // 2
    if fits(middle) then low = middle else high = middle end
  end
  return low
end

--- Functions that call what they are given near the end of the Lua stack, each with fewer slots
--- left.
local function ways_to_the_end()
  local function way(frames, slots)
    return function(fn)
      return pcall(deep, frames, fn, { n = slots })
    end
  end
  local function nothing() end
  local frames = largest(1, 20000, function(n) return way(n, 0)(nothing) end)
  local slots = largest(0, 2 * FRAME, function(n) return way(frames, n)(nothing) end)
  local ways = {}
  for left = NEAR, 0, -1 do
    ways[#ways + 1] = way(frames, math.max(0, slots - left))
  end
  return ways
end

local function collect()
  collectgarbage()
  collectgarbage()
end

--- Calls make() and collects what it left behind where finalizers are lost. Returns how often a
--- finalizer was lost meanwhile: an object of its own tells.
function lost.collect(make)
  local kept = 0
  local function round(where)
    local called = false
    make()
    -- Made of C, as ours are: those need more of the stack.
    setmetatable({}, { __gc = coroutine.wrap(function() called = true end) })
    collectgarbage("stop")
    where(collect)
    collectgarbage("restart")
    if not called then kept = kept + 1 end
  end
  for depth = FEWEST, MOST do
    local over = false
    round(function(fn) over = not pcall(nested, depth, fn) end)
    if over then break end
  end
  for _, way in ipairs(ways_to_the_end()) do
    round(way)
  end
  collect()
  return kept
end

return lost
