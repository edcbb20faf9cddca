-- SPDX-License-Identifier: MIT
--- The main function of an HTTP server. On SIGINT or SIGTERM it accepts no new connections,
--- answers the requests in flight within 30 s, and ends. It exits with 1 if the port is taken, or
--- if a request had to be cut off.
--
-- Usage: ./dev lua examples/http_graceful.lua [PORT]
--   Without a port it is its own visitor: two requests, and a SIGTERM in the middle of them.

local ctx = require("ctx")
local http = require("ctx.http")
local shutdown = require("ctx.shutdown")
local uv = require("luv")

collectgarbage("incremental")
local port = tonumber(arg[1])

local function hello(req, res)
  local ok, err = ctx.sleep(req.ctx, 200)
  if not ok then
    return nil, err
  end
  return res:finish(req.ctx, "hello\n")
end

--- A load balancer asks here, and sends nobody once it says no.
local function routes(s)
  local router = http.router()
  router:get("/", hello)
  router:get("/readyz", function(_, res)
    res.status = s:ready() and 200 or 503
  end)
  return router:handler()
end

--- Two visitors, and a signal once they are there. The drain waits for them, too: they are in the
--- same process, and have to read what they get.
local function play(s, root, at)
  local visits = {}
  for i = 1, 2 do
    visits[i] = ctx.go(http.get, ctx.background(), ("http://127.0.0.1:%d/"):format(at))
  end
  s:on("drain", "visitors", function(c)
    for _, one in ipairs(visits) do
      io.write("visitor: ", assert(one:wait(c)).body)
    end
  end)
  ctx.sleep(root, 100)
  uv.kill(uv.os_getpid(), "sigterm")
end

local report = ctx.run(function(root)
  local s <close> = shutdown.new(root, { timeouts = { drain = 30000 } })
  local server = http.server { handler = routes(s), request_timeout = 5000,
    access_log = function(record) print(http.logfmt(record)) end }
  local listener, err = server:listen("127.0.0.1", port or 0)
  if not listener then
    error(err, 0)
  end
  print("serving on " .. server:address().port)
  s:on("drain", "http", function(c)
    return server:shutdown(c)
  end)
  ctx.go(function()
    s:stop(select(2, server:serve(s:context()))) -- a listener that fails ends all
  end)
  if not port then
    ctx.go(play, s, root, server:address().port)
  end
  return s:run()
end)
print(report)
os.exit(report.clean and 0 or 1, true)
