-- SPDX-License-Identifier: MIT
--- Whether an error prints as one without a value does; a traceback may follow. Lua 5.5 puts a text
--- of its own in the place of nil, unless a message handler sees the error first.
local of_lua = select(2, pcall(error))

return function(err)
  local text = tostring(err):match "^[^\n]*"
  return text == "an error without a value" or text == of_lua
end
