-- SPDX-License-Identifier: MIT
--- Numbers that depend on the seed alone: not on the Lua release, nor on who else draws some.
---@param seed integer
---@return fun(n: integer): integer next  a number from 1 to n
return function(seed)
  local state = (seed ~ 0x5DEECE66D) & 0xFFFFFFFFFFFF
  return function(n)
    state = (state * 0x5DEECE66D + 11) & 0xFFFFFFFFFFFF
    return (state >> 17) % n + 1
  end
end
