-- SPDX-License-Identifier: MIT
-- The HTTP client's bodies, piece by piece, in both directions, with backpressure.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local gate, rest_of, run = raw_server.gate, raw_server.rest_of, raw_server.run

describe("a response that is read piece by piece", function()
  it("is there with its head", function()
    run(function(root)
      local on, go_on = gate()
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        on:wait()
        peer:send("3\r\ntwo\r\n0\r\nX-End: yes\r\n\r\n")
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      assert.equal(200, got.status)
      assert.is_nil(got.body)
      assert.equal("one", got:read(root))
      go_on()
      assert.equal("two", rest_of(root, got))
      assert.equal("yes", got.trailers["x-end"])
      for _ = 1, 2 do
        local chunk, err = got:read(root)
        assert.is_nil(chunk)
        assert.is_nil(err)
      end
    end)
  end)

  it("leaves its connection for the next request when it was read to its end", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        while peer:request() do peer:answer(("x"):rep(100000)) end
      end)
      for _ = 1, 3 do
        local got <close> = assert(client.get(root, server:url(), { stream = true }))
        assert.equal(100000, #rest_of(root, got))
      end
      assert.equal(1, server.connections)
    end)
  end)

  it("takes no more from the network than somebody reads", function()
    run(function(root)
      local size, sent = 64 * 1024 * 1024, 0
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(size))
        local piece = ("x"):rep(64 * 1024)
        while sent < size and peer:send(piece) do
          sent = sent + #piece
        end
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      local before
      repeat -- until it stands still
        before = sent
        loopback.turns(root)
      until sent == before
      assert.is_true(sent < size // 2, sent)
      local all = 0
      for chunk in function() return got:read(root) end do
        assert.is_true(#chunk <= 128 * 1024)
        all = all + #chunk
      end
      assert.equal(size, all)
    end)
  end)

  it("dies with the context of its request, also when nobody reads", function()
    run(function(root)
      local closed
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
        closed = peer:gone()
      end)
      local c, cancel <close> = ctx.with_cancel(root)
      local got <close> = assert(client.get(c, server:url("/?q"), { stream = true }))
      cancel("no more")
      while closed == nil do assert(ctx.sleep(root, 0)) end
      local chunk, err = got:read(root)
      assert.is_nil(chunk)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, "no more"))
      assert.equal("reading body", err.phase)
      assert.equal(("GET %s: reading body: context canceled: no more"):format(server:url("/")),
        tostring(err))
    end)
  end)

  it("wakes a reader when the context of its request ends", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        peer:gone()
      end)
      local c, cancel <close> = ctx.with_cancel(root)
      local got <close> = assert(client.get(c, server:url(), { stream = true }))
      local task = ctx.go(got.read, got, root)
      ctx.sleep(root, 0)
      cancel("no more")
      local chunk, err = task:wait(root)
      assert.is_nil(chunk)
      assert.is_true(errors.is(err, "no more"))
    end)
  end)

  it("goes on when only the context of one read ends", function()
    run(function(root)
      local on, go_on = gate()
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        on:wait()
        peer:send("later")
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      local c, cancel <close> = ctx.with_timeout(root, 5)
      local chunk, err = got:read(c)
      assert.is_nil(chunk)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.equal("reading body", err.phase)
      go_on()
      assert.equal("later", rest_of(root, got))
    end)
  end)

  it("gives what came in the turn in which the context of the read ends", function()
    run(function(root)
      local on, go_on = gate()
      local c, cancel = ctx.with_cancel(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        on:wait()
        local check = luv.new_check() -- called after the sockets, and before a task runs again
        check:start(function()
          check:close()
          cancel()
        end)
        peer:send("in")
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      go_on()
      assert.equal("in", got:read(c))
      assert.is_nil(got:read(c))
    end)
  end)

  it("ends when nothing moves for the idle time", function()
    loopback.run_with_clock(function(root, clock)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12")
        loopback.turns(root)
        clock:advance(30)
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(),
        { stream = true, idle_timeout = 30 }))
      local all, err = rest_of(root, got)
      assert.is_nil(all)
      assert.is_true(errors.is(err, uv.idle))
      assert.is_nil(root:err())
    end)
  end)

  it("gives what has come before the connection's error", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      assert.equal("half", got:read(root))
      for _ = 1, 2 do
        local chunk, err = got:read(root)
        assert.is_nil(chunk)
        assert.is_true(errors.is(err, uv.EOF), tostring(err))
      end
    end)
  end)

  it("can be closed, which closes its connection; then it gives no more", function()
    run(function(root)
      local closed
      local server <close> = raw_server.start(root, function(peer, n)
        peer:request()
        if n == 1 then
          peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
          closed = peer:gone()
        else
          peer:answer("next")
        end
      end)
      local got = assert(client.get(root, server:url(), { stream = true }))
      got:close()
      got:close()
      local chunk, err = got:read(root)
      assert.is_nil(chunk)
      assert.is_true(errors.is(err, uv.ECLOSED))
      while closed == nil do assert(ctx.sleep(root, 0)) end
      assert.equal("next", client.get(root, server:url()).body)
    end)
  end)

  it("wakes a reader when somebody closes it", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        peer:gone()
      end)
      local got = assert(client.get(root, server:url(), { stream = true }))
      local task = ctx.go(got.read, got, root)
      ctx.sleep(root, 0)
      got:close()
      assert.is_true(errors.is(select(2, task:wait(root)), uv.ECLOSED))
    end)
  end)

  it("has a limit only if it is given one", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer(("x"):rep(1000))
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true, max_body = 10 }))
      local all, err = rest_of(root, got)
      assert.is_nil(all)
      assert.is_true(errors.is(err, uv.EMSGSIZE))
    end)
  end)

  it("is read by one task at a time", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true }))
      local first = ctx.go(got.read, got, root)
      assert(ctx.sleep(root, 0))
      misuse.raises(function() got:read(root) end, "another task reads it; one at a time can")
      got:close()
      local chunk, err = first:wait(root)
      assert.is_nil(chunk)
      assert.is_true(errors.is(err, uv.ECLOSED))
    end)
  end)

  it("raises for a read of what has come whole, and without a context", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer("whole")
      end)
      local got = assert(client.get(root, server:url()))
      misuse.raises(function() got:read(root) end, "stream = true")
      misuse.raises(function() got.read(root) end, "with a colon")
      misuse.raises(function() got:values() end, "#1 to 'values'")
    end)
  end)
end)
