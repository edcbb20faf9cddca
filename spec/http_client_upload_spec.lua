-- SPDX-License-Identifier: MIT
-- The HTTP client's requests whose body comes piece by piece, with backpressure.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local run = raw_server.run

describe("a body that comes from a function", function()
  --- Pieces one after the other, then the end.
  local function pieces(...)
    local list, i = { ... }, 0
    return function()
      i = i + 1
      return list[i]
    end
  end

  it("is sent in chunks, as it comes", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        while true do
          local request = peer:request()
          if not request then return end
          assert.equal("chunked", request["transfer-encoding"])
          peer:answer(peer:body())
        end
      end)
      assert.equal("onetwothree",
        client.post(root, server:url(), pieces("one", "", "two", "three")).body)
      assert.equal("", client.post(root, server:url(), pieces()).body)
      local large = ("0123456789"):rep(100000)
      assert.equal(large .. large, client.post(root, server:url(), pieces(large, large)).body)
      assert.equal(1, server.connections)
    end)
  end)

  it("has no chunks when its length is known", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        local request = peer:request()
        peer:answer(peer:body(tonumber(request["content-length"])))
      end)
      assert.equal("sixsix", client.post(root, server:url(), pieces("six", "six"), {
        length = 6,
      }).body)
    end)
  end)

  it("may wait for its pieces with its context", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer(peer:body())
      end)
      local n = 0
      local got = assert(client.post(root, server:url(), function(c)
        n = n + 1
        assert(ctx.sleep(c, 5))
        return n <= 3 and tostring(n) or nil
      end))
      assert.equal("123", got.body)
    end)
  end)

  it("waits for a slow server: not all is taken at once", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        root:wait()
      end)
      local given, piece = 0, ("x"):rep(64 * 1024)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(client.post, c, server:url(), function()
        given = given + #piece
        return piece
      end)
      local before
      repeat
        before = given
        loopback.turns(root)
      until given == before and given > 0
      assert.equal("waiting", task:status())
      cancel("enough")
      local _, err = task:wait(root)
      assert.is_true(errors.is(err, "enough"))
      assert.equal("sending the request", err.phase)
    end)
  end)

  it("ends with the context of the request, even while it waits for a piece", function()
    run(function(root)
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        closed = peer:gone()
      end)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(client.post, c, server:url(), function(within)
        cancel("enough")
        return nil, within:wait()
      end)
      local got, err = task:wait(root)
      assert.is_nil(got)
      assert.is_true(errors.is(err, "enough"))
      assert.equal("sending the request", err.phase)
      while closed == nil do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("ends when its connection breaks while it waits for a piece", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:reset()
      end)
      local n = 0
      local got, err = client.post(root, server:url(), function(c)
        n = n + 1
        if n == 1 then return "first" end
        c:wait()
        return nil, "nobody wants it"
      end)
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECONNRESET) or errors.is(err, uv.EPIPE), tostring(err))
      assert.is_nil(root:err())
    end)
  end)

  it("fails the request with its own error", function()
    run(function(root)
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        closed = peer:gone()
      end)
      local broken = errors.new("the disk is broken")
      local got, err = client.post(root, server:url(), function() return nil, broken end)
      assert.is_nil(got)
      assert.is_true(errors.is(err, broken))
      assert.equal("sending the request", err.phase)
      while closed == nil do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("may raise: the request is over, and the error goes on", function()
    run(function(root)
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        closed = peer:gone()
      end)
      assert.has_error(function()
        client.post(root, server:url(), function() error("oops", 0) end)
      end, "oops")
      while closed == nil do assert(ctx.sleep(root, 0)) end
      assert.has_error(function()
        client.post(root, server:url(), function() return 5 end)
      end, "the body's function returned a number, not a string or nil")
    end)
  end)

  -- One byte more was the next request, as the server saw it; one less was waited for.
  it("is as long as was said, or an error", function()
    run(function(root)
      local rest = {}
      local server <close> = raw_server.start(root, function(peer, n)
        peer:request()
        local chunk = peer.stream:read(root)
        while chunk do
          rest[n] = (rest[n] or "") .. chunk
          chunk = peer.stream:read(root)
        end
      end)
      for n, case in ipairs {
        { "123", "45GET /evil HTTP/1.1\r\nhost: x\r\n\r\n" }, { "12", "3" }, {},
      } do
        local got, err = client.post(root, server:url(), pieces(table.unpack(case)), { length = 5 })
        assert.is_nil(got)
        assert.is_true(errors.is(err, uv.EINVAL), tostring(err))
        assert.equal("sending the request", err.phase)
        while server.connections < n do assert(ctx.sleep(root, 0)) end
      end
      assert.is_nil(rest[1] and rest[1]:find("evil"))
    end)
  end)

  it("stops when the server refuses it, though it waits for its next piece", function()
    run(function(root)
      for _, stream in ipairs { false, true } do
        local stopped
        local waits, now_waits = ctx.with_cancel(root)
        local server <close> = raw_server.start(root, function(peer)
          peer:request()
          waits:wait() -- else libcurl may be done before it asks again
          peer:send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n"
            .. "Connection: close\r\n\r\nno!")
          peer:gone()
        end)
        local n = 0
        local got <close> = assert(client.post(root, server:url(), function(c)
          n = n + 1
          if n == 1 then return "first" end
          now_waits()
          stopped = c:wait()
          return nil, "nobody wants it"
        end, { stream = stream }))
        assert.equal(413, got.status)
        assert.equal("no!", stream and raw_server.rest_of(root, got) or got.body)
        while not stopped do assert(ctx.sleep(root, 0)) end
        assert.is_nil(root:err())
      end
    end)
  end)

  -- The response was not to be had before all was sent; when it was large, each waited for the
  -- other.
  it("is sent while a stream is read: the server answers as it comes", function()
    run(function(root)
      local piece, n = ("x"):rep(1 << 16), 64
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(n * #piece))
        for _ = 1, n do
          peer:send(peer:body(#piece))
        end
        peer:gone()
      end)
      local given, taken = 0, 0
      local got <close> = assert(client.post(root, server:url(), function()
        given = given + 1
        return given <= n and piece or nil
      end, { stream = true, length = n * #piece, high_water = 4096 }))
      assert.is_true(given < n, "it was there before all was sent")
      for chunk in function() return got:read(root) end do
        taken = taken + #chunk
      end
      assert.equal(n * #piece, taken)
    end)
  end)

  it("fails the stream that is read meanwhile, with what it returned or raised", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n")
        peer:gone()
      end)
      for _, fails in ipairs {
        function() return nil, "the disk is broken" end,
        function() error("the disk is broken", 0) end,
      } do
        local goes_on, go_on = raw_server.gate()
        local n = 0
        local got <close> = assert(client.post(root, server:url(), function()
          n = n + 1
          if n == 1 then return "first" end
          goes_on:wait()
          return fails()
        end, { stream = true }))
        assert.equal("yes", got:read(root))
        go_on()
        local chunk, err = got:read(root)
        assert.is_nil(chunk)
        assert.truthy(tostring(err):find("the disk is broken", 1, true), tostring(err))
      end
    end)
  end)

  it("ends with a stream that is closed", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer:gone()
      end)
      local stopped
      local got = assert(client.post(root, server:url(), function(c)
        stopped = c:wait()
      end, { stream = true }))
      got:close()
      while not stopped do assert(ctx.sleep(root, 0)) end
    end)
  end)

  it("is not asked for more when the server has refused it", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        peer:gone()
      end)
      for _, stream in ipairs { false, true } do
        local given = 0
        local got <close> = assert(client.post(root, server:url(), function(c)
          given = given + 1
          ctx.sleep(c, given > 1 and 10 or 0)
          return "some"
        end, { stream = stream }))
        assert.equal(413, got.status)
        assert.equal("no!", stream and raw_server.rest_of(root, got) or got.body)
        assert.is_true(given < 1000)
      end
    end)
  end)
end)
