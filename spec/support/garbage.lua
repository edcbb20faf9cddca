-- SPDX-License-Identifier: MIT
--- Lua's collector, made to come by when it is unlikely to. Lua 5.5 has names for the numbers that
--- 5.4 takes with the mode, and a unit of its own for one of them.
local garbage = {}

local NAMES = { "pause", "stepmul", "stepsize" }
local named = pcall(collectgarbage, "param", NAMES[1])

--- The incremental collector with these numbers. Returns what brings back the one before.
local function set(by_name, in_order)
  local before = {}
  local mode = collectgarbage("incremental", table.unpack(in_order))
  for i, name in ipairs(named and NAMES or {}) do
    before[i] = collectgarbage("param", name, by_name[i])
  end
  return function()
    if named then
      for i, name in ipairs(NAMES) do
        collectgarbage("param", name, before[i])
      end
    else
      collectgarbage("incremental", 200, 100, 13) -- what Lua begins with
    end
    collectgarbage(mode)
  end
end

--- Calls fn(...) and returns what that returns. Meanwhile each object that Lua makes begins a whole
--- collection, finalizers included: what can happen at an allocation happens at each.
---@param fn fun(...): ...
function garbage.during(fn, ...)
  local as_before = set({ 0, 400, 0 }, { 1, 1000, 63 })
  collectgarbage("restart")
  local results = table.pack(pcall(fn, ...))
  as_before()
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- From now on a little of it at every allocation, as much as `percent` says, so that a collection
--- ends at another place with each. Returns a function that brings back what was.
function garbage.slowly(percent)
  return set({ 20, 100 * percent, 16 }, { 20, percent, 1 })
end

return garbage
