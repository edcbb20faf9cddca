-- SPDX-License-Identifier: MIT
local ctx = require "ctx"

--- Calls `fn` and returns the reports that were sent meanwhile, as a list of {message =, kind =};
--- nothing goes to stderr. What `fn` raises goes on to the caller.
---@param fn fun(list: table)
return function(fn)
  local list = {}
  local previous = ctx.set_report(function(message, kind)
    list[#list + 1] = { message = message, kind = kind }
  end)
  local ok, err = pcall(fn, list)
  ctx.set_report(previous)
  if not ok then
    error(err, 0)
  end
  return list
end
