-- SPDX-License-Identifier: MIT
--- Internal: how many names libcurl looks up at a time (L16).
---
--- It has a thread for each, which nobody can stop: a request may be given up, its lookup goes on
--- until the system's resolver answers, and nobody hears of that. Without a limit, a resolver that
--- hangs would cost threads at the rate of the requests. So each lookup has a permit, and one that
--- was given up keeps its permit for the time in which resolvers usually answer.
local core = require "ctx.core"
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local semaphore = require "ctx.semaphore"

local lookups = {}

local LIMIT, LATE_MS = 32, 10000

-- The threads are the process's: one account for all clients.
local shared = core.shared("ctx.http.lookups")
shared.permits = shared.permits or semaphore.new(LIMIT)
shared.late = shared.late or {} -- when the permits of what was given up come back, the first first

--- Threads do not heed a clock that is moved by hand.
local function now()
  return host.uv.hrtime() / 1e6
end

--- Gives back what is due; then the ms until the next one is, if there is one.
local function settle()
  local late, at = shared.late, now()
  while late[1] and late[1] <= at do
    table.remove(late, 1)
    shared.permits:release()
  end
  return late[1] and late[1] - at
end

--- Waits for a permit.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function lookups.acquire(c)
  while true do
    local ms = settle()
    if shared.permits:try_acquire() then
      return true
    elseif not ms then
      return shared.permits:acquire(c)
    end
    local until_due, cancel <close> = ctx.with_timeout(c, ms)
    if shared.permits:acquire(until_due) then
      return true
    elseif c:err() then
      return nil, failure.ended(c)
    end
  end
end

--- The lookup is over.
function lookups.release()
  shared.permits:release()
end

--- Nobody waits for it any more, and it is not over.
function lookups.give_up()
  shared.late[#shared.late + 1] = now() + LATE_MS
end

return lookups
