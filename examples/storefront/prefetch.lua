-- SPDX-License-Identifier: MIT
--- Warms the recommendations of a visitor in the background, as the postmortem's prefetcher should
--- have done (S95, S96): a bounded context, done in every wait, and a cap on how many run.
local ctx = require "ctx"
local semaphore = require "ctx.semaphore"
local client = require "client"

---@class Prefetcher
local Prefetcher = {}
Prefetcher.__index = Prefetcher

local TIMEOUT_MS, ATTEMPTS, BACKOFF_MS = 800, 3, 50

local prefetch = {}

---@param port integer  of the recommendations service
---@param cap integer   how many may run at the same time
---@param go fun(fn: function, ...)  starts a task that the shutdown waits for
---@return Prefetcher
function prefetch.new(port, cap, go)
  return setmetatable({
    port = port, places = semaphore.new(cap), go = go, started = 0, shed = 0,
  }, Prefetcher)
end

--- Whatever comes of it, nobody waits for the outcome.
local function attempt(self, c, id)
  local backoff_ms = BACKOFF_MS
  for _ = 1, ATTEMPTS do
    if client.ask(c, self.port, "warm " .. id) then
      return
    end
    -- Ends at once when the context does: then another attempt would be for nobody.
    if not ctx.sleep(c, backoff_ms) then
      return
    end
    backoff_ms = backoff_ms * 2
  end
end

local function run(self, request, id)
  -- It is to outlive the request, so it does not derive from its cancellation, only from its
  -- values; that is why it needs a timeout of its own.
  local c, cancel <close> = ctx.with_timeout(ctx.without_cancel(request), TIMEOUT_MS)
  attempt(self, c, id)
  self.places:release()
end

--- Starts one, or sheds it when the cap is reached: a prefetch is not worth waiting for.
---@param request ctx.Context
---@param id string
function Prefetcher:start(request, id)
  if not self.places:try_acquire() then
    self.shed = self.shed + 1
    return
  end
  self.started = self.started + 1
  self.go(run, self, request, id)
end

return prefetch
