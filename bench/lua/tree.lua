-- SPDX-License-Identifier: MIT
-- W3 and W4: a deep tree and a wide one, cancelled at the root.
--
-- The idle rows ask for err() after the cancel (of the leaf in W3, of every child in W4): where a
-- cancellation is carried lazily, that is when it arrives, and cancel() alone would flatter.

local ctx = require "ctx"
local countdown = require "bench.lua.countdown"
local meter = require "bench.lua.meter"

local CHAIN_DEPTH = 100
-- Several chains are derived, then all are cancelled: one cancel is too short for the clock. Few
-- enough that the nodes stay in the cache.
local CHAINS_PER_BATCH = 20
local CHAIN_BATCHES = 500

local WIDE_CHILDREN = 100000
local WIDE_ROUNDS = 5

local function must_be_done(c)
  if not c:err() then
    error("a cancelled context is live")
  end
end

local function derive_chain()
  local leaf, cancel_root = ctx.with_cancel(ctx.background())
  for _ = 2, CHAIN_DEPTH do
    leaf = ctx.with_cancel(leaf)
  end
  return leaf, cancel_root
end

-- `arming()` gives two functions: one for each leaf, and one that lets what the cancels made ready
-- run, outside the figures.
local function chain(name, arming)
  local batches = meter.scaled(CHAIN_BATCHES)
  local derive, cancel = name .. ".derive", name .. ".cancel"
  local spent = meter.phases(derive, cancel)
  local leaves, cancels = {}, {}
  for _ = 1, batches do
    local arm, drain = arming()
    spent:time(derive, function()
      for i = 1, CHAINS_PER_BATCH do
        leaves[i], cancels[i] = derive_chain()
        arm(leaves[i])
      end
    end)
    spent:time(cancel, function()
      for i = 1, CHAINS_PER_BATCH do
        cancels[i]()
        must_be_done(leaves[i])
      end
    end)
    drain()
  end
  spent:print(batches * CHAINS_PER_BATCH * CHAIN_DEPTH)
end

local function nothing() end

local function chain_idle()
  chain("W3.idle", function() return nothing, nothing end)
end

local function chain_armed(root)
  chain("W3.armed", function()
    local hit, wait = countdown(root, CHAINS_PER_BATCH)
    return function(leaf) ctx.after_func(leaf, hit) end, wait
  end)
end

-- The end of each child's own work, outside the figures.
local function cancel_all(cancels)
  for _, cancel in ipairs(cancels) do
    cancel()
  end
end

local function wide_idle()
  local n = meter.scaled(WIDE_CHILDREN)
  local spent = meter.phases("W4.idle.derive", "W4.idle.cancel")
  local children, cancels = {}, {}
  for _ = 1, WIDE_ROUNDS do
    local parent, cancel_parent = ctx.with_cancel(ctx.background())
    spent:time("W4.idle.derive", function()
      for i = 1, n do
        children[i], cancels[i] = ctx.with_cancel(parent)
      end
    end)
    spent:time("W4.idle.cancel", function()
      cancel_parent()
      for i = 1, n do
        must_be_done(children[i])
      end
    end)
    cancel_all(cancels)
  end
  spent:print(WIDE_ROUNDS * n)
end

-- cancel: the call alone, after which every child's err() is set. run: the call, and until the
-- function that waits on each child has run.
local function wide_armed(root)
  local n = meter.scaled(WIDE_CHILDREN)
  local spent = meter.phases("W4.armed.derive", "W4.armed.cancel", "W4.armed.run")
  local children, cancels = {}, {}
  for _ = 1, WIDE_ROUNDS do
    local parent, cancel_parent = ctx.with_cancel(root)
    local hit, wait = countdown(root, n)
    spent:time("W4.armed.derive", function()
      for i = 1, n do
        children[i], cancels[i] = ctx.with_cancel(parent)
        ctx.after_func(children[i], hit)
      end
    end)
    spent:time("W4.armed.run", function()
      spent:time("W4.armed.cancel", cancel_parent)
      wait()
    end)
    cancel_all(cancels)
  end
  spent:print(WIDE_ROUNDS * n)
end

return {
  { "W3.idle", chain_idle },
  { "W3.armed", function() ctx.run(chain_armed) end },
  { "W4.idle", wide_idle },
  { "W4.armed", function() ctx.run(wide_armed) end },
}
