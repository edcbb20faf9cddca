-- SPDX-License-Identifier: MIT
-- W11 for ctx.http: answers each request under a deadline of its own.
--
--   lua bench/http/hello.lua generational|incremental PORT

collectgarbage(arg[1])
local ctx = require "ctx"
local http = require "ctx.http"
local signal = require "ctx.signal"

ctx.run(function(root)
  local server = http.server {
    request_timeout = 5000,
    handler = function(req, res)
      if req.ctx:err() then
        return nil, req.ctx:err()
      end
      res.headers["Content-Type"] = "text/plain"
      res:finish(req.ctx, "hello, world\n")
    end,
  }
  assert(server:listen { host = "127.0.0.1", port = tonumber(arg[2]), backlog = 4096 })
  local c = signal.notify(root, "sigterm")
  server:serve(c)
end)
