-- SPDX-License-Identifier: MIT
--- Both ends of a connection over 127.0.0.1, and what else the specs of ctx.uv share.
local ctx = require "ctx"
local luv = require "luv"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local PATIENCE_MS = 200000

local loopback = {}

--- A context of real time, whatever the clock: a spec that waits for ever fails. Close the second.
---@param root ctx.Context
---@return ctx.Context c
---@return table scope
function loopback.patient(root)
  local c, cancel = ctx.with_cancel(root)
  local timer = luv.new_timer()
  timer:start(loopback.patience_ms or PATIENCE_MS, 0, function()
    cancel("the spec waits for ever")
  end)
  timer:unref()
  return c, setmetatable({}, { __close = function()
    timer:close()
    cancel()
  end })
end

--- Runs fn(c) with the real clock, and checks that nothing is left. What waits for ever ends after
--- a minute; or after `loopback.patience_ms`: where memory fails, tasks wait for what others had no
--- memory for.
function loopback.run(fn)
  return testing.run(function(root)
    local c, _ <close> = loopback.patient(root)
    return fn(c)
  end, { real = true, name = "the spec" })
end

--- Runs fn(c, clock) with a hand-moved clock, and checks that nothing is left.
---@param fn fun(c: ctx.Context, clock: ctx.testing.Clock)
function loopback.run_with_clock(fn)
  return testing.run(function(root, clock)
    local c, _ <close> = loopback.patient(root)
    fn(c, clock)
  end, { name = "the spec" })
end

--- Lets the loop turn so often that what this process has sent to itself has come, and what that
--- brings about has, too.
---@async
---@param c ctx.Context
function loopback.turns(c)
  for _ = 1, 20 do
    assert(ctx.sleep(c, 0))
  end
end

--- Two ends of one connection. `options` are those of both streams.
---@return ctx.uv.Stream client
---@return ctx.uv.Stream server
function loopback.pair(c, options)
  local listener <close> = assert(uv.listen("127.0.0.1", 0, options))
  local client = assert(uv.connect(c, "127.0.0.1", listener:address().port, options))
  return client, assert(listener:accept(c))
end

--- Runs fn(c) in a coroutine until it waits, and then cancels c for the reason "enough", at once:
--- what it waits for has no turn of the loop to come in. Returns what fn returned.
---@param root ctx.Context
---@param fn fun(c: ctx.Context): ...
---@param before? fun()  called before the cancel
function loopback.cancelled(root, fn, before)
  local c, cancel <close> = ctx.with_cancel(root)
  local over, finish <close> = ctx.with_cancel(root)
  local results
  local co = coroutine.create(function()
    results = table.pack(pcall(fn, c))
    finish()
  end)
  assert(coroutine.resume(co))
  assert(not results, "it did not wait")
  if before then
    before()
  end
  cancel("enough")
  over:wait()
  assert(table.unpack(results, 1, results.n))
  return table.unpack(results, 2, results.n)
end

return loopback
