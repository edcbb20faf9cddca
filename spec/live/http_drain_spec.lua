-- SPDX-License-Identifier: MIT
--- The shutdown of a server, on the edge: what the kernel has taken on already, and what will not
--- end.
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local luv = require "luv"
local uv = require "ctx.uv"
local web = require "spec.support.web"
local wire = require "ctx.http.wire"

local REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

--- Connects without a turn of the loop: the kernel establishes it, and nobody has accepted it.
--- Later it sends a request. `answers` gets what comes back, when that has ended.
local function connect_now(port, answers)
  local socket, text = luv.new_tcp(), ""
  socket:connect("127.0.0.1", port, function(failed)
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
  end)
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
  it("S49: answers connections that it has not accepted yet, however busy the loop is", function()
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
      local answers, waiting, check = {}, server._listeners[1]._waiting, luv.new_check()
      web.wait_for(c, function() return #waiting == 1 end)
      local connections, ok
      check:start(coroutine.wrap(function()
        while #waiting == 1 do
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
    web.run(hello, function(c, port, server)
      local answers, accept = {}, wire.accept
      local _ <close> = setmetatable({}, { __close = function() wire.accept = accept end })
      wire.accept = function(fd)
        local found = accept(fd)
        if not found then
          connect_now(port, answers)
        end
        return found
      end
      assert.is_true(server:shutdown(c))
      web.wait_for(c, function() return #answers == 1 end) -- asks again after a second
      assert.equal("ECONNREFUSED", answers[1])
    end)
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

  it("S47: gives up at its deadline, cuts the rest with a cause, and counts it", function()
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
