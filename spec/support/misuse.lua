-- SPDX-License-Identifier: MIT
--- What every spec of misuse asks for, in one place.
local misuse = {}

--- Calls `fn` and demands that it raises a string that begins with a line of `fn` itself (so the
--- blame lies with the caller) and holds each of the given plain texts. Returns the message.
function misuse.raises(fn, ...)
  local ok, message = pcall(fn)
  if ok then
    error("no error was raised", 2)
  end
  if type(message) ~= "string" then
    error("not a message: " .. tostring(message), 2)
  end
  local where = debug.getinfo(fn, "S")
  local file, line = message:match("^(.-):(%d+): ")
  line = tonumber(line)
  if file ~= where.short_src or line < where.linedefined or line > where.lastlinedefined then
    error("not at the caller's line: " .. message, 2)
  end
  for i = 1, select("#", ...) do
    local text = select(i, ...)
    if not message:find(text, 1, true) then
      error(("%q is not in: %s"):format(text, message), 2)
    end
  end
  return message
end

return misuse
