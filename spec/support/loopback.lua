-- SPDX-License-Identifier: MIT
--- Both ends of a connection over 127.0.0.1, and what else the specs of ctx.uv share.
local ctx = require "ctx"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local loopback = {}

--- Runs fn(root) with the real clock, and checks that nothing is left. With `loopback.patience_ms`
--- the root ends after that time: where memory fails, tasks wait for what others had none for.
function loopback.run(fn)
  return testing.run(function(root)
    if not loopback.patience_ms then
      return fn(root)
    end
    local c, cancel <close> = ctx.with_timeout(root, loopback.patience_ms)
    return fn(c)
  end, { real = true, name = "the spec" })
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
