-- SPDX-License-Identifier: MIT
--- What both specs of ctx.pool use.
local ctx = require "ctx"

local pools = {}

--- A worker's function that sleeps for as many ms as the item says; the items that it finished, in
--- order; and how many of its calls are running now, and were at most.
---@return fun(c: ctx.Context, ms: number): true|nil, any?
---@return number[] seen
---@return { count: integer, most: integer } now
function pools.sleeper()
  local now, seen = { count = 0, most = 0 }, {}
  return function(c, ms)
    now.count = now.count + 1
    now.most = math.max(now.most, now.count)
    local ok, err = ctx.sleep(c, ms)
    now.count = now.count - 1
    if ok then
      seen[#seen + 1] = ms
    end
    return ok, err
  end, seen, now
end

return pools
