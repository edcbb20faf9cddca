-- SPDX-License-Identifier: MIT
-- The HTTP client's other limits, and what goes wrong within it.
local client = require "ctx.http.client"
local ctx = require "ctx"
local engine = require "ctx.http.client.engine"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local raw_server = require "spec.support.raw_server"
local transfer = require "ctx.http.client.transfer"
local uv = require "ctx.uv"

local run, run_with_clock, turns = raw_server.run, loopback.run_with_clock, loopback.turns

describe("the idle time", function()
  it("ends a request of which nothing moves, and not its context", function()
    run_with_clock(function(root, clock)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        turns(root)
        clock:advance(40)
        peer:gone()
      end)
      local got, err = client.get(root, server:url(), { idle_timeout = 40 })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.idle))
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.equal("reading body", err.phase)
      assert.is_nil(root:err())
    end)
  end)

  it("leaves a request alone that moves, however slowly", function()
    run_with_clock(function(root, clock)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ = 1, 10 do
          turns(root)
          clock:advance(150)
          peer:send("x")
        end
      end)
      local got = assert(client.get(root, server:url(), { idle_timeout = 200 }))
      assert.equal(10, #got.body)
    end)
  end)

  it("counts heads, too", function()
    run_with_clock(function(root, clock)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        for _ = 1, 12 do
          peer:send("HTTP/1.1 102 Processing\r\n\r\n")
          turns(root)
          clock:advance(150)
        end
        peer:answer("at last")
      end)
      assert.equal("at last", assert(client.get(root, server:url(), { idle_timeout = 200 })).body)
    end)
  end)

  it("counts what is sent, too", function()
    run_with_clock(function(root, clock)
      local body = ("x"):rep(64 * 1024 * 1024) -- much more than the kernel keeps
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        for _ = 1, 8 do
          turns(root)
          clock:advance(150)
          peer:body(#body // 8)
        end
        peer:answer("thanks")
      end)
      local got = assert(client.post(root, server:url(), body, { idle_timeout = 200 }))
      assert.equal("thanks", got.body)
    end)
  end)
end)

describe("what the context carries", function()
  it("goes out with the request: the deadline as it is by then", function()
    run(function(root)
      local seen = {}
      local server <close> = raw_server.start(root, function(peer)
        for i = 1, 2 do
          seen[i] = peer:request()["grpc-timeout"]
          ctx.sleep(root, 10)
          peer:answer("")
        end
      end)
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      assert(client.get(c, server:url()))
      assert(client.get(c, server:url()))
      local first, second = seen[1]:match("^%d+"), seen[2]:match("^%d+")
      assert.equal(seen[1]:match("%a$"), seen[2]:match("%a$"))
      assert.is_true(tonumber(second) < tonumber(first), seen[1] .. " " .. seen[2])
    end)
  end)

  it("does not where it is told not to, or the program says it itself", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        for _ = 1, 2 do
          peer:answer(tostring(peer:request()["grpc-timeout"]))
        end
      end)
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      assert.equal("nil", client.get(c, server:url(), { propagate = false }).body)
      local headers = { ["Grpc-Timeout"] = "1S" }
      assert.equal("1S", client.get(c, server:url(), { headers = headers }).body)
    end)
  end)
end)

describe("a client that is closed", function()
  it("ends its requests, and begins none", function()
    run(function(root)
      local own = client.new()
      local reached, reach = ctx.with_cancel(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        reach()
        peer:gone()
      end)
      local task = ctx.go(own.get, own, root, server:url())
      reached:wait()
      own:close("for the night")
      own:close()
      local got, err = task:wait(root)
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECLOSED), tostring(err))
      assert.same({ "ECLOSED", "given up" }, { err.code, err.phase })
      got, err = own:get(root, server:url())
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECLOSED), tostring(err))
    end)
  end)
end)

describe("an error within the client", function()
  -- Such as no memory in a callback of luv's: the waiter must hear of it, for nobody else will.
  it("ends all its requests, and the next ones begin anew", function()
    run(function(root)
      local own <close> = client.new()
      local server <close> = raw_server.start(root, function(peer)
        while peer:request() do peer:answer("fine") end
      end)
      local class = transfer.class
      local changed = class.changed
      class.changed = function() error("not enough memory", 0) end
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = ctx.go(own.get, own, root, server:url())
      end
      for i = 1, 3 do
        local got, err = tasks[i]:wait(root)
        assert.is_nil(got)
        assert.truthy(tostring(err):find("not enough memory", 1, true), tostring(err))
      end
      class.changed = changed
      assert.equal("fine", assert(own:get(root, server:url())).body)
    end)
  end)
end)

describe("a limit for the connection alone", function()
  it("is an error of its own", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer) peer:gone() end)
      local got, err = client.get(root, server:url("/", "https"), { connect_timeout = 300 })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ETIMEDOUT), tostring(err))
      assert.equal("TLS handshake", err.phase)
      assert.is_nil(root:err())
    end)
  end)
end)

-- Where C cannot gather the descriptors in one, luv watches each.
describe("an engine that watches each descriptor", function()
  it("does the same", function()
    run(function(root)
      local own = client.new()
      own._engine:close(errors.new("for another one"))
      own._engine = engine.new { apart = true }
      local server <close> = raw_server.start(root, function(peer)
        while peer:request() do peer:answer(("x"):rep(100000)) end
      end)
      local tasks = {}
      for i = 1, 20 do
        tasks[i] = ctx.go(own.get, own, root, server:url())
      end
      for i = 1, 20 do
        assert.equal(100000, #assert(tasks[i]:wait(root)).body)
      end
      assert.equal(100000, #own:post(root, server:url(), "").body)
      own:close()
    end)
  end)
end)

describe("a program that closes all handles", function()
  -- As with uv.walk; those of the spec itself live on.
  it("loses no request that is under way when the next one begins", function()
    run(function(root)
      for _, apart in ipairs { false, true } do
        local on, go_on = ctx.with_cancel(root)
        local server <close> = raw_server.start(root, function(peer, n)
          peer:request()
          if n == 1 then on:wait() end
          peer:answer("fine")
        end)
        local own = client.new()
        own._engine:close(errors.new("for another one"))
        own._engine = engine.new { apart = apart }
        local first = ctx.go(own.get, own, root, server:url())
        while server.connections == 0 do assert(ctx.sleep(root, 0)) end
        own._engine._timer:close()
        for _, poll in pairs(own._engine._polls) do poll:close() end
        assert.equal("fine", assert(own:get(root, server:url())).body)
        go_on()
        assert.equal("fine", assert(first:wait(root)).body)
        own:close()
      end
    end)
  end)
end)

describe("a kept connection that the server closes", function()
  it("does not keep the loop busy beside a request that waits", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer, n)
        local request = peer:request()
        if n == 1 then
          peer:answer("and closes")
        elseif request then
          peer:gone()
        end
      end)
      local other <close> = raw_server.start(root, function(peer) peer:gone() end)
      local own <close> = client.new()
      assert(own:get(root, server:url()))
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(own.get, own, c, other:url())
      local count, prepare = 0, luv.new_prepare()
      prepare:start(function() count = count + 1 end)
      ctx.sleep(root, 50)
      prepare:close()
      cancel()
      task:wait(root)
      assert.is_true(count < 100, count)
    end)
  end)
end)
