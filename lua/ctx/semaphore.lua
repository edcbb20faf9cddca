-- SPDX-License-Identifier: MIT
--- A weighted semaphore: at most n units are held at a time; waiters are served in order.
local core = require "ctx.core"

local semaphore = {}

--- A semaphore of n units, none of them held.
---
--- `s:acquire(c [, k])` waits for k units (1 by default) as long as c lives: true, or nil and an
--- error. On a done context it fails even if units are free, and units that come in the same turn
--- as the end go back. More than n waits for c alone and holds up nobody; if c can never be done,
--- that raises. `s:try_acquire([k])` is false when units are short or others wait.
--- `s:release([k])` raises when fewer are held. `s:resize(n)` takes effect at once.
--- `s:held()` → held, n.
---@param n integer
---@return ctx.Semaphore
semaphore.new = core.semaphore

return semaphore
