-- SPDX-License-Identifier: MIT
-- The end of a server, without load. With load: spec/live.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local folder = require "spec.support.folder"
local http = require "ctx.http"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local GET = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

--- A handler that waits until seen.open is called, or its context ends.
local function gated(seen)
  local gate, open = ctx.with_cancel(ctx.background())
  seen.open = open
  return function(req, res)
    seen.started = (seen.started or 0) + 1
    local either, cancel <close> = ctx.any(gate, req.ctx)
    either:wait()
    seen.cause = req.ctx:cause()
    res:finish(ctx.background(), "done")
  end
end

--- fn(bed, seen, client) with a request in its handler.
local function busy(options, fn, fake)
  local seen = {}
  options.handler = options.handler or gated(seen)
  bed.run(options, function(b)
    local client <close> = b:connect()
    client:send(GET)
    b:wait_until(function() return seen.started end)
    fn(b, seen, client)
    seen.open()
  end, fake)
end

local function shutdown(b, ms)
  return ctx.go(function()
    local c, cancel <close> = ctx.with_timeout(b.root, ms)
    return b.server:shutdown(c)
  end)
end

describe("a shutdown", function()
  it("closes idle connections, new ones a little later, and ends serve with true", function()
    bed.run({ handler = function() end }, function(b)
      local old <close>, new = b:connect(), b:connect()
      local _ <close> = new
      old:get()
      new:settle()
      b.clock:advance(1000)
      new:get()
      local task = shutdown(b, 10000)
      b.clock:advance(1)
      assert.equal("", (old:rest()))
      assert.equal(1, b.server:stats().connections)
      b.clock:advance(99)
      assert.equal("", (new:rest()))
      assert.is_true(task:wait(b.c))
      assert.is_true(b.serving:wait(b.c))
    end, true)
  end)

  it("still serves what a connection sends that has just been busy, and says close", function()
    bed.run({ handler = function() end }, function(b)
      local client <close> = b:connect()
      client:get()
      local task = shutdown(b, 10000)
      client:settle()
      local answer = client:get()
      assert.same({ 200, "close" }, { answer.status, answer.headers.connection })
      assert.equal("", client:rest())
      assert.is_true(task:wait(b.c))
    end)
  end)

  it("lets requests end, says close, and tells handlers that it has begun", function()
    busy({}, function(b, seen, client)
      assert.is_nil(b.server:draining():err())
      local task = shutdown(b, 10000)
      client:settle()
      assert.equal(http.server_shutdown, b.server:draining():cause())
      assert.is_true(b.server:is_draining())
      assert.equal(1, b.server:stats().requests)
      seen.open()
      local answer = client:answer()
      assert.same({ "done", "close" }, { answer.body, answer.headers.connection })
      assert.is_nil(seen.cause)
      assert.equal("", client:rest())
      assert.is_true(task:wait(b.c))
      assert.equal(0, b.server:stats().cut)
    end)
  end)

  it("serves pipelined requests no more: the answer before them says close", function()
    busy({}, function(b, seen, client)
      client:send(GET)
      client:settle()
      local task = shutdown(b, 10000)
      client:settle()
      seen.open()
      assert.equal("close", client:answer().headers.connection)
      assert.equal("", (client:rest()))
      client:close()
      assert.is_true(task:wait(b.c))
      assert.equal(1, seen.started)
    end)
  end)

  -- A response had gone out without "Connection: close" when the shutdown began, and its connection
  -- was closed at once when the handler returned: the client's next request met a reset. Now such a
  -- connection is treated like one that was answered a moment ago.
  it("keeps the promise of a response whose head went out before it began", function()
    for _, pipelined in ipairs { false, true } do
      local seen = {}
      bed.run({ handler = function(req, res)
        assert(res:finish(req.ctx, "first"))
        seen.finished = true
        req:draining():wait()
      end }, function(b)
        local client <close> = b:connect()
        client:send(GET, pipelined and GET or "")
        b:wait_until(function() return seen.finished end)
        local task = shutdown(b, 10000)
        if not pipelined then
          client:settle()
          client:send(GET)
        end
        local first, second = client:answer(), client:answer()
        assert.same({ "first", nil }, { first.body, first.headers.connection })
        assert.same({ "first", "close" }, { second.body, second.headers.connection })
        assert.equal("", client:rest())
        assert.is_true(task:wait(b.c))
      end)
    end
  end)

  it("takes no connection any more", function()
    busy({}, function(b, seen)
      local port = b.server:address().port
      local task = shutdown(b, 10000)
      -- Before that, the kernel does not answer: a second try a second later is refused.
      b:wait_until(function() return not b.server:address() end)
      local stream, err = uv.connect(b.c, "127.0.0.1", port)
      assert.is_nil(stream)
      assert.is_true(errors.is(err, uv.ECONNREFUSED))
      assert.is_nil((b.server:listen("127.0.0.1", 0)))
      seen.open()
      assert.is_true(task:wait(b.c))
    end)
  end)

  it("cuts at its deadline what is left, counts it, and tells everybody the same", function()
    busy({}, function(b, seen, client)
      local first, second = shutdown(b, 100), shutdown(b, 10000)
      client:settle()
      b.clock:advance(100)
      local ok, err = first:wait(b.c)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.truthy(tostring(err):find("shutdown: 1 requests on 1 connections were cut", 1, true))
      ok, err = second:wait(b.c)
      assert.is_nil(ok)
      assert.truthy(tostring(err):find("1 requests on 1 connections were cut", 1, true))
      assert.equal("", (client:rest()))
      b:wait_empty()
      assert.equal(http.server_shutdown, seen.cause)
      assert.equal(1, b.server:stats().cut)
      assert.is_true(b.serving:wait(b.c))
      assert.same({}, b.errors)
    end, true)
  end)

  it("cuts half a head and a body that does not come, too", function()
    bed.run({ handler = function(req) return req:body() end }, function(b)
      local head <close>, body = b:connect(), b:connect()
      local _ <close> = body
      head:send("GET / HT")
      body:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      head:settle()
      local task = shutdown(b, 100)
      head:settle()
      b.clock:advance(100)
      assert.truthy(tostring(select(2, task:wait(b.c)))
        :find("1 requests on 2 connections were cut", 1, true))
      assert.equal("", (head:rest()))
      assert.equal("", (body:rest()))
    end, true)
  end)

  it("neither closes hijacked connections nor waits for them, and tells their handlers", function()
    local seen = {}
    bed.run({ handler = function(req)
      local stream = assert(req:hijack())
      seen.stream, seen.draining = stream, req:draining()
      seen.left = stream:read(req.ctx)
    end }, function(b)
      local client <close> = b:connect()
      client:send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nleft over")
      b:wait_until(function() return seen.left end)
      assert.equal("left over", seen.left)
      b:wait_empty()
      assert.is_true(shutdown(b, 10000):wait(b.c))
      assert.equal(http.server_shutdown, seen.draining:cause())
      local stream <close> = seen.stream
      assert(stream:write(b.c, "still here"))
      assert.equal("still here", client.stream:read(b.c))
      client:send("and back")
      assert.equal("and back", stream:read(b.c))
    end)
  end)

  it("does not wait for the handler of a hijacked connection, nor counts it as cut", function()
    local seen = {}
    bed.run({ handler = function(req)
      local stream <close> = assert(req:hijack())
      seen.stream = stream
      req.ctx:wait()
      seen.cause = req.ctx:cause()
      assert(stream:write(ctx.background(), "bye"))
    end }, function(b)
      local client <close> = b:connect()
      client:send(GET)
      b:wait_until(function() return seen.stream end)
      assert.same({ 0, 1 }, { b.server:stats().connections, b.server:stats().requests })
      assert.is_true(shutdown(b, 10000):wait(b.c))
      assert.is_true(b.serving:wait(b.c))
      assert.equal("bye", (client:rest()))
      assert.equal(http.server_shutdown, seen.cause)
      assert.equal(0, b.server:stats().cut)
    end)
  end)

  it("of a server that never served is quick, and a second one, too", function()
    bed.run({ handler = function() end }, function(b)
      local server <close> = http.server { handler = function() end }
      assert(server:listen("127.0.0.1", 0))
      assert.is_true(server:shutdown(b.c))
      assert.is_true(server:shutdown(b.c))
      server:close()
    end)
  end)
end)

--- fn(bed, serving, cancel) with a server that serves under a context, which cancel ends.
local function serving_under(options, fn)
  bed.run(options, function(b)
    local server <close> = http.server(options)
    assert(server:listen("127.0.0.1", 0))
    local c, cancel <close> = ctx.with_cancel(b.root)
    local serving = ctx.go(server.serve, server, c)
    b.server:close()
    b.server = server
    fn(b, serving, cancel)
  end)
end

describe("serve", function()
  it("shuts down when its context ends, with drain_timeout", function()
    for _, patient in ipairs { true, false } do
      local seen = {}
      local handler = gated(seen)
      bed.run({ handler = handler }, function(b)
        local server <close> = http.server { handler = handler, drain_timeout = 100 }
        assert(server:listen("127.0.0.1", 0))
        local c, cancel <close> = ctx.with_cancel(b.root)
        local serving = ctx.go(server.serve, server, c)
        b.server:close()
        b.server = server
        local client <close> = b:connect()
        client:send(GET)
        b:wait_until(function() return seen.started end)
        cancel("sigterm")
        client:settle()
        assert.is_nil(seen.cause)
        if patient then
          seen.open()
          assert.equal("close", client:answer().headers.connection)
        end
        b.clock:advance(patient and 10 or 100)
        local ok, err = serving:wait(b.c)
        assert.equal(patient or nil, ok)
        assert.equal(not patient, errors.is(err, ctx.deadline_exceeded))
        b:wait_empty()
        seen.open()
      end, true)
    end
  end)

  -- It had stopped looking at its context when a drain began.
  it("ends the requests when its context ends in a drain, and waits for them", function()
    local seen = {}
    serving_under({ handler = gated(seen) }, function(b, serving, cancel)
      local client <close> = b:connect()
      client:send(GET)
      b:wait_until(function() return seen.started end)
      local task = ctx.go(b.server.shutdown, b.server, b.c)
      client:settle()
      assert.is_nil(seen.cause)
      cancel("sigterm")
      assert.equal("done", client:answer().body)
      assert.equal("sigterm", seen.cause)
      local ok, err = serving:wait(b.c)
      assert.is_nil(ok)
      assert.equal("context canceled: sigterm", tostring(err))
      assert.is_true(task:wait(b.c))
    end)
  end)

  -- The server waited for an incomplete head, and for a body that was not read, while a byte came
  -- now and then.
  it("waits for requests when its context ends, not for what clients have still to say", function()
    for _, draining in ipairs { false, true } do
      serving_under({ handler = function() end }, function(b, serving, cancel)
        local head, body, late = b:connect(), b:connect(), b:connect()
        late:get()
        head:send("GET / HT")
        assert.equal(200, body:ask("POST / HTTP/1.1", "Host: h", "Content-Length: 5").status)
        head:settle()
        if draining then
          ctx.go(b.server.shutdown, b.server, b.c)
          head:settle()
        end
        cancel("sigterm")
        head:settle()
        late:send("GET / HT")
        for _, client in ipairs { head, body, late } do
          assert.equal("", (client:rest()))
          client:close()
        end
        assert.equal("context canceled: sigterm", tostring(select(2, serving:wait(b.c))))
      end)
    end
  end)

  -- A signal that came while a program still warmed up made it raise.
  it("returns true when the end has come first", function()
    bed.run({ handler = function() end }, function(b)
      for _, way in ipairs { "shutdown", "close" } do
        local server <close> = http.server { handler = function() end }
        assert(server:listen("127.0.0.1", 0))
        server[way](server, way == "shutdown" and b.c or nil)
        assert.is_true(server:serve(b.c))
        local _, again = pcall(server.serve, server, b.c)
        assert.truthy(again:find("serve: this server is closed; a server serves once", 1, true))
      end
      local server <close> = http.server { handler = function() end }
      assert(server:listen("127.0.0.1", 0))
      local serving = ctx.go(server.serve, server, b.c)
      server:close()
      assert.is_true(serving:wait(b.c))
    end)
  end)

  it("needs a listener, and serves once", function()
    bed.run({ handler = function() end }, function(b)
      local server <close> = http.server { handler = function() end }
      local _, empty = pcall(server.serve, server, b.c)
      local _, again = pcall(b.server.serve, b.server, b.c)
      assert.truthy(empty:find("serve: nothing to serve; call server:listen first", 1, true))
      assert.truthy(again:find("serve: this server is serving; a server serves once", 1, true))
    end)
  end)

  -- The server waited for that task for ever: it counted as one that accepts.
  it("ends with the error of a task that accepts, and has no memory to go on", function()
    testing.run(function(root)
      local server <close> = http.server { handler = function() end }
      local listener = assert(server:listen("127.0.0.1", 0))
      listener.accept = function() error("not enough memory", 0) end
      local ok, err = server:serve(root)
      assert.is_nil(ok)
      assert.equal("not enough memory", err)
      assert.is_true(server:shutdown(root))
    end, { real = true })
  end)

  it("ends with the error of a listener that fails", function()
    bed.run({ handler = function() end }, function(b)
      b.server._listeners[1]:close("a test")
      local ok, err = b.serving:wait(b.c)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, uv.ECLOSED))
    end)
  end)
end)

describe("listen", function()
  it("tells that a port is taken", function()
    bed.run({ handler = function() end }, function(b)
      local server <close> = http.server { handler = function() end }
      local ok, err = server:listen("127.0.0.1", b.server:address().port)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, uv.EADDRINUSE))
      assert.is_nil((server:address()))
    end)
  end)

  it("knows what it is told", function()
    local server <close> = http.server { handler = function() end }
    for _, case in ipairs {
      { { host = "127.0.0.1", port = 0, backlogg = 3 }, "the name of an option expected" },
      { { host = "127.0.0.1", port = "0" }, "options.port: a port, a whole number" },
      { { host = "127.0.0.1", port = 70000 }, "options.port: a port, a whole number" },
      { { host = "127.0.0.1" }, "bad argument #1 to 'listen' (where: an address, or a table" },
      { "127.0.0.1", "bad argument #2 to 'listen' (port: a port, a whole number from 0" },
      { {}, "bad argument #1 to 'listen' (where: an address, or a table" },
    } do
      local ok, err = pcall(server.listen, server, case[1])
      assert.is_false(ok)
      assert.truthy(err:find(case[2], 1, true), err)
    end
  end)

  it("takes pipes, and more than one, also while it serves", function()
    local path = folder.new()
    bed.run({ handler = function(req, res) res:finish(req.ctx, req:remote()) end }, function(b)
      assert(b.server:listen { pipe = path .. "/socket" })
      local other = assert(b.server:listen { host = "127.0.0.1", port = 0, backlog = 5 })
      local function ask(stream)
        local client <close> = b:client(assert(stream))
        return client:get().body
      end
      assert.equal("unix", ask(uv.connect_pipe(b.c, path .. "/socket")))
      assert.equal("127.0.0.1", ask(uv.connect(b.c, "127.0.0.1", other:address().port)))
      local client <close> = b:connect()
      assert.equal("127.0.0.1", client:get().body)
    end)
    folder.remove(path)
  end)
end)
