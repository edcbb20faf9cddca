-- SPDX-License-Identifier: MIT
-- after_func + stop beside many that are pending.

local ctx = require "ctx"

local ROUNDS = 2000

collectgarbage("incremental")

local function beside(root, name, count)
  local stops = {}
  for i = 1, count do
    stops[i] = ctx.after_func(root, print)
  end
  collectgarbage()
  local c, cancel <close> = ctx.with_cancel(root)
  local began = os.clock()
  for _ = 1, ROUNDS do
    ctx.after_func(c, print)()
  end
  print(("%s %.3f us"):format(name, (os.clock() - began) / ROUNDS * 1e6))
  for _, stop in ipairs(stops) do
    stop()
  end
  return cancel
end

ctx.run(function(root)
  beside(root, "after_funcs.few", 1000)
  beside(root, "after_funcs.many", 65534)
end)
