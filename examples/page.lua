-- SPDX-License-Identifier: MIT
--- An order page of four parts. A page without a part would mislead, so the first failure stops
--- the other calls and becomes the error of the page.
--
-- Usage: ./dev lua examples/page.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local errgroup = require("ctx.errgroup")
local errors = require("ctx.errors")
local testing = require("ctx.testing")

local out_of_stock = errors.new("out of stock")
local stopped = {}

--- A backend that takes `ms`, and then fails if it is given an error.
local function backend(name, ms, err)
  return function(c)
    if not ctx.sleep(c, ms) then
      stopped[#stopped + 1] = name
      return nil, c:err()
    end
    return not err and name .. " ok" or nil, err
  end
end

local function order_page(c, inventory_error)
  return errgroup.collect(c, {
    customer = backend("customer", 20),
    basket = backend("basket", 60),
    inventory = backend("inventory", 40, inventory_error),
    shipping = backend("shipping", 90),
  })
end

local failed = false
local function must(ok, what)
  print((ok and "as it must: " or "NOT AS IT MUST: ") .. what)
  failed = failed or not ok
end

local _ <close> = testing.clock() -- so that it takes no time
ctx.run(function(root)
  local began = ctx.now()
  local page = order_page(root)
  must(page and page.customer == "customer ok" and page.shipping == "shipping ok", "a whole page")
  must(ctx.now() - began == 90, "as fast as its slowest part")

  began = ctx.now()
  local nothing, err = order_page(root, out_of_stock)
  must(nothing == nil and errors.is(err, out_of_stock), "no page: " .. tostring(err))
  must(ctx.now() - began == 40, "as fast as the failure")
  table.sort(stopped)
  must(table.concat(stopped, " ") == "basket shipping", "the others stopped")
end)
os.exit(failed and 1 or 0, true)
