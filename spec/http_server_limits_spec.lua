-- SPDX-License-Identifier: MIT
-- What a server takes at most, and how long it waits: for a head, for a body, for the next request,
-- and for a client that does not read.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"

local HEAD = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

local function hello(req, res)
  res:finish(req.ctx, "hello")
end

local function echo(req, res)
  local body, err = req:body()
  if not body then
    return nil, err
  end
  res:finish(req.ctx, body)
end

--- The server has closed the connection, and has not said a word.
local function assert_silent_end(client)
  local rest, err = client:rest()
  assert.equal("", rest)
  assert.is_nil(err)
end

describe("a server with too much to do", function()
  it("tells a connection too many to try again, and serves the next one", function()
    bed.run({ handler = hello, max_connections = 2 }, function(b)
      local one <close>, two = b:connect(), b:connect()
      assert.equal(200, one:get().status)
      assert.equal(200, two:get().status)
      local three <close> = b:connect()
      local answer = three:answer()
      assert.equal(503, answer.status)
      assert.equal("1", answer.headers["retry-after"])
      assert.equal("close", answer.headers.connection)
      assert_silent_end(three)
      assert.same({ 2, 1 }, { b.server:stats().connections, b.server:stats().refused })
      two:close()
      b:wait_until(function() return b.server:stats().connections == 1 end)
      local four <close> = b:connect()
      assert.equal(200, four:get().status)
    end)
  end)

  it("reads what a connection too many sends, so that no reset takes the answer away", function()
    bed.run({ handler = hello, max_connections = 1 }, function(b)
      local one <close> = b:connect()
      one:get()
      local two <close> = b:connect()
      two:send(("x"):rep(100000))
      two:settle()
      assert.equal(503, two:answer().status)
      assert_silent_end(two)
    end)
  end)

  -- Their refusals linger for a second: the server forgot them, and they stayed open behind it.
  it("closes those that it turned away when it ends", function()
    bed.run({ handler = hello, max_connections = 1 }, function(b)
      local one <close>, two = b:connect(), b:connect()
      local _ <close> = two
      one:get()
      assert.equal(503, two:answer().status)
      assert(two:send("x"))
      b.server:close()
      two:settle()
      two:send("x")
      two:settle()
      assert.is_false(two:send("x"))
    end)
  end)

  it("refuses a request too many, and keeps its connection", function()
    local gate
    bed.run({ max_requests = 1, handler = function(req, res)
      if req.path == "/slow" then
        gate:wait()
      end
      res:finish(req.ctx, "done")
    end }, function(b)
      local open
      gate, open = ctx.with_cancel(b.root)
      local slow <close>, quick = b:connect(), b:connect()
      local _ <close> = quick
      slow:send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      for _ = 1, 2 do
        local answer = quick:get()
        assert.equal(503, answer.status)
        assert.equal("1", answer.headers["retry-after"])
        assert.is_nil(answer.headers.connection)
      end
      -- A body here was read as the begin of the next answer.
      local answer = quick:ask("HEAD / HTTP/1.1", "Host: h")
      assert.same({ 503, "26" }, { answer.status, answer.headers["content-length"] })
      open()
      assert.equal("done", slow:answer().body)
      assert.equal("done", quick:get().body)
      assert.equal(3, b.server:stats().refused)
    end)
  end)

  it("closes the connection of a request too many whose body is still to come", function()
    local gate
    bed.run({ max_requests = 1, handler = function()
      gate:wait()
    end }, function(b)
      local open
      gate, open = ctx.with_cancel(b.root)
      local slow <close>, quick = b:connect(), b:connect()
      local _ <close> = quick
      slow:send(HEAD)
      b:wait_until(function() return b.server:stats().requests == 1 end)
      local answer = quick:ask("POST / HTTP/1.1", "Host: h", "Content-Length: 3")
      assert.same({ 503, "close" }, { answer.status, answer.headers.connection })
      assert_silent_end(quick)
      open()
    end)
  end)
end)

describe("a server that waits for a request", function()
  local function with_clock(options, fn)
    options.handler = options.handler or hello
    bed.run(options, fn, true)
  end

  it("closes a connection that never says anything", function()
    with_clock({ read_header_timeout = 100 }, function(b)
      local client <close> = b:connect()
      client:settle()
      b.clock:advance(99)
      assert.equal(1, b.server:stats().connections)
      b.clock:advance(1)
      assert_silent_end(client)
    end)
  end)

  it("answers 408 to half a head, however steadily its bytes come", function()
    with_clock({ read_header_timeout = 100 }, function(b)
      local client <close> = b:connect()
      for i = 1, 9 do
        client:send(HEAD:sub(i, i))
        client:settle()
        b.clock:advance(11)
      end
      client:send(HEAD:sub(10, 10))
      client:settle()
      b.clock:advance(1)
      local answer = client:answer()
      assert.same({ 408, "close" }, { answer.status, answer.headers.connection })
      assert_silent_end(client)
    end)
  end)

  it("closes a connection that sends nothing but empty lines", function()
    with_clock({ read_header_timeout = 100 }, function(b)
      local client <close> = b:connect()
      for _ = 1, 10 do
        client:send("\r\n")
        client:settle()
        b.clock:advance(10)
      end
      assert_silent_end(client)
    end)
  end)

  it("silently closes a connection that has nothing more to say", function()
    with_clock({ idle_timeout = 100, read_header_timeout = 10 }, function(b)
      local client <close> = b:connect()
      client:get()
      b.clock:advance(99)
      assert.equal(200, client:get().status)
      b.clock:advance(99)
      assert.equal(1, b.server:stats().connections)
      b.clock:advance(1)
      assert_silent_end(client)
    end)
  end)

  -- The end of the refused request counted as the begin of the next one.
  it("keeps a connection whose request was refused as long as any other", function()
    local gate
    with_clock({ idle_timeout = 100, read_header_timeout = 10, max_requests = 1,
      handler = function() gate:wait() end }, function(b)
      local open
      gate, open = ctx.with_cancel(b.root)
      local slow <close>, quick = b:connect(), b:connect()
      local _ <close> = quick
      slow:send(HEAD)
      b:wait_until(function() return b.server:stats().requests == 1 end)
      assert.equal(503, quick:get().status)
      b.clock:advance(99)
      assert.equal(503, quick:get().status)
      b.clock:advance(100)
      assert_silent_end(quick)
      open()
    end)
  end)

  it("gives the head of the next request its time from the first byte on", function()
    with_clock({ idle_timeout = 1000, read_header_timeout = 100 }, function(b)
      local client <close> = b:connect()
      client:get()
      b.clock:advance(900)
      client:send("GET")
      client:settle()
      b.clock:advance(99)
      assert.equal(1, b.server:stats().connections)
      b.clock:advance(1)
      assert.equal(408, client:answer().status)
    end)
  end)
end)

describe("a server that waits for a body", function()
  local POST = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"

  it("answers 408 when no more of it comes, and each byte gives it time again", function()
    bed.run({ handler = echo, read_timeout = 100 }, function(b)
      local client <close> = b:connect()
      client:send(POST .. "\r\n")
      for _ = 1, 4 do
        client:settle()
        b.clock:advance(99)
        client:send("x")
      end
      client:settle()
      b.clock:advance(100)
      local answer = client:answer()
      assert.same({ 408, "close" }, { answer.status, answer.headers.connection })
      assert_silent_end(client)
    end, true)
  end)

  -- The head had promised to go on, so the connection stayed for another read_timeout, in which
  -- nothing that came could be answered.
  it("ends the connection after the answer, also when that had begun", function()
    bed.run({ read_timeout = 100, handler = function(req, res)
      assert(res:write(req.ctx, "half"))
      local _, err = req:body()
      return res:finish(req.ctx, tostring(err.status))
    end }, function(b)
      local client <close> = b:connect()
      client:send(POST .. "\r\nab")
      client:settle()
      b.clock:advance(100)
      local answer = client:answer()
      local now = ctx.now()
      assert.same({ 200, "half408" }, { answer.status, answer.body })
      assert_silent_end(client)
      assert.equal(now, ctx.now())
    end, true)
  end)

  -- The wait for the body began with our 100, and no time was set for it.
  it("answers 408 when the client says that it would continue, and does not", function()
    bed.run({ handler = echo, read_timeout = 100 }, function(b)
      local client <close> = b:connect()
      client:send(POST .. "Expect: 100-continue\r\n\r\n")
      assert.equal(100, client:answer().status)
      b.clock:advance(100)
      assert.equal(408, client:answer().status)
    end, true)
  end)

  it("leaves a handler alone that does not read yet", function()
    local cause
    bed.run({ read_timeout = 100, handler = function(req, res)
      ctx.sleep(req.ctx, 1000)
      cause = req.ctx:cause()
      local body, err = req:body()
      res:finish(req.ctx, body or err.message)
    end }, function(b)
      local client <close> = b:connect()
      client:send(POST .. "\r\nhello")
      client:settle()
      b.clock:advance(1000)
      assert.equal("hello", client:answer().body)
      assert.is_nil(cause)
      -- More than is kept for the handler: it is not the client's fault that nothing moves.
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n", ("x"):rep(300000))
      client:settle()
      b.clock:advance(1000)
      assert.equal(300000, #client:answer().body)
    end, true)
  end)

  -- When the handler was done, nobody set a time for what the client still had to send.
  it("does not wait for ever for a body that nobody wanted", function()
    bed.run({ read_timeout = 100, handler = function(req)
      ctx.sleep(req.ctx, 50)
    end }, function(b)
      local client <close> = b:connect()
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n", ("x"):rep(100000))
      b:wait_until(function() return b.server:stats().requests == 1 end)
      for _ = 1, 5 do client:settle() end
      b.clock:advance(50)
      local answer = client:answer()
      assert.same({ 200, nil }, { answer.status, answer.headers.connection })
      client:settle()
      b.clock:advance(100)
      assert_silent_end(client)
    end, true)
  end)

  it("reads on to the next request when that body is small", function()
    bed.run({ handler = hello }, function(b)
      local client <close> = b:connect()
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n", ("x"):rep(150000))
      assert.equal(200, client:answer().status)
      client:send(("x"):rep(50000), HEAD)
      assert.equal(200, client:answer().status)
    end)
  end)

  it("closes the connection when that body is large", function()
    bed.run({ handler = hello }, function(b)
      local client <close> = b:connect()
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n")
      assert.equal("close", client:answer().headers.connection)
      assert_silent_end(client)
    end)
  end)

  it("answers 413 as soon as the chunks are too many", function()
    bed.run({ handler = echo, max_body = 1000 }, function(b)
      local client <close> = b:connect()
      client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
      client:send("3e8\r\n", ("x"):rep(1000), "\r\n")
      client:settle()
      client:send("1\r\nx\r\n")
      assert.equal(413, client:answer().status)
      assert_silent_end(client)
    end)
  end)
end)

describe("a server whose client does not read", function()
  local PIECE, PIECES = ("0123456789abcdef"):rep(4096), 256

  local function writer(seen)
    return function(req, res)
      local ok, err
      repeat
        ok, err = res:write(req.ctx, PIECE)
        seen.pieces = seen.pieces + 1
      until not ok or seen.pieces >= PIECES
      seen.err, seen.cause = err, req.ctx:cause()
    end
  end

  --- Lets the handler write until it has to wait.
  local function fill(client, seen)
    local before
    repeat
      before = seen.pieces
      client:settle()
    until seen.pieces > 0 and seen.pieces == before
  end

  it("makes the handler wait, and loses nothing", function()
    local seen = { pieces = 0 }
    bed.run({ handler = writer(seen) }, function(b)
      local client <close> = b:connect()
      client:send(HEAD)
      fill(client, seen)
      assert.is_true(seen.pieces < PIECES)
      assert.is_true(PIECE:rep(PIECES) == client:answer().body)
      assert.is_nil(seen.err)
      assert.equal(200, client:get().status)
    end)
  end)

  it("gives up when nothing moves for write_timeout", function()
    local seen = { pieces = 0 }
    bed.run({ handler = writer(seen), write_timeout = 100 }, function(b)
      local client <close> = b:connect()
      client:send(HEAD)
      fill(client, seen)
      b.clock:advance(100)
      b:wait_empty()
      assert.is_true(errors.is(seen.err, ctx.deadline_exceeded))
      assert.is_true(errors.is(seen.cause, http.write_failed))
    end, true)
  end)
end)

describe("a client that sends ahead", function()
  -- What was kept for later grew by a whole read with every request that was answered.
  it("is not read faster than it is served", function()
    local open, gate
    local held = 0
    -- However long the machine takes for eight thousand.
    local never = math.huge
    bed.run({ read_header_timeout = never, write_timeout = never, handler = function(req, res)
      if req.path == "/gate" then
        gate:wait()
      end
      local conn = req._connection
      held = math.max(held, conn._kept and conn._kept.size or 0)
      res:finish(req.ctx, "")
    end }, function(b)
      gate, open = ctx.with_cancel(b.root)
      local client <close> = b:connect()
      client:send("GET /gate HTTP/1.1\r\nHost: h\r\n\r\n")
      local writer = ctx.go(client.send, client, HEAD:rep(8000))
      client:settle()
      open()
      for _ = 1, 8001 do
        assert(client:answer().status == 200)
      end
      assert.is_true(writer:wait(b.c))
      assert.is_true(held > 65536 and held <= 2 * 65536 + #HEAD)
    end)
  end)
end)
