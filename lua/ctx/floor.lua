-- SPDX-License-Identifier: MIT
--- Internal: refuses a Lua that this library cannot work with. The headers that the C module was
--- built with do not tell: another interpreter may load it.
---
--- Every scope of a group waits in its __close, which works from Lua 5.4.3 on; and 5.4.0 and 5.4.1
--- crash in functions that the C module calls.
local FLOOR = "ctx needs Lua 5.4.4 or later: in this %s a <close> variable cannot wait"

local function wait_in_close()
  local _ <close> = setmetatable({}, { __close = function() coroutine.yield() end })
end

local co = coroutine.create(wait_in_close)
if not coroutine.resume(co) or coroutine.status(co) ~= "suspended" then
  error(FLOOR:format(_VERSION), 0)
end
coroutine.resume(co)
