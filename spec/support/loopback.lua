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

--- Runs fn(c) in a task, and cancels c for the reason "enough" as soon as the task waits. Returns
--- what fn returned.
function loopback.cancelled(root, fn)
  local c, cancel <close> = ctx.with_cancel(root)
  local task = ctx.go(fn, c)
  repeat
    ctx.sleep(root, 0)
  until task:status() ~= "ready"
  assert(task:status() == "waiting", "it did not wait")
  cancel("enough")
  return task:wait(root)
end

return loopback
