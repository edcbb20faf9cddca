-- SPDX-License-Identifier: MIT
--- One of the services behind the shop, with latency and failures by script.
---
--- Usage: backend.lua NAME LATENCY_MS     prints "listening PORT", and serves until SIGTERM
---
---   GET  /items/{id}                     what it knows of a product, after the latency
---   POST /warm/{id}                      the same, for the prefetcher
---   PUT  /mode/items?how=hang&ms=20      what these do from now on: ok, fail or hang
local ctx = require "ctx"
local http = require "ctx.http"
local service = require "service"

local NAME, LATENCY_MS = arg[1], assert(tonumber(arg[2]))

local modes = {
  items = { how = "ok", ms = LATENCY_MS },
  warm = { how = "ok", ms = LATENCY_MS },
}

--- Works as its mode says, and stops when the request's context ends: the caller has gone, or has
--- no time left.
local function work(kind)
  return function(req, res)
    local c, mode = req.ctx, modes[kind]
    service.log { event = "begins", path = req.path, request_id = http.request_id.of(c),
      left = c:deadline() and c:remaining() }
    local ok, err = ctx.sleep(c, mode.how == "hang" and math.huge or mode.ms)
    if not ok then
      return nil, err
    elseif mode.how == "fail" then
      return nil, http.failure(503, "out of order")
    end
    return service.json(c, res, { service = NAME, id = req.params.id })
  end
end

service.run({}, function(router)
  router:get("/items/{id}", work "items")
  router:post("/warm/{id}", work "warm")
  router:put("/mode/{kind}", function(req)
    modes[req.params.kind] = { how = req.query.how, ms = tonumber(req.query.ms) or LATENCY_MS }
  end)
end)
