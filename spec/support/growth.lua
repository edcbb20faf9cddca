-- SPDX-License-Identifier: MIT
--- The kilobytes that stay with each call of `round`: the least growth from one of five calls to
--- the next. What leaks does so in every round; tables that double once, somewhere, do not.
local function kilobytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

---@param round fun()
---@return number kilobytes
return function(round)
  round()
  local least, before = math.huge, kilobytes()
  for _ = 1, 4 do
    round()
    local after = kilobytes()
    least, before = math.min(least, after - before), after
  end
  return least
end
