-- SPDX-License-Identifier: MIT
--- Whether the garbage collector takes back what `make` returns, once `make` has returned.
return function(make)
  local weak = setmetatable({}, { __mode = "v" })
  -- In a function of its own: a value left in a dead register of this one would be kept alive.
  local function fill()
    weak[1] = make()
  end
  fill()
  collectgarbage()
  collectgarbage()
  return weak[1] == nil
end
