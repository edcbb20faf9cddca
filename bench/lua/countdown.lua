-- SPDX-License-Identifier: MIT
-- A count that many tasks or functions bring to nothing while one task waits for that: what Go's
-- sync.WaitGroup is in the peer's rows.

local ctx = require "ctx"

-- Returns a function to be called n times, and one that parks until it has been.
return function(root, n)
  local left, resolve_all = n, nil
  local function hit()
    left = left - 1
    if left == 0 and resolve_all then
      resolve_all()
    end
  end
  local function wait()
    if left > 0 then
      ctx.await(root, function(resolve) resolve_all = resolve end)
    end
  end
  return hit, wait
end
