-- SPDX-License-Identifier: MIT
-- What the storefront's processes do when others are killed, hang up, or take all descriptors.
local program = require "spec.support.program"
local folder = program.example("storefront")
package.path = folder .. "/?.lua;" .. package.path

local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local testing = require "ctx.testing"
local uv = require "ctx.uv"
local client = require "client"
local stage = require "stage"

local PATIENCE_MS = 20000
local FEW_DESCRIPTORS = { "sh", "-c", 'ulimit -n 48; exec "$@"', "sh" }

--- Four services and the server, ended with the scope of the run.
local function open_shop(c, under)
  local shop = {}
  for _, name in ipairs({ "info", "reviews", "inventory", "recommendations" }) do
    shop[name] = stage.start(c, folder .. "/backend.lua", name, 20)
  end
  shop.server = stage.start_under(c, under, folder .. "/server.lua", shop.info.port,
    shop.reviews.port, shop.inventory.port, shop.recommendations.port, 8)
  return shop
end

local function close_shop(shop)
  for _, one in pairs(shop) do
    one.process:kill("sigterm")
    one.process:close()
  end
end

local function with_shop(play, under)
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, PATIENCE_MS)
    local shop = open_shop(c, under or {})
    play(c, shop)
    close_shop(shop)
  end, { real = true })
end

describe("the storefront's server", function()
  it("fails the page at once when a service is killed under it, and lives on", function()
    with_shop(function(c, shop)
      assert(client.ask(c, shop.info.port, "mode get hang"))
      local page = ctx.go(client.ask, c, shop.server.port, "page 1")
      repeat
        local started = client.ask(c, shop.info.port, "stats"):match("started=(%d+)")
      until started == "1"
      shop.info.process:kill("sigkill")
      local began = ctx.now()
      local value, err = page:wait()
      assert.is_nil(value)
      assert.matches("product info", tostring(err))
      assert.is_true(ctx.now() - began < 1500) -- well before the budget's end
      assert.matches("open=0", client.ask(c, shop.server.port, "stats"))
      value, err = client.ask(c, shop.server.port, "page 2")
      assert.is_nil(value)
      assert.matches("product info: .*ECONN%u+", tostring(err)) -- refused, or reset meanwhile
    end)
  end)

  it("does not die of a closed stdout", function()
    with_shop(function(c, shop)
      shop.server.process.stdout:close()
      assert.matches("inventory of 3", client.ask(c, shop.server.port, "page 3"))
      shop.server.process:kill("sigterm") -- its report has nowhere to go
      local exit = assert(shop.server.process:wait(c))
      assert.equal(0, exit.signal)
    end)
  end)

  it("is killed at once by a second SIGINT, with visitors waiting", function()
    with_shop(function(c, shop)
      assert(client.ask(c, shop.info.port, "mode get hang"))
      local page = ctx.go(client.ask, c, shop.server.port, "page 4")
      repeat
        local open = client.ask(c, shop.server.port, "stats"):match("open=(%d+)")
      until open == "1"
      shop.server.process:kill("sigint")
      repeat -- until it refuses: then the first signal has been heard
        local probe <close> = uv.connect(c, "127.0.0.1", shop.server.port)
      until not probe
      shop.server.process:kill("sigint")
      local exit = assert(shop.server.process:wait(c))
      assert.equal(2, exit.signal)
      assert.is_nil((page:wait()))
    end)
  end)

  it("outlives a time without descriptors (EMFILE)", function()
    with_shop(function(c, shop)
      local open = {}
      for i = 1, 80 do
        open[i] = uv.connect(c, "127.0.0.1", shop.server.port)
      end
      for _, connection in pairs(open) do
        connection:close()
      end
      repeat -- until it has noticed that those have gone
        local stats = client.ask(c, shop.server.port, "stats")
      until stats
      local group <close>, gctx = errgroup.with_context(c)
      for i = 1, 3 do
        group:go(client.ask, gctx, shop.server.port, "page e" .. i)
      end
      local ok, err = group:wait()
      assert.is_true(ok, tostring(err))
    end, FEW_DESCRIPTORS)
  end)
end)
