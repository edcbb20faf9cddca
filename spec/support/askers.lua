-- SPDX-License-Identifier: MIT
--- Tasks that ask a semaphore for units, for its specs.
local ctx = require "ctx"

local askers = {}

--- Starts a task that acquires, and writes its name and what came of it into `log`.
function askers.of(s, log)
  return function(name, c, k)
    return ctx.go(function()
      local ok, err = s:acquire(c, k)
      log[#log + 1] = ok and name or name .. ": " .. tostring(err)
    end)
  end
end

--- Lets everybody who can go on do so.
function askers.settle(root)
  ctx.sleep(root, 0)
  ctx.sleep(root, 0)
end

return askers
