-- SPDX-License-Identifier: MIT
-- The context of a request: what it takes from the caller's headers, and why it ends.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local propagate = require "ctx.propagate"
local uv = require "ctx.uv"

--- A handler that waits for the end of its context and keeps what it saw.
local function waiter(seen)
  return function(req)
    seen.req = req
    seen.err = req.ctx:wait()
    seen.cause = req.ctx:cause()
    return nil, seen.err
  end
end

local GET = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

--- Starts a request, waits until its handler waits, and runs fn(client, bed, seen).
local function parked(options, request, fn, fake)
  local seen = {}
  options.handler = options.handler or waiter(seen)
  return bed.run(options, function(b)
    local client <close> = b:connect()
    client:send(request or GET)
    b:wait_until(function() return seen.req end)
    fn(client, b, seen)
  end, fake)
end

describe("the context of a request ends", function()
  it("when the handler returns, before the response is out", function()
    local kept, after
    bed.run({ handler = function(req, res)
      kept = req.ctx
      ctx.after_func(kept, function() after = kept:cause() end)
      assert.is_nil(kept:err())
      res.headers.X = "y"
    end }, function(b)
      local client <close> = b:connect()
      assert.equal(200, client:get().status)
      assert.equal(ctx.canceled, kept:err())
      assert.equal(http.handler_returned, kept:cause())
      b:wait_until(function() return after end)
      assert.equal(http.handler_returned, after)
    end)
  end)

  it("when the client leaves", function()
    parked({}, nil, function(client, b, seen)
      client:close()
      b:wait_empty()
      assert.equal(ctx.canceled, seen.err)
      assert.is_true(errors.is(seen.cause, http.client_gone))
      assert.same({}, b.errors)
      assert.equal("the client has gone", b.records[1].cause)
      assert.is_nil(b.records[1].status)
    end)
  end)

  it("when the network resets the connection, with luv's error in the cause", function()
    parked({}, nil, function(client, b, seen)
      assert(client.stream:handle():close_reset())
      b:wait_empty()
      assert.is_true(errors.is(seen.cause, http.client_gone))
      assert.is_true(errors.is(seen.cause, uv.ECONNRESET))
    end)
  end)

  it("when the client leaves; a defect of the handler is reported even then", function()
    local begun
    bed.run({ handler = function(req)
      begun = true
      req.ctx:wait()
      error("boom")
    end }, function(b)
      local client <close> = b:connect()
      client:send(GET)
      b:wait_until(function() return begun end)
      client:close()
      b:wait_empty()
      assert.equal(1, #b.errors)
      assert.truthy(b.errors[1].err:find("boom", 1, true))
    end)
  end)

  it("when the client leaves behind a body that nobody reads", function()
    parked({}, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
      function(client, b, seen)
        client:close()
        b:wait_empty()
        assert.is_true(errors.is(seen.cause, http.client_gone))
      end)
  end)

  -- More than the kernel keeps for the server would keep the end back, too.
  it("when the client leaves behind more than the server takes in", function()
    parked({}, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n" .. ("x"):rep(150000),
      function(client, b, seen)
        for _ = 1, 10 do client:settle() end
        client:close()
        b:wait_empty()
        assert.is_true(errors.is(seen.cause, http.client_gone))
      end)
  end)

  it("when the client leaves behind a pipelined request, and not because of that", function()
    parked({}, GET .. GET, function(client, b, seen)
      client:settle()
      assert.is_nil(seen.err)
      client:close()
      b:wait_empty()
      assert.is_true(errors.is(seen.cause, http.client_gone))
    end)
  end)

  it("when the client resets the connection", function()
    parked({}, nil, function(client, b, seen)
      client.stream:handle():close_reset(function() end)
      b:wait_empty()
      assert.is_true(errors.is(seen.cause, http.client_gone))
      client.stream:close()
    end)
  end)

  it("at request_timeout, with a cause that says so", function()
    parked({ request_timeout = 100 }, nil, function(client, b, seen)
      b.clock:advance(100)
      assert.equal(503, client:answer().status)
      assert.equal(ctx.deadline_exceeded, seen.err)
      assert.equal(http.request_timeout, seen.cause)
      assert.equal(0, b.records[1].left)
    end, true)
  end)

  it("at the caller's deadline, if that is sooner", function()
    for _, case in ipairs { { "50m", 50 }, { "1S", 100 }, { "garbage", 100 }, { "0m", 0 } } do
      parked({ request_timeout = 100 }, "GET / HTTP/1.1\r\nHost: h\r\ngrpc-timeout: " .. case[1]
        .. "\r\n\r\n", function(client, b, seen)
          b.clock:advance(case[2])
          assert.equal(503, client:answer().status, case[1])
          assert.equal(case[2] == 100, seen.cause == http.request_timeout)
          assert.equal(ctx.deadline_exceeded, seen.err)
        end, true)
    end
  end)

  it("when the server is closed", function()
    parked({}, nil, function(client, b, seen)
      b.server:close()
      assert.equal(ctx.canceled, seen.req.ctx:err())
      assert.equal(http.server_shutdown, seen.req.ctx:cause())
      assert.equal("", (client:rest()))
      b:wait_empty()
      assert.same({}, b.errors)
    end)
  end)

  it("with the context that the server serves under, for its cause", function()
    local seen = {}
    bed.run({ handler = waiter(seen) }, function(b)
      local server <close> = http.server { handler = waiter(seen) }
      assert(server:listen("127.0.0.1", 0))
      local c, cancel <close> = ctx.with_cancel(b.root)
      local serving = ctx.go(server.serve, server, c)
      b.server = server
      local client <close> = b:connect()
      client:send(GET)
      b:wait_until(function() return seen.req end)
      cancel("sigterm")
      local answer = client:answer()
      assert.same({ 503, "close" }, { answer.status, answer.headers.connection })
      assert.equal("sigterm", seen.cause)
      local ok, err = serving:wait(b.c)
      assert.is_nil(ok)
      assert.equal("context canceled: sigterm", tostring(err))
    end)
  end)

  it("and a body that is awaited ends with it", function()
    local seen = {}
    bed.run({ handler = function(req)
      seen.req = req
      -- Not the request's own context: the body itself must end.
      seen.body = { req:body(ctx.background()) }
    end }, function(b)
      for _, leave in ipairs { "client", "server" } do
        seen.req = nil
        local client <close> = b:connect()
        client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        b:wait_until(function() return seen.req end)
        client:settle()
        if leave == "client" then client:close() else b.server:close() end
        b:wait_empty()
        assert.is_nil(seen.body[1])
        assert.is_true(errors.is(seen.body[2],
          leave == "client" and http.client_gone or http.server_shutdown))
      end
    end)
  end)
end)

describe("the context of a request knows", function()
  local function seen_with(options, fields)
    local seen = {}
    options.handler = function(req)
      seen.trace = propagate.trace(req.ctx)
      seen.baggage = propagate.baggage and propagate.baggage(req.ctx)
      seen.left = req.ctx:remaining()
    end
    bed.run(options, function(b)
      local client <close> = b:connect()
      assert.equal(200, client:get("/", table.unpack(fields)).status)
    end, true)
    return seen
  end

  local PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  it("the trace that the caller belongs to", function()
    local trace = seen_with({}, { "traceparent: " .. PARENT }).trace
    assert.equal("0af7651916cd43dd8448eb211c80319c", trace.trace_id)
    assert.is_nil(seen_with({}, { "traceparent: garbage" }).trace)
    assert.is_nil(seen_with({}, {}).trace)
    assert.is_nil(seen_with({ propagate = false }, { "traceparent: " .. PARENT }).trace)
  end)

  it("the caller's deadline, in the header that the server goes by", function()
    assert.equal(2000, seen_with({}, { "grpc-timeout: 2S" }).left)
    assert.equal(math.huge, seen_with({ propagate = false }, { "grpc-timeout: 2S" }).left)
    assert.equal(math.huge, seen_with({ deadline = false }, { "grpc-timeout: 2S" }).left)
    local own = propagate.deadline { header = "X-Deadline-Ms" }
    assert.equal(300, seen_with({ deadline = own }, { "x-deadline-ms: 300" }).left)
    assert.equal(math.huge, seen_with({ deadline = own }, { "grpc-timeout: 2S" }).left)
  end)
end)
