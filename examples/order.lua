-- SPDX-License-Identifier: MIT
--- Placing an order within a budget. It is refused when too little time is left to succeed, and
--- each step has a shorter timeout of its own.
--
-- Usage: ./dev lua examples/order.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local errors = require("ctx.errors")
local testing = require("ctx.testing")

local LEAST_MS, INVENTORY_MS, PAYMENT_MS = 100, 500, 2000

--- One step: its own timeout, and its name on its error.
local function step(c, name, timeout_ms, takes_ms)
  local within, cancel <close> = ctx.with_timeout(c, timeout_ms)
  local ok, err = ctx.sleep(within, takes_ms)
  if not ok then
    return nil, errors.wrap(err, name)
  end
  return true
end

local function place_order(c, backend)
  local remaining = c:remaining()
  if remaining < LEAST_MS then
    return nil, errors.new(("insufficient time budget: %.0f ms remaining"):format(remaining))
  end
  local ok, err = step(c, "reserve inventory", INVENTORY_MS, backend.inventory)
  if ok then
    ok, err = step(c, "charge payment", PAYMENT_MS, backend.payment)
  end
  return ok, err
end

-- budget, what the backends take, the outcome, the time it took
local CASES = {
  { 3000, { inventory = 100, payment = 300 }, "ordered", 400 },
  { 80, { inventory = 1, payment = 1 }, "insufficient time budget: 80 ms remaining", 0 },
  { 3000, { inventory = 900, payment = 1 },
    "reserve inventory: context deadline exceeded", 500 },
  { 3000, { inventory = 400, payment = 9000 },
    "charge payment: context deadline exceeded", 2400 },
  { 1000, { inventory = 400, payment = 9000 }, -- the whole is sooner than the step
    "charge payment: context deadline exceeded", 1000 },
}

local failed = false
local _ <close> = testing.clock() -- so that it takes no time; leave it out, and it takes seconds
ctx.run(function(root)
  for _, case in ipairs(CASES) do
    local budget, backend, expected, takes = table.unpack(case)
    local c, cancel <close> = ctx.with_timeout(root, budget)
    local began = ctx.now()
    local ok, err = place_order(c, backend)
    local outcome, took = ok and "ordered" or tostring(err), ctx.now() - began
    print(("budget %4d ms: %s after %.0f ms"):format(budget, outcome, took))
    failed = failed or outcome ~= expected or took ~= takes
  end
end)
os.exit(failed and 1 or 0, true)
