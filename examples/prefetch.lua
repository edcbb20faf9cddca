-- SPDX-License-Identifier: MIT
--- A prefetcher that cannot pile up: 256 places, and what finds no place is refused; 800 ms for all
--- of it; three attempts, with pauses of 50 and 100 ms; and the context in every wait.
---
--- Which context? On the request's context a prefetch ends when the request has been answered. That
--- is right if its result is for this very answer. A prefetch that warms a cache must outlive the
--- request, so it is detached, and only the timeout and the places bound it. Here are both; the
--- caller chooses.
--
-- Usage: ./dev lua examples/prefetch.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local errors = require("ctx.errors")
local semaphore = require("ctx.semaphore")
local testing = require("ctx.testing")

local CAPACITY, TIMEOUT_MS, ATTEMPTS, BACKOFF_MS = 256, 800, 3, 50

local prefetcher = { places = semaphore.new(CAPACITY), shed = 0, endings = {} }

--- Tries until it has the item, or its context is done. The pause is a wait like the others: there
--- is no timer that goes on when nobody wants it any more.
local function fetch(c, upstream)
  local pause, last = BACKOFF_MS, nil
  for attempt = 1, ATTEMPTS do
    local item, err = upstream(c, attempt)
    if item then
      return item
    elseif c:done() then
      return nil, err
    end
    last = err
    if attempt < ATTEMPTS and not ctx.sleep(c, pause) then
      return nil, c:err()
    end
    pause = pause * 2
  end
  return nil, last
end

--- The task: it has a place, and gives it back on every path.
local function run(self, parent, upstream)
  local c, cancel <close> = ctx.with_timeout(parent, TIMEOUT_MS)
  local _ <close> = setmetatable({}, { __close = function() self.places:release() end })
  local item, err = fetch(c, upstream)
  local ending = item and "fetched" or tostring(err)
  self.endings[ending] = (self.endings[ending] or 0) + 1
end

--- Starts one, or sheds it when all places are taken; never waits.
function prefetcher:go(c, upstream)
  if not self.places:try_acquire() then
    self.shed = self.shed + 1
    return false
  end
  ctx.go(run, self, c, upstream)
  return true
end

--- For the answer of this request only.
function prefetcher:bound(request, upstream)
  return self:go(request, upstream)
end

--- For later requests too.
function prefetcher:detached(request, upstream)
  return self:go(ctx.without_cancel(request), upstream)
end

-- ---- the scenes ---------------------------------------------------------------------------------

local unavailable = errors.new("503")

local function quick(c)
  return ctx.sleep(c, 30) and "item"
end

local function flaky(c, attempt)
  ctx.sleep(c, 30)
  return attempt == ATTEMPTS and "item" or nil, unavailable
end

local function slow(c)
  return ctx.sleep(c, 9000)
end

local failed = false

--- Plays one scene; checks when the last task ended, and how they ended.
local function scene(name, play, expected_ms, expected, expected_shed)
  prefetcher.shed, prefetcher.endings = 0, {}
  local began = ctx.now()
  ctx.run(play)
  local took = ctx.now() - began
  local as_it_must = took == expected_ms and prefetcher.shed == (expected_shed or 0)
    and prefetcher.places:held() == 0
  for ending, count in pairs(prefetcher.endings) do
    as_it_must = as_it_must and expected[ending] == count
    print(("%-34s %4d %s"):format(name, count, ending))
  end
  print(("%-34s %4d shed, over after %.0f ms%s\n"):format(name, prefetcher.shed, took,
    as_it_must and "" or ", WHICH IS NOT AS IT MUST BE"))
  failed = failed or not as_it_must
end

--- A request that starts prefetches and is answered after 10 ms.
local function request(how, count, upstream)
  return function(root)
    local c, cancel <close> = ctx.with_cancel(root)
    for _ = 1, count do
      prefetcher[how](prefetcher, c, upstream)
    end
    ctx.sleep(c, 10)
  end
end

local _ <close> = testing.clock() -- so that it takes no time
scene("detached, upstream well", request("detached", 10, quick), 30, { fetched = 10 })
scene("detached, upstream flaky", request("detached", 10, flaky), 240, { fetched = 10 })
scene("detached, upstream slow", request("detached", 800, slow), TIMEOUT_MS,
  { ["context deadline exceeded"] = CAPACITY }, 800 - CAPACITY)
scene("bound to the request", request("bound", 10, slow), 10, { ["context canceled"] = 10 })
os.exit(failed and 1 or 0, true)
