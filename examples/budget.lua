-- SPDX-License-Identifier: MIT
--- How a client's 3000 ms are divided on the way down. No level ever has more time than the level
--- above it has left.
--
--     client 3000 ── handler (all that is left) ── service 1500 ─┬─ database  800
--                    keeps 1500 for the answer, and slack        ├─ gateway   500
--                                                                └─ inventory 400
--
-- Usage: ./dev lua examples/budget.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local testing = require("ctx.testing")

local failed = false

local function show(depth, name, c, expected)
  local remaining = c:remaining()
  print(("%s%-10s %5.0f ms left"):format(("  "):rep(depth), name, remaining))
  failed = failed or remaining ~= expected
end

local function call(service, name, budget, expected)
  local c, cancel <close> = ctx.with_timeout(service, budget)
  show(3, name, c, expected)
end

--- `spent` is what the handler has used up before it asks the service. What a level asks for is an
--- upper bound: the sooner deadline counts.
local function request(root, spent, expected)
  local client, cancel <close> = ctx.with_timeout(root, 3000)
  show(0, "client", client, 3000)
  ctx.sleep(client, spent)
  show(1, "handler", client, expected.handler)
  local service, cancel_service <close> = ctx.with_timeout(client, 1500)
  show(2, "service", service, expected.service)
  call(service, "database", 800, expected.database)
  call(service, "gateway", 500, expected.gateway)
  call(service, "inventory", 400, expected.inventory)
end

local _ <close> = testing.clock() -- so that it takes no time
ctx.run(function(root)
  request(root, 0,
    { handler = 3000, service = 1500, database = 800, gateway = 500, inventory = 400 })
  print("\nthe same, when the handler has spent 2550 ms:")
  request(root, 2550,
    { handler = 450, service = 450, database = 450, gateway = 450, inventory = 400 })
end)
os.exit(failed and 1 or 0, true)
