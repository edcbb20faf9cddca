-- SPDX-License-Identifier: MIT
-- Where a function is asked for, what can be called will do: the library's own cancel included, so
-- that `ctx.after_func(c, cancel)` needs no closure.
--
-- Cause: each place asked for the type "function". Cure: lctx_checkfn in C, want.fn in Lua.
local breaker = require "ctx.breaker"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local http = require "ctx.http"
local pool = require "ctx.pool"
local reports = require "spec.support.reports"
local retry = require "ctx.retry"
local shutdown = require "ctx.shutdown"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"

--- An object that can be called, which counts its calls and returns `value`.
local function callable(value)
  return setmetatable({ calls = 0 }, { __call = function(self)
    self.calls = self.calls + 1
    return value
  end })
end

--- Each calls the object once, and waits for that.
local users = {
  ["after_func"] = function(root, object)
    local c, cancel = ctx.with_cancel(root)
    ctx.after_func(c, object)
    cancel()
    ctx.sleep(root, 1)
  end,
  ["go"] = function(_, object) ctx.go(object):wait() end,
  ["with"] = function(root, object)
    local c, cancel = ctx.with_cancel(root)
    ctx.with(c, cancel, object)
  end,
  ["await's start"] = function(root, object)
    local c, cancel = ctx.with_timeout(root, 1)
    ctx.await(c, object)
    cancel()
  end,
  ["await's free"] = function(root, object)
    local c, cancel = ctx.with_timeout(root, 1)
    local late
    ctx.await(c, function(resolve) late = resolve end, object)
    late(1)
    ctx.sleep(root, 1)
    cancel()
  end,
  ["what await's start returns"] = function(root, object)
    local c, cancel = ctx.with_timeout(root, 1)
    ctx.await(c, function() return object end)
    cancel()
  end,
  ["a group's go"] = function(root, object)
    local g <close> = errgroup.with_context(root)
    g:go(object)
    g:wait()
  end,
  ["a group's try_go"] = function(root, object)
    local g <close> = errgroup.with_context(root)
    g:try_go(object)
    g:wait()
  end,
  ["collect"] = function(root, object) errgroup.collect(root, { object }) end,
  ["a wait group's go"] = function(root, object)
    local wg = waitgroup.new()
    wg:go(object)
    wg:wait(root)
  end,
  ["a pool"] = function(root, object)
    local p <close> = pool.new(root, { workers = 1 }, object)
    p:submit(root, 1)
    p:drain()
  end,
  ["a pool's on_error"] = function(root, object)
    local p <close> = pool.new(root, { workers = 1, on_error = object }, error)
    p:submit(root, 1)
    p:drain()
  end,
  ["a shutdown's worker"] = function(root, object)
    local s <close> = shutdown.new(root, { signals = {} })
    s:go(object):wait()
  end,
  ["a shutdown's hook"] = function(root, object)
    local s <close> = shutdown.new(root, { signals = {} })
    s:on("drain", "hook", object)
  end,
  ["a flight"] = function(root, object) singleflight.new():call(root, "key", object) end,
  ["retry"] = function(root, object) retry.call(root, nil, object) end,
  ["retry's options"] = function(root, object)
    local options = { attempts = 2, backoff = 0, on_retry = object }
    retry.call(root, options, function() return nil, "x" end)
  end,
  ["a breaker"] = function(root, object) breaker.new():call(root, object) end,
  ["a breaker's options"] = function(root, object)
    local b = breaker.new { failures = 1, on_change = object }
    b:call(root, function() return nil, "503" end)
  end,
}

describe("an object that can be called is taken as a function by", function()
  for name, use in pairs(users) do
    it(name, function()
      local object = callable("value")
      testing.run(function(root) use(root, object) end)
      assert.equal(1, object.calls)
    end)
  end

  -- testing.run asked the object where it is defined, as only a function can be.
  it("ctx.run, testing.run and set_report", function()
    local object = callable("value")
    assert.equal("value", testing.run(callable("value")))
    assert.equal("value", ctx.run(object))
    local previous = ctx.set_report(object)
    testing.run(function() ctx.go(error, "why") end)
    ctx.set_report(previous)
    assert.equal(2, object.calls)
  end)
end)

describe("a cancel is taken as a function", function()
  it("by after_func, go, and as what ends an await", function()
    local list = reports(function()
      testing.run(function(root)
        local c, cancel = ctx.with_cancel(root)
        local second, cancel_second = ctx.with_cancel(root)
        local third, cancel_third = ctx.with_cancel(root)
        ctx.after_func(c, cancel_second)
        ctx.after_func(second, function() ctx.go(cancel_third, "the last") end)
        cancel()
        ctx.sleep(root, 1)
        assert.is_true(second:done())
        assert.equal("the last", third:cause())
        local short, stop = ctx.with_timeout(root, 1)
        local other, cancel_other = ctx.with_cancel(root)
        ctx.await(short, function() return cancel_other end)
        assert.is_true(other:done())
        stop()
      end)
    end)
    assert.same({}, list)
  end)
end)

describe("a request's body", function()
  it("may be an object that can be called, which is asked for each piece", function()
    local pieces = setmetatable({ "a", "b" }, { __call = function(self)
      return table.remove(self, 1)
    end })
    ctx.run(function(root)
      local server <close> = http.server { handler = function(req, res)
        return res:finish(req.ctx, assert(req:body()))
      end }
      assert(server:listen("127.0.0.1", 0))
      ctx.go(server.serve, server, root)
      local url = ("http://127.0.0.1:%d"):format(server:address().port)
      assert.equal("ab", assert(http.post(root, url, pieces)).body)
    end)
  end)
end)
