-- SPDX-License-Identifier: MIT
--- Warms the recommendations of a visitor in the background, as the postmortem's prefetcher should
--- have done: a bounded context, done in every wait, and a cap on how many run.
local ctx = require "ctx"
local retry = require "ctx.retry"
local semaphore = require "ctx.semaphore"
local service = require "service"

---@class Prefetcher
---@field counts { begun: integer, shed: integer, running: integer, most: integer }
local Prefetcher = {}
Prefetcher.__index = Prefetcher

local TIMEOUT_MS, ATTEMPTS, BACKOFF_MS = 800, 3, 50

local prefetch = {}

---@param port string  of the recommendations service
---@param cap integer  how many may run at the same time
---@param s ctx.shutdown.Shutdown  waits for those that run, and lets no more begin
---@return Prefetcher
function prefetch.new(port, cap, s)
  return setmetatable({
    url = ("http://127.0.0.1:%s/warm/"):format(port), places = semaphore.new(cap), shutdown = s,
    counts = { begun = 0, shed = 0, running = 0, most = 0 },
  }, Prefetcher)
end

local function count_in(counts)
  counts.begun = counts.begun + 1
  counts.running = counts.running + 1
  counts.most = math.max(counts.most, counts.running)
end

--- Whatever comes of it, nobody waits for the outcome.
local function run(_, self, request, id)
  count_in(self.counts)
  -- It is to outlive the request, so it does not derive from its cancellation, only from its
  -- values; that is why it needs a timeout of its own.
  local c, cancel <close> = ctx.with_timeout(ctx.without_cancel(request), TIMEOUT_MS)
  retry.call(c, { attempts = ATTEMPTS, backoff = BACKOFF_MS }, service.get, self.url .. id, "POST")
  self.counts.running = self.counts.running - 1
  self.places:release()
end

--- Starts one, or sheds it when the cap is reached: a prefetch is not worth waiting for.
---@param request ctx.Context
---@param id string
function Prefetcher:start(request, id)
  if not self.places:try_acquire() then
    self.counts.shed = self.counts.shed + 1
  elseif not self.shutdown:go(run, self, request, id) then
    self.places:release() -- the service shuts down
  end
end

return prefetch
