-- SPDX-License-Identifier: MIT
--- The edge of the shop: gives each request its budget and its id, and asks the product service.
---
--- Usage: gateway.lua PRODUCT     (its port)
---
---   GET /products/{id}      a page
---   GET /healthz, /readyz   for a load balancer
local service = require "service"

local PRODUCT = arg[1]
local BUDGET_MS = 5000 -- the product service takes 2000 of them at most

service.run({ budget_ms = BUDGET_MS }, function(router)
  router:get("/products/{id}", function(req, res)
    local page, err = service.ask(req.ctx, "http://127.0.0.1:" .. PRODUCT .. req.raw_path)
    if not page then
      return nil, service.failed("the product service", err)
    end
    res.status, res.headers["Content-Type"] = page.status, page.headers["content-type"]
    return res:finish(req.ctx, page.body)
  end)
end)
