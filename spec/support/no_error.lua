-- SPDX-License-Identifier: MIT
--- Whether an error prints as one without a value does, within what else it says. Lua 5.5 puts a
--- text of its own in the place of nil, unless a message handler sees the error first.
local of_lua = select(2, pcall(error))

return function(err)
  local text = tostring(err)
  return text:find("an error without a value", 1, true) ~= nil
    or of_lua ~= nil and text:find(of_lua, 1, true) ~= nil
end
