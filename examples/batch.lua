-- SPDX-License-Identifier: MIT
--- A loop that only computes keeps timers from firing. So it asks for its deadline itself, after
--- every 100 items.
--
-- Usage: ./dev lua examples/batch.lua     (exits 0 only if all went as it should)

local ctx = require "ctx"
local errors = require "ctx.errors"

local EVERY = 100

local function process(item)
  local sum = 0
  for i = 1, 2000 do
    sum = sum + i % item
  end
  return sum
end

local function process_all(c, items)
  for i = 1, items do
    if i % EVERY == 0 then
      local err = c:err()
      if err then
        return nil, errors.wrap(err, ("cancelled at item %d"):format(i))
      end
    end
    process(i)
  end
  return items
end

ctx.run(function(root)
  local c, cancel <close> = ctx.with_timeout(root, 20)
  local done, err = process_all(c, math.huge)
  print(done, err)
  assert(done == nil and errors.is(err, ctx.deadline_exceeded))
  assert(process_all(root, 1000) == 1000)
end)
