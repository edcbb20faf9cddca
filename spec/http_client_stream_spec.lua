-- SPDX-License-Identifier: MIT
-- The HTTP client's bodies, piece by piece, in both directions: C56, C62, backpressure.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local gate, run = raw_server.gate, raw_server.run

--- All that is left of a response, or nil and the error.
local function rest_of(c, response)
  local parts = {}
  while true do
    local chunk, err = response:read(c)
    if not chunk then
      return not err and table.concat(parts) or nil, err
    end
    parts[#parts + 1] = chunk
  end
end

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
        for _ = 1, 10 do assert(ctx.sleep(root, 2)) end
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

  it("dies with the context of its request, also when nobody reads (C56)", function()
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

  it("wakes who reads when the context of its request ends", function()
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

  it("ends when nothing moves for the idle time (B11)", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12")
        peer:gone()
      end)
      local got <close> = assert(client.get(root, server:url(), { stream = true, idle = 30 }))
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

  it("can be closed, which closes its connection; then it gives no more (C62)", function()
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

  it("wakes who reads when somebody closes it", function()
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
      assert.has_error(function() got:read(root) end,
        "bad self to 'read' (another task reads it; one at a time can)")
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
        for _ = 1, 10 do assert(ctx.sleep(root, 2)) end
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
        local server <close> = raw_server.start(root, function(peer)
          peer:request()
          peer:send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n"
            .. "Connection: close\r\n\r\nno!")
          peer:gone()
        end)
        local n = 0
        local got <close> = assert(client.post(root, server:url(), function(c)
          n = n + 1
          if n == 1 then return "first" end
          stopped = c:wait()
          return nil, "nobody wants it"
        end, { stream = stream }))
        assert.equal(413, got.status)
        assert.equal("no!", stream and rest_of(root, got) or got.body)
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
        assert.equal("no!", stream and rest_of(root, got) or got.body)
        assert.is_true(given < 1000)
      end
    end)
  end)
end)
