-- SPDX-License-Identifier: MIT
local has_alloc, alloc = pcall(require, "alloc") -- lua-static's

--- Raises "not enough memory". In lua-static it is Lua itself that is out of memory, and then it
--- calls no message handler; elsewhere it is a library.
return function()
  if has_alloc then
    alloc.fail_once(1)
    return { {} }
  end
  return io.tmpfile():read(1 << 60) -- more than there are addresses
end
