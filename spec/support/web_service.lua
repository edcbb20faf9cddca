-- SPDX-License-Identifier: MIT
--- A server of ctx.http as a process of its own, for clients that are programs, and for signals.
--- Usage: web_service.lua [NAME=VALUE]...     options of http.server, and
---   drain=MS    how long a shutdown may take (10000)
--- SIGTERM shuts it down: then it prints what came of that, and exits with 0 if nothing was cut.
collectgarbage "generational"
local ctx = require "ctx"
local descriptors = require "spec.support.descriptors"
local http = require "ctx.http"
require "spec.support.orphan"
local signal = require "ctx.signal"

local options, drain = {}, 10000
for _, word in ipairs(arg) do
  local name, value = word:match("^(.-)=(.*)$")
  if name == "drain" then
    drain = tonumber(value)
  else
    options[name] = math.tointeger(tonumber(value))
  end
end

local function say(...)
  io.write(table.concat({ ... }, " "), "\n")
  io.flush()
end

local server
local routes = http.router()

routes:get("/", function(req, res)
  return res:finish(req.ctx, "hello")
end)

routes:get("/slow", function(req, res)
  assert(ctx.sleep(req.ctx, tonumber(req.query.ms)))
  return res:finish(req.ctx, "at last")
end)

-- Takes no notice of anything.
routes:get("/stuck", function()
  say("stuck")
  ctx.sleep(ctx.background(), math.huge)
end)

-- Until the client leaves.
routes:get("/wait", function(req)
  say("waiting")
  req.ctx:wait()
  say("cause:", tostring(req.ctx:cause()))
end)

-- Sends the body back, piece by piece.
routes:post("/echo", function(req, res)
  for chunk in function() return (req:read()) end do
    assert(res:write(req.ctx, chunk))
  end
  return res:finish(req.ctx)
end)

-- Counts the bytes of the body, as they come.
routes:post("/count", function(req, res)
  local n, chunk, err = 0, req:read()
  while chunk do
    n = n + #chunk
    chunk, err = req:read()
  end
  if err then
    say("cause:", tostring(req.ctx:cause()))
    return nil, err
  end
  return res:finish(req.ctx, tostring(n))
end)

-- Sends pieces of that size for as long as they are taken.
routes:get("/stream", function(req, res)
  local piece = ("x"):rep(tonumber(req.query.size))
  for _ = 1, tonumber(req.query.n) do
    local ok, err = res:write(req.ctx, piece)
    if not ok then
      say("cause:", tostring(req.ctx:cause()))
      return nil, err
    end
  end
  return res:finish(req.ctx)
end)

routes:get("/headers", function(req, res)
  return res:finish(req.ctx, ("1.%d %s %s"):format(req.minor, req.headers.host or "-",
    req.headers.connection or "-"))
end)

routes:get("/stats", function(req, res)
  local stats = server:stats()
  return res:finish(req.ctx, ("connections=%d requests=%d refused=%d descriptors=%d tasks=%d")
    :format(stats.connections, stats.requests, stats.refused, descriptors(), ctx.counters().tasks))
end)

local function main(root)
  options.handler = routes:handler()
  server = http.server(options)
  assert(server:listen { host = "127.0.0.1", port = 0, backlog = 4096 })
  local serving = ctx.go(server.serve, server, root)
  local told, stop <close> = signal.notify(root, "sigterm")
  say("serving on", tostring(server:address().port))
  told:wait()
  say("draining")
  local limit, cancel <close> = ctx.with_timeout(ctx.background(), drain)
  local ok, err = server:shutdown(limit)
  local stats = server:stats()
  say(("shutdown: %s served=%d cut=%d"):format(tostring(ok or err), stats.served, stats.cut))
  serving:wait(limit)
  -- Without waiting for /stuck.
  os.exit(ok and 0 or 1)
end

ctx.run(main)
