-- SPDX-License-Identifier: MIT
--- CPU time in specs: never an absolute time, and never one measurement alone, since other programs
--- run beside this one, and share its caches.
local ATTEMPTS = 8

local cpu = {}

--- The CPU time of `times` calls of fn(i), in seconds: the least of five attempts. The collector's
--- work would be counted by chance, and is left out.
---@param times integer
---@param fn fun(i: integer)
---@return number seconds
function cpu.least(times, fn)
  local least = math.huge
  for _ = 1, 5 do
    collectgarbage()
    collectgarbage()
    collectgarbage("stop")
    local began = os.clock()
    for i = 1, times do fn(i) end
    least = math.min(least, os.clock() - began)
    collectgarbage("restart")
  end
  return least
end

--- Fails unless many() takes at most `factor` times the CPU time of few(). Each is measured again,
--- up to eight times, until the least of each agree: what costs too much always does.
---@param factor number
---@param few fun(): seconds: number
---@param many fun(): seconds: number
function cpu.at_most(factor, few, many)
  local near, far = math.huge, math.huge
  for _ = 1, ATTEMPTS do
    near, far = math.min(near, few()), math.min(far, many())
    if far <= factor * near then
      return
    end
  end
  error(("%.3f ms against %.3f ms: more than %g times as much")
    :format(far * 1000, near * 1000, factor), 2)
end

return cpu
