-- SPDX-License-Identifier: MIT
--- The product page: four services asked at once, under one budget (S36).
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local client = require "client"

local product = {
  BUDGET_MS = 2000,
  --- What the page is made of, and which service has it.
  PARTS = {
    ["product info"] = "info",
    reviews = "reviews",
    inventory = "inventory",
    recommendations = "recommendations",
  },
}

--- All four or nothing: half a page would mislead. The first that fails ends the other calls, and
--- its error begins with its name. No mutex guards the results, as Go needs one: collect stores
--- each under its own name, and no two tasks of one Lua state run at the same time.
---@param request ctx.Context
---@param ports table<string, integer>  by service
---@param id string
---@return table<string, string>|nil page
---@return any? err
function product.page(request, ports, id)
  local c, cancel <close> = ctx.with_timeout(request, product.BUDGET_MS)
  c:name("page budget")
  local asks = {}
  for part, service in pairs(product.PARTS) do
    asks[part] = function(gctx)
      return client.ask(gctx, ports[service], "get " .. id)
    end
  end
  return errgroup.collect(c, asks)
end

return product
