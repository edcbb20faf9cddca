-- SPDX-License-Identifier: MIT
-- What the storefront's processes do when others are killed, hang up, or take all descriptors.
local program = require "spec.support.program"
local folder = program.example("storefront")
package.path = folder .. "/?.lua;" .. package.path

local cjson = require "cjson"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local http = require "ctx.http"
local stage = require "stage"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local PATIENCE_MS = 200000
local FEW_DESCRIPTORS = { "sh", "-c", 'ulimit -n 64; exec "$@"', "sh" }

--- Four services and the product service, ended with the scope of the run.
local function open_shop(c, under)
  local shop = {}
  for _, name in ipairs({ "info", "reviews", "inventory", "recommendations" }) do
    shop[name] = stage.start(c, name, folder .. "/backend.lua", name, 20)
  end
  shop.product = stage.start_under(c, under, "product", folder .. "/product.lua", shop.info.port,
    shop.reviews.port, shop.inventory.port, shop.recommendations.port, 8)
  return shop
end

local function close_shop(shop)
  for _, one in pairs(shop) do
    one.process:kill("sigterm")
    one.process:close()
  end
end

--- A client of its own, so that no connection is left when the leaks are counted.
local function with_shop(play, under)
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, PATIENCE_MS)
    local shop = open_shop(c, under or {})
    local client <close> = http.client()
    local function page(at, id)
      local response, err = client:get(at, shop.product.url .. "/products/" .. id)
      return response and response.status, response and response.body or err
    end
    play(c, shop, page, client)
    close_shop(shop)
  end, { real = true })
end

--- From now on info answers nobody; waits until it has begun with a page that is asked for then.
local function hang(c, shop, client)
  assert(client:request(c, { method = "PUT", url = shop.info.url .. "/mode/items?how=hang" }))
  return function()
    stage.await(c, shop.info, function(record) return record.event == "begins" end)
  end
end

describe("the storefront's product service", function()
  it("fails the page at once when a service is killed under it, and lives on", function()
    with_shop(function(c, shop, page, client)
      local wait = hang(c, shop, client)
      local task = ctx.go(page, c, "1")
      wait()
      shop.info.process:kill("sigkill")
      local status, text = task:wait()
      assert.same({ 502, "product info has failed\n" }, { status, text })
      status = page(c, "2")
      assert.equal(502, status)
      for path, why in pairs { ["/products/1"] = "E[OC]", ["/products/2"] = "ECONN" } do
        local record = stage.await(c, shop.product, function(it) return it.path == path end)
        assert.matches("product info: .*: " .. why, record.error) -- not the budget's end
      end
    end)
  end)

  it("does not die of a closed stdout", function()
    with_shop(function(c, shop, page)
      shop.product.process.stdout:close()
      local status, text = page(c, "3")
      assert.equal(200, status)
      assert.equal("3", cjson.decode(text).inventory.id)
      shop.product.process:kill("sigterm") -- its report has nowhere to go
      local exit = assert(shop.product.process:wait(c))
      assert.same({ 0, 0 }, { exit.code, exit.signal })
    end)
  end)

  it("is killed at once by a second SIGINT, with visitors waiting", function()
    with_shop(function(c, shop, page, client)
      local wait = hang(c, shop, client)
      local task = ctx.go(page, c, "4")
      wait()
      shop.product.process:kill("sigint")
      repeat -- until it refuses: then the first signal has been heard
        local probe <close> = uv.connect(c, "127.0.0.1", shop.product.port)
      until not probe
      shop.product.process:kill("sigint")
      local exit = assert(shop.product.process:wait(c))
      assert.equal(2, exit.signal)
      assert.is_nil((task:wait()))
    end)
  end)

  it("outlives a time without descriptors (EMFILE)", function()
    with_shop(function(c, shop, page)
      local open = {}
      for i = 1, 100 do
        open[i] = uv.connect(c, "127.0.0.1", shop.product.port)
      end
      for _, connection in pairs(open) do
        connection:close()
      end
      repeat -- until it has noticed that those have gone
        local status = page(c, "5")
      until status == 200
      local group <close>, gctx = errgroup.with_context(c)
      for i = 1, 3 do
        group:go(function()
          local status, text = page(gctx, "e" .. i)
          return status == 200, text
        end)
      end
      local ok, err = group:wait()
      assert.is_true(ok, tostring(err))
    end, FEW_DESCRIPTORS)
  end)
end)
