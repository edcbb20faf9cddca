-- SPDX-License-Identifier: MIT
--- One instance of a service behind nginx: answers after some work, and on SIGTERM goes through its
--- phases without losing a request. rolling.lua starts it.
---
--- Usage: server.lua NAME ADDRESS PORT     (0: any port; it prints which)
local ctx = require "ctx"
local http = require "ctx.http"
local shutdown = require "ctx.shutdown"

local WORK_MS = 10

collectgarbage "generational"

local name, address, port = arg[1], arg[2], math.tointeger(tonumber(arg[3]))

local function answer(req, res)
  local body = assert(req:body())
  assert(ctx.sleep(req.ctx, WORK_MS))
  res.headers["X-Instance"] = name
  return res:finish(req.ctx, ("%s %s %s"):format(req.method, req.path, body))
end

local function main(root)
  local server <close> = http.server { handler = http.chain(answer, http.request_id()) }
  assert(server:listen(address, port))
  local s <close> = shutdown.new(root, { timeouts = { drain = 10000 } })
  s:on("drain", "http", function(c) return server:shutdown(c) end)
  ctx.go(function()
    local ok, err = server:serve(s:context())
    if not ok then
      s:stop(err)
    end
  end)
  print(("%s serves on %d"):format(name, server:address().port))
  io.stdout:flush()
  return s:run()
end

os.exit(ctx.run(main).clean and 0 or 1)
