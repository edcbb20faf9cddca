-- SPDX-License-Identifier: MIT
-- The HTTP client's contexts.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local raw_server = require "spec.support.raw_server"
local transfer = require "ctx.http.client.transfer"
local uv = require "ctx.uv"

local gate, run, turns = raw_server.gate, raw_server.run, loopback.turns

--- Makes a request in a task, cancels its context for "enough" once `reached` is done, and checks
--- the error. Returns it.
local function cancelled_once(root, reached, phase, make)
  local c, cancel <close> = ctx.with_cancel(root)
  local task = ctx.go(make, c)
  reached:wait()
  turns(root) -- the client has to hear of it, too
  assert.equal("waiting", task:status())
  cancel("enough")
  assert.equal("waiting", task:status())
  ctx.sleep(root, 0)
  assert.not_equal("waiting", task:status(), "not in that turn")
  local got, err = task:wait(root)
  assert.is_nil(got)
  assert.is_true(errors.is(err, ctx.canceled))
  assert.is_true(errors.is(err, "enough"))
  assert.equal(phase, err.phase)
  return err
end

describe("the end of the context", function()
  it("is heard before anything begins", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer) peer:gone() end)
      local c, cancel = ctx.with_cancel(root)
      cancel("never mind")
      for _, call in ipairs { client.get, client.post } do
        local got, err = call(c, server:url())
        assert.is_nil(got)
        assert.is_true(errors.is(err, ctx.canceled))
        assert.is_true(errors.is(err, "never mind"))
      end
      turns(root)
      assert.equal(0, server.connections)
    end)
  end)

  it("ends a request while it connects", function()
    run(function(root)
      -- A listener that accepts nothing, and a backlog that is full: further ones are not answered.
      local listener = luv.new_tcp()
      listener:bind("127.0.0.1", 0)
      listener:listen(1, function() end)
      local address = listener:getsockname()
      local fillers, open = {}
      repeat
        local filler = luv.new_tcp()
        fillers[#fillers + 1] = filler
        open = false
        filler:connect(address.ip, address.port, function(err) open = not err end)
        turns(root)
      until not open
      local now, open_now = gate()
      open_now()
      cancelled_once(root, now, "connecting", function(c)
        return client.get(c, ("http://127.0.0.1:%d/"):format(address.port))
      end)
      for _, filler in ipairs(fillers) do filler:close() end
      listener:close()
    end)
  end)

  it("ends a request in the TLS handshake", function()
    run(function(root)
      local reached, reach = gate()
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer.stream:read(root)
        reach()
        closed = peer:gone()
      end)
      cancelled_once(root, reached, "TLS handshake", function(c)
        return client.get(c, server:url("/", "https"))
      end)
      while closed == nil do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("ends a request while it is sent", function()
    run(function(root)
      local reached, reach = gate()
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        reach()
        root:wait()
      end)
      cancelled_once(root, reached, "sending the request", function(c)
        return client.post(c, server:url(), ("x"):rep(64 * 1024 * 1024))
      end)
    end)
  end)

  it("ends a request that waits for the headers; the server hears of it", function()
    run(function(root)
      local reached, reach = gate()
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:body(4)
        peer:send("HTTP/1.1 200 OK\r\nX-Half: ")
        reach()
        closed = peer:gone()
      end)
      local err = cancelled_once(root, reached, "awaiting headers", function(c)
        return client.post(c, server:url("/a?token=secret"), "body")
      end)
      assert.equal(("POST %s: awaiting headers: context canceled: enough"):format(server:url("/a")),
        tostring(err))
      while closed == nil do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("ends a request that reads the body", function()
    run(function(root)
      local reached, reach = gate()
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
        reach()
        closed = peer:gone()
      end)
      cancelled_once(root, reached, "reading body", function(c)
        return client.get(c, server:url())
      end)
      while closed == nil do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("ends a request that waits for another one's connection", function()
    run(function(root)
      local own <close> = client.new { max_per_host = 1 }
      local reached, reach = gate()
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        reach()
        root:wait()
      end)
      local c, cancel <close> = ctx.with_cancel(root)
      local first = ctx.go(own.get, own, c, server:url())
      cancelled_once(root, reached, "waiting for a connection", function(within)
        return own:get(within, server:url())
      end)
      cancel()
      first:wait(root)
      assert.equal(1, server.connections)
    end)
  end)

  it("is a deadline as well, over all that there is", function()
    loopback.run_with_clock(function(root, clock)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ = 1, 12 do -- always some progress
          turns(root)
          clock:advance(5)
          peer:send("drip")
        end
      end)
      local c, cancel <close> = ctx.with_timeout(root, 60, errors.new("budget of the page"))
      local got, err = client.get(c, server:url(), { idle_timeout = 10 })
      assert.is_nil(got)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.is_true(err:timeout())
      assert.equal("reading body", err.phase)
      assert.truthy(tostring(err):find("deadline exceeded: budget of the page", 1, true))
    end)
  end)
end)

describe("a connection", function()
  it("that was cancelled on is not used again", function()
    run(function(root)
      local reached, reach = gate()
      local server <close> = raw_server.start(root, function(peer, n)
        peer:request()
        if n == 1 then
          peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
          reach()
          assert.equal(true, peer:gone())
        else
          peer:answer("second")
        end
      end)
      cancelled_once(root, reached, "reading body", function(c)
        return client.get(c, server:url())
      end)
      assert.equal("second", client.get(root, server:url()).body)
      assert.equal(2, server.connections)
    end)
  end)

  it("of others goes on when one is cancelled", function()
    run(function(root)
      local reached, reach = gate()
      local over, open = gate()
      local server <close> = raw_server.start(root, function(peer)
        local request = peer:request()
        if request.line:find("/slow") then
          reach()
          peer:gone()
        else
          over:wait()
          peer:answer("fine")
        end
      end)
      local other = ctx.go(client.get, root, server:url("/fine"))
      cancelled_once(root, reached, "awaiting headers", function(c)
        return client.get(c, server:url("/slow"))
      end)
      open()
      assert.equal("fine", other:wait(root).body)
    end)
  end)
end)

describe("in one turn", function()
  --- Runs fn(c, cancel) while each piece of news of a transfer first calls before(), then after().
  local function with_news(root, before, after, fn)
    local class = transfer.class
    local changed = class.changed
    local c, cancel <close> = ctx.with_cancel(root)
    class.changed = function(self)
      if before then before(self, cancel) end
      changed(self)
      if after then after(self, cancel) end
    end
    local ok, err = pcall(fn, c)
    class.changed = changed
    assert(ok, err)
  end

  local function is_done(one)
    return select(2, one.curl:state())
  end

  it("a response and then a cancel: the response counts", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer("complete")
      end)
      with_news(root, nil, function(one, cancel)
        if not one:is_over() and is_done(one) then cancel("too late") end
      end, function(c)
        local got, err = client.get(c, server:url())
        assert.truthy(c:err())
        assert.equal("complete", got and got.body, tostring(err))
      end)
    end)
  end)

  it("a cancel and then a response that is complete: the response counts", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer("complete")
      end)
      with_news(root, function(one, cancel)
        if not one:is_over() and is_done(one) then cancel("almost in time") end
      end, nil, function(c)
        local got, err = client.get(c, server:url())
        assert.truthy(c:err())
        assert.equal("complete", got and got.body, tostring(err))
      end)
    end)
  end)

  it("a cancel and then the connection's error: the cancel counts", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:reset()
      end)
      with_news(root, function(_, cancel) cancel("we did it") end, nil, function(c)
        local got, err = client.get(c, server:url())
        assert.is_nil(got)
        assert.is_true(errors.is(err, ctx.canceled))
        assert.is_true(errors.is(err, "we did it"))
        assert.is_false(errors.is(err, uv.ECONNRESET))
      end)
    end)
  end)
end)
