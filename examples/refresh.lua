-- SPDX-License-Identifier: MIT
--- Refreshing caches after a request. Such work needs three bounds: a deadline of its own, a
--- context in every wait of its retries, and a limit beyond which it is refused.
--
-- Usage: ./dev lua examples/refresh.lua     (exits 0 only if all went as it should)

local ctx = require "ctx"
local errors = require "ctx.errors"
local retry = require "ctx.retry"
local semaphore = require "ctx.semaphore"

local BUDGET_MS, AT_ONCE = 800, 2
local RETRY = { attempts = 3, timeout = 100, backoff = 50 }

local slots = semaphore.new(AT_ONCE)

--- An upstream that is down for its first two calls, or for good.
local function upstream(key)
  local calls = 0
  return function(c)
    calls = calls + 1
    local ok, err = ctx.sleep(c, 5)
    if not ok then
      return nil, err
    elseif key == "down" or calls < 3 then
      return nil, errors.new("503")
    end
    return key .. ", fresh"
  end
end

--- Outlives the request, whose values it keeps: the request's cancel would end it when the handler
--- returns. False: shed.
local function refresh(request, key)
  if not slots:try_acquire() then
    return false
  end
  return ctx.go(function()
    local scope <close> = setmetatable({}, { __close = function() slots:release() end })
    local c, cancel <close> = ctx.with_timeout(ctx.without_cancel(request), BUDGET_MS)
    return retry.call(c, RETRY, upstream(key))
  end)
end

ctx.run(function(root)
  local tasks = {}
  do
    local request, cancel <close> = ctx.with_cancel(root)
    for i, key in ipairs({ "prices", "down", "one too many" }) do
      tasks[i] = refresh(request, key)
    end
  end
  print(tasks[3] and "not shed" or "the third was shed")
  local value, err = tasks[1]:wait()
  print(value, err)
  local none, why = tasks[2]:wait()
  print(none, why)
  assert(value == "prices, fresh" and tasks[3] == false)
  assert(errors.as(why, retry.Stopped).reason == "attempts")
  assert(slots:try_acquire(AT_ONCE))
end)
