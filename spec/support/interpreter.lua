-- SPDX-License-Identifier: MIT
--- The interpreter that runs these specs, to run other programs by it.
---@return string
return function()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return i < 0 and arg[i] or "lua5.4"
end
