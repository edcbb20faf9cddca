-- SPDX-License-Identifier: MIT
local has_alloc, alloc = pcall(require, "alloc") -- lua-static's

--- Raises "not enough memory". In lua-static it is Lua itself that is out of memory, and then it
--- calls no message handler; elsewhere it is a library; under stress.lua, which lets allocations
--- fail by itself, only the error is the same.
return function()
  if package.loaded["spec.support.shortage"] then
    error("not enough memory", 0)
  elseif has_alloc then
    alloc.fail_once(1)
    return { {} }
  end
  return io.tmpfile():read(1 << 60) -- more than there are addresses
end
