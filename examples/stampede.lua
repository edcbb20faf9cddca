-- SPDX-License-Identifier: MIT
--- A cache entry has expired, and many callers want it at once: one query answers them all.
--- Callers who give up leave the query running for the others. It ends when no caller is left.
--
-- Usage: ./dev lua examples/stampede.lua     (exits 0 only if all went as it should)

local ctx = require "ctx"
local singleflight = require "ctx.singleflight"
local waitgroup = require "ctx.waitgroup"

local queries, cut_short = 0, 0

local function query(c, id)
  queries = queries + 1
  local ok, err = ctx.sleep(c, 100)
  if not ok then
    cut_short = cut_short + 1
    return nil, err
  end
  return "user " .. id
end

--- So many callers, of whom some wait for 5 ms only; how many got it.
local function stampede(root, users, id, callers, impatient)
  local wg, got = waitgroup.new(), 0
  for i = 1, callers do
    wg:go(function()
      local c, cancel <close> = ctx.with_timeout(root, i <= impatient and 5 or 1000)
      if users:call(c, id, query, id) then
        got = got + 1
      end
    end)
  end
  wg:wait(root)
  print(("%d callers, %d without patience: %d got it; %d queries so far, %d cut short")
    :format(callers, impatient, got, queries, cut_short))
  return got
end

ctx.run(function(root)
  local users = singleflight.new()
  assert(stampede(root, users, 7, 100, 0) == 100 and queries == 1)
  assert(stampede(root, users, 7, 100, 40) == 60 and queries == 2)
  assert(stampede(root, users, 7, 100, 100) == 0 and queries == 3)
  ctx.sleep(root, 1)
  assert(cut_short == 1)
end)
