-- SPDX-License-Identifier: MIT
--- The product service: a page out of four services that are asked at once, under one budget.
---
--- Usage: product.lua INFO REVIEWS INVENTORY RECOMMENDATIONS [CAP]
---        (the ports of its services; how many prefetches may run at a time)
---
---   GET /products/{id}      all four parts, or an error that begins with the name of one
---   GET /prefetches         what became of them
local errgroup = require "ctx.errgroup"
local prefetch = require "prefetch"
local service = require "service"

local BUDGET_MS = 2000 -- less, if the caller has less

local PARTS = { ["product info"] = arg[1], reviews = arg[2], inventory = arg[3],
  recommendations = arg[4] }

--- All four or nothing: half a page would mislead. The first that fails ends the other calls, and
--- its error begins with its name. No mutex guards the results, as Go needs one: collect stores
--- each under its own name, and no two tasks of one Lua state run at the same time.
---@async
---@param c ctx.Context
---@param id string
---@return table<string, table>|nil page
---@return any? err
local function page_of(c, id)
  local asks = {}
  for part, port in pairs(PARTS) do
    asks[part] = function(gctx)
      return service.get(gctx, ("http://127.0.0.1:%s/items/%s"):format(port, id))
    end
  end
  return errgroup.collect(c, asks)
end

service.run({ budget_ms = BUDGET_MS }, function(router, s)
  local prefetcher = prefetch.new(PARTS.recommendations, tonumber(arg[5]) or 256, s)

  router:get("/products/{id}", function(req, res)
    local page, err = page_of(req.ctx, req.params.id)
    if not page then
      return nil, service.failed(tostring(err):match("^[^:]+"), err)
    end
    prefetcher:start(req.ctx, req.params.id)
    return service.json(req.ctx, res, page)
  end)

  router:get("/prefetches", function(req, res)
    return service.json(req.ctx, res, prefetcher.counts)
  end)
end)
