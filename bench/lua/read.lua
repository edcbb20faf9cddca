-- SPDX-License-Identifier: MIT
-- W5 and W6: what is read on every call, again and again.

local uv = require "luv"
local ctx = require "ctx"
local meter = require "bench.lua.meter"

local READS = 10000000
local FEW_LAYERS = 10
local LAYERS = 100
local A_DAY_MS = 24 * 60 * 60 * 1000

-- W5.call is the yardstick beside W5: luv's cheapest method that checks its self, in C.
local function err_live()
  local c, _ <close> = ctx.with_timeout(ctx.background(), A_DAY_MS)
  meter.per_op("W5", READS, function(n)
    for _ = 1, n do
      c:err()
    end
  end)
  local timer = uv.new_timer()
  meter.per_op("W5.call", READS, function(n)
    for _ = 1, n do
      timer:get_repeat()
    end
  end)
  timer:close()
  uv.run()
end

local function layered(c, keys, layers)
  for i = 1, layers do
    c = ctx.with_value(c, keys[i], true)
  end
  return c
end

local function look_up(name, n, c, key)
  meter.per_op(name, n, function(count)
    for _ = 1, count do
      c:value(key)
    end
  end)
end

local function value()
  local keys = {}
  for i = 1, LAYERS do
    keys[i] = ctx.key("key")
  end
  local parent, _ <close> = ctx.with_cancel(ctx.background())
  local few, many = layered(parent, keys, FEW_LAYERS), layered(parent, keys, LAYERS)

  look_up("W6.10", READS, few, keys[1])
  look_up("W6.miss", READS, few, ctx.key("absent"))
  look_up("W6.100", READS // 10, many, keys[1])
  look_up("W6.leaf", READS, few, keys[FEW_LAYERS])
  meter.per_op("W6.derive", READS // 10, function(n)
    for _ = 1, n do
      ctx.with_value(parent, keys[1], true)
    end
  end)
end

return {
  { "W5", err_live },
  { "W6", value },
}
