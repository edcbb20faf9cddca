-- SPDX-License-Identifier: MIT
--- Internal: how many names libcurl looks up at a time.
---
--- It has a thread for each, which nobody can stop: a request may be given up, its lookup goes on
--- until the system's resolver answers, and nobody hears of that. Without a limit, a resolver that
--- hangs would cost threads at the rate of the requests. So each lookup has a permit, and one that
--- was given up keeps its permit for the time in which resolvers usually answer.
local core = require "ctx.core"
local host = require "ctx.uv.host"
local semaphore = require "ctx.semaphore"

local lookups = {}

local LIMIT = 32

-- The threads are the process's: one account for all clients.
local shared = core.shared("ctx.http.lookups")
shared.permits = shared.permits or semaphore.new(LIMIT)
shared.late_ms = shared.late_ms or 10000
shared.late = shared.late or {} -- when the permits of what was given up come back, the first first

--- Threads do not heed a clock that is moved by hand.
local function now()
  return host.uv.hrtime() / 1e6
end

--- Gives back what is due, and sets a timer for the next: a waiter gets its permit then,
--- whether or not anybody asks again.
local function give_back()
  local late, at = shared.late, now()
  while late[1] and late[1] <= at do
    table.remove(late, 1)
    shared.permits:release()
  end
  if not late[1] then
    if shared.timer then
      host.close(shared.timer)
      shared.timer = nil
    end
    return
  end
  host.uv.update_time()
  local scope <close> = host.owned()
  local timer = shared.timer
  if not timer then
    timer = assert(host.uv.new_timer())
    scope.handle = timer
  end
  timer:start(math.ceil(late[1] - at), 0, host.guarded(give_back))
  timer:unref()
  shared.timer = timer -- only now: before, it would pass for one that runs
  scope.handle = false
end

--- Waits for a permit.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function lookups.acquire(c)
  if shared.timer and shared.timer:is_closing() then -- by a program that closes all handles
    shared.timer = nil
    give_back()
  end
  return shared.permits:acquire(c)
end

--- The lookup is over.
function lookups.release()
  shared.permits:release()
end

--- Nobody waits for it any more, and it is not over.
function lookups.give_up()
  shared.late[#shared.late + 1] = now() + shared.late_ms
  if #shared.late == 1 then
    give_back()
  end
end

return lookups
