-- SPDX-License-Identifier: MIT
--- The contexts of one request: a database call with a timeout, a stream that can be cancelled,
--- and an outbound call with a deadline. An audit task is detached: it survives the request, with
--- a timeout of its own.
--
--     background ── request ── timeout 20 ms: database
--                │          ├─ cancel:        stream
--                │          └─ deadline:      outbound call
--                └─ (detached, values kept) ── timeout: audit
--
-- Usage: ./dev lua examples/tree.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")

local request_id = ctx.key("request_id")

--- A call that takes `ms`; says how it ended.
local function call(endings, name, c, ms)
  local ok = ctx.sleep(c, ms)
  endings[name] = ok and "done" or tostring(c:err())
end

--- Detached from the request's end, but neither from its values nor from every bound.
local function audit(endings, request)
  local c, cancel <close> = ctx.with_timeout(ctx.without_cancel(request), 1000)
  call(endings, "audit of " .. c:value(request_id), c, 60)
end

local function handle(root, endings)
  local request, done <close> = ctx.with_cancel(ctx.with_value(root, request_id, "r-17"))
  local database, cancel_database <close> = ctx.with_timeout(request, 20)
  local stream, cancel_stream <close> = ctx.with_cancel(request)
  local outbound, cancel_outbound <close> = ctx.with_deadline(request, ctx.now() + 5000)
  print(tostring(outbound))

  local tasks = {
    ctx.go(call, endings, "database", database, 60000),
    ctx.go(call, endings, "stream", stream, 60000),
    ctx.go(call, endings, "outbound", outbound, 60000),
  }
  local audit_task = ctx.go(audit, endings, request)
  tasks[1]:wait()        -- its own timeout
  cancel_stream()        -- one branch, and no other
  tasks[2]:wait()
  print("the request is " .. (request:err() and "over" or "still alive"))
  done("client went away") -- everything below
  tasks[3]:wait()
  return audit_task
end

local endings = {}
ctx.run(function(root)
  handle(root, endings):wait()
end)

local expected = {
  database = "context deadline exceeded",
  stream = "context canceled",
  outbound = "context canceled",
  ["audit of r-17"] = "done",
}
local failed
for name, ending in pairs(expected) do
  print(("%-14s %s"):format(name, endings[name]))
  failed = failed or endings[name] ~= ending
end
os.exit(failed and 1 or 0, true)
