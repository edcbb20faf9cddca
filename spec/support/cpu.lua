-- SPDX-License-Identifier: MIT
--- The CPU time of `times` calls of fn(i), in seconds: the least of five attempts, since other
--- programs run beside this one. The collector's work would be counted by chance, and is left out.
---@param times integer
---@param fn fun(i: integer)
---@return number seconds
return function(times, fn)
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
