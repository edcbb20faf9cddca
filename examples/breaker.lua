-- SPDX-License-Identifier: MIT
--- A service that hangs. A bulkhead refuses calls beyond its limit, a breaker soon stops calling,
--- and a probe finds out that the service has recovered.
--
-- Usage: ./dev lua examples/breaker.lua     (exits 0 only if all went as it should)

local breaker = require "ctx.breaker"
local ctx = require "ctx"
local errors = require "ctx.errors"
local semaphore = require "ctx.semaphore"
local waitgroup = require "ctx.waitgroup"

local overloaded = errors.new("overloaded")
local service = { hangs = true, calls = 0 }

function service.call(c)
  service.calls = service.calls + 1
  local ok, err = ctx.sleep(c, service.hangs and 60000 or 1)
  return ok and "books", err
end

local slots = semaphore.new(3)
local circuit = breaker.new {
  name = "recommendations", failures = 3, cooldown = 100,
  on_change = function(from, to) print(("the breaker: %s, then %s"):format(from, to)) end,
}

--- Room first: what is shed says nothing about the service, so the breaker must not hear of it.
local function recommendations(parent)
  if not slots:try_acquire() then
    return nil, overloaded
  end
  local scope <close> = setmetatable({}, { __close = function() slots:release() end })
  local c, cancel <close> = ctx.with_timeout(parent, 50)
  return circuit:call(c, service.call)
end

--- So many requests at once; how often each outcome came.
local function requests(root, n)
  local wg, outcomes = waitgroup.new(), {}
  for _ = 1, n do
    wg:go(function()
      local value, err = recommendations(root)
      local outcome = value or tostring(err)
      outcomes[outcome] = (outcomes[outcome] or 0) + 1
    end)
  end
  wg:wait(root)
  for outcome, times in pairs(outcomes) do
    print(("  %d × %s"):format(times, outcome))
  end
  return outcomes
end

ctx.run(function(root)
  print "five requests, while it hangs"
  local first = requests(root, 5)
  print "two more"
  local second = requests(root, 2)
  service.hangs = false
  ctx.sleep(root, 120)
  print "one when it is well again"
  local third = requests(root, 1)
  assert(first["context deadline exceeded"] == 3 and first.overloaded == 2)
  assert(second["recommendations: circuit breaker open"] == 2 and service.calls == 4)
  assert(third.books == 1 and circuit:state() == "closed")
end)
