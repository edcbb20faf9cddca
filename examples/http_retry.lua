-- SPDX-License-Identifier: MIT
--- A call that is tried again. Each attempt has its own timeout, and tells the server what is
--- left at that attempt. All attempts share the caller's budget.
--
-- Usage: ./dev lua examples/http_retry.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local errors = require("ctx.errors")
local http = require("ctx.http")
local retry = require("ctx.retry")

local BUDGET_MS, ATTEMPT_MS = 1000, 300
local told = {} -- what the server has heard of deadlines, in ms

--- Hangs at first, is overloaded then, and answers the third time.
local function moody(req, res)
  told[#told + 1] = req.ctx:remaining()
  if #told == 1 then
    return ctx.sleep(req.ctx, math.huge)
  elseif #told == 2 then
    return nil, http.failure(503, "overloaded")
  end
  return res:finish(req.ctx, "at last")
end

--- What may fare better the next time is an error; what will not, is marked so.
local function fetch(c, url)
  local response, err = http.get(c, url)
  if not response then
    return nil, err
  elseif response.status >= 500 then
    return nil, errors.new("status " .. response.status)
  elseif response.status >= 400 then
    return nil, retry.permanent(errors.new("status " .. response.status))
  end
  return response.body
end

ctx.run(function(root)
  local server = http.server { handler = moody }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local url = ("http://127.0.0.1:%d/"):format(server:address().port)

  local c, cancel <close> = ctx.with_timeout(root, BUDGET_MS)
  local body = assert(retry.call(c, {
    attempts = 5, timeout = ATTEMPT_MS, backoff = 10,
    on_retry = function(attempt, err) print(("attempt %d: %s"):format(attempt, tostring(err))) end,
  }, fetch, url))
  print(body)
  assert(body == "at last" and #told == 3)
  for i, ms in ipairs(told) do
    print(("attempt %d had %.0f ms"):format(i, ms))
    assert(ms <= ATTEMPT_MS)
  end
  assert(server:shutdown(root))
end)
