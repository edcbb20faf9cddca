-- SPDX-License-Identifier: MIT
--- The shutdown of a server, on the edge: what the kernel has taken on already, and what will not
--- end.
local bed = require "spec.support.http"
local ctx = require "ctx"
local deafens = require "spec.support.deafens"
local errors = require "ctx.errors"
local folder = require "spec.support.folder"
local http = require "ctx.http"
local luv = require "luv"
local process = require "spec.support.process"
local uv = require "ctx.uv"
local web = require "spec.support.web"
local wire = require "ctx.http.wire"

local REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

--- Connects without a turn of the loop: the kernel establishes it, and nobody has accepted it.
--- `to` is a port, or the path of a pipe. Later it sends a request. `answers` gets what comes back,
--- when that has ended.
local function connect_now(to, answers)
  local socket, text = type(to) == "string" and luv.new_pipe(false) or luv.new_tcp(), ""
  local function connected(failed)
    if failed then
      answers[#answers + 1] = failed
      return socket:close()
    end
    socket:write(REQUEST)
    socket:read_start(function(err, chunk)
      text = text .. (chunk or "")
      if not chunk then
        answers[#answers + 1] = err or text
        socket:close()
      end
    end)
  end
  if type(to) == "string" then
    socket:connect(to, connected)
  else
    socket:connect("127.0.0.1", to, connected)
  end
end

local function hello(req, res)
  res:finish(req.ctx, "hello")
end

--- Keeps the processor for so long.
local function busy(ms)
  local till = luv.hrtime() + ms * 1000000
  repeat until luv.hrtime() > till
end

describe("a server that shuts down", function()
  -- What the kernel had established was waited for by a timer of 2 ms, which a busy loop let pass.
  it("answers connections that it has not accepted yet, however busy the loop is", function()
    web.run(hello, function(c, port, server)
      local answers = {}
      for _ = 1, 50 do
        connect_now(port, answers)
      end
      ctx.go(busy, 20)
      assert.is_true(server:shutdown(c))
      web.wait_for(c, function() return #answers == 50 end)
      for _, answer in ipairs(answers) do
        assert.truthy(answer:find("^HTTP/1.1 200 OK\r\n.*\r\nhello$"), answer)
        assert.truthy(answer:find("\r\nConnection: close\r\n", 1, true), answer)
      end
    end)
  end)

  -- The task that accepts has been given the connection, and has not run yet.
  it("answers a connection that is accepted in the turn in which the shutdown begins", function()
    web.run(hello, function(c, port, server)
      local answers, inbox, check = {}, server._listeners[1]._inbox, luv.new_check()
      web.wait_for(c, function() return inbox:is_awaited() end)
      local connections, ok
      check:start(coroutine.wrap(function()
        while inbox:is_awaited() do
          coroutine.yield()
        end
        check:close()
        connections = server:stats().connections
        ok = server:shutdown(c)
      end))
      connect_now(port, answers)
      web.wait_for(c, function() return #answers == 1 and ok end)
      assert.equal(0, connections)
      assert.truthy(answers[1]:find("^HTTP/1.1 200 OK\r\n"), answers[1])
    end)
  end)

  -- Without a filter the kernel would establish it, and reset it when the listener is closed.
  it("refuses a connection that comes after the last accept and before the close", function()
    for _, at_pipe in ipairs { false, true } do
      local path = folder.new()
      web.run(hello, function(c, port, server)
        local to = at_pipe and path .. "/socket" or port
        local listener = at_pipe and assert(server:listen { pipe = to }) or server._listeners[1]
        local socket = listener:handle():fileno()
        local answers, accept = {}, wire.accept
        local _ <close> = setmetatable({}, { __close = function() wire.accept = accept end })
        wire.accept = function(fd)
          local found = accept(fd)
          if fd == socket and not found then
            wire.accept = accept
            connect_now(to, answers)
          end
          return found
        end
        assert.is_true(server:shutdown(c))
        web.wait_for(c, function() return #answers == 1 end) -- asks TCP again after a second
        assert.equal((at_pipe or deafens()) and "ECONNREFUSED" or "ECONNRESET", answers[1])
      end)
      folder.remove(path)
    end
  end)

  -- The filter let no packet pass: the last one of a handshake that had begun was lost, too.
  -- haproxy (tcp-smart-connect) sends it with the request only; this client does as well.
  it("answers a connection whose handshake it has begun", function()
    bed.run({ handler = hello }, function(b)
      local first <close> = b:connect()
      first:get()
      local p = process.perl([[
        use Socket;
        $| = 1;
        socket(my $s, PF_INET, SOCK_STREAM, 0) or die;
        setsockopt($s, 6, 12, 0) or die; # IPPROTO_TCP, TCP_QUICKACK
        connect($s, sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die;
        print "connected\n";
        <STDIN>;
        syswrite($s, "GET / HTTP/1.0\r\n\r\n");
        print while <$s>;
        print "$!\n";]], tostring(b.server:address().port))
      p:expect(b.c, "connected")
      local draining = ctx.go(b.server.shutdown, b.server, b.c)
      first:settle()
      p:write("go\n")
      p:wait(b.c)
      local answer = deafens() and "\r\n\r\nhello" or "Connection reset by peer"
      assert.truthy(p.output:find(answer, 1, true), p.output)
      b.clock:advance(100) -- for the first client's connection
      assert.is_true(draining:wait(b.c))
    end, true)
  end)

  -- Each was accepted, told to close, and came again: the sweep went on for as long as they did.
  it("is not kept up by clients that come again and again", function()
    web.run(hello, function(c, port, server)
      local refused, served = 0, 0
      local function come_again()
        while refused < 20 do
          local socket = uv.connect(c, "127.0.0.1", port)
          if not socket then
            refused = refused + 1
            return
          end
          socket:write(c, REQUEST)
          served = served + (web.response(c, socket) == 200 and 1 or 0)
          socket:close()
        end
      end
      for _ = 1, 20 do
        ctx.go(come_again)
      end
      web.wait_for(c, function() return served > 100 end)
      assert.is_true(server:shutdown(c))
      web.wait_for(c, function() return refused == 20 end)
    end)
  end)

  it("gives up at its deadline, cuts the rest with a cause, and counts it", function()
    local causes, over = {}, 0
    web.run(function(req)
      req.ctx:wait()
      causes[#causes + 1] = req.ctx:cause()
      over = over + 1
    end, function(c, port, server)
      local clients = {}
      for i = 1, 7 do
        clients[i] = web.connect(c, port, REQUEST)
      end
      web.wait_for(c, function() return server:stats().requests == 7 end)
      local limit, cancel <close> = ctx.with_timeout(c, 30)
      local ok, err = server:shutdown(limit)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.truthy(tostring(err):find("7 requests on 7 connections were cut", 1, true))
      assert.equal(7, server:stats().cut)
      for _, client in ipairs(clients) do
        assert.is_nil((web.response(c, client)))
        client:close()
      end
      web.wait_for(c, function() return over == 7 end)
      for _, cause in ipairs(causes) do
        assert.equal(http.server_shutdown, cause)
      end
    end)
  end)

  it("leaves alone a handler that takes notice of nothing, and ends all the same", function()
    local stubborn = {}
    web.run(function(_, res)
      ctx.await(ctx.background(), function(resolve) stubborn[#stubborn + 1] = resolve end)
      return res:finish(ctx.background(), "too late")
    end, function(c, port, server)
      local client = web.connect(c, port, REQUEST)
      web.wait_for(c, function() return #stubborn == 1 end)
      local limit, cancel <close> = ctx.with_timeout(c, 10)
      assert.is_nil(server:shutdown(limit))
      assert.same({ 1, 1 }, { server:stats().requests, server:stats().cut })
      assert.is_nil((web.response(c, client)))
      client:close()
      stubborn[1](true)
      web.wait_for(c, function() return server:stats().requests == 0 end)
    end)
  end)
end)
