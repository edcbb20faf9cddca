-- SPDX-License-Identifier: MIT
-- A server without memory: these are for spec/support/stress.lua, which lets allocations fail; by
-- themselves they pass. It spares luv for the sake of this line: require "ctx.uv"
local bed = require "spec.support.http"
local ctx = require "ctx"
local exchange = require "ctx.http.server.exchange"
local luv = require "luv"
local reports = require "spec.support.reports"

local TURNS = 300 -- of the loop, not time: a run that collects all the while is slow

--- Lets the client leave when it has waited for long: the server may have had no memory for it.
local function impatient(client)
  local timer, turns = luv.new_timer(), 0
  timer:start(1, 1, function()
    turns = turns + 1
    if turns == TURNS then
      client:close()
    end
  end)
  timer:unref()
  return setmetatable({}, { __close = function() timer:close() end })
end

local function echo(req, res)
  local body = assert(req:body())
  assert(res:write(req.ctx, body))
  assert(res:finish(req.ctx, body))
end

describe("a server that may run out of memory", function()
  it("answers a request, or ends its connection", function()
    bed.run({ handler = echo }, function(b)
      local client <close> = b:pair()
      local _ <close> = impatient(client)
      client:send("POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
      assert.equal("abcabc", client:answer().body)
      b:wait_until(function() return b.server:stats().requests == 0 end)
      assert.same({ 1, 1 }, { b.server:stats().served, #b.records })
    end)
  end)

  it("refuses what is not a request, or ends its connection", function()
    bed.run({ handler = echo }, function(b)
      local client <close> = b:pair()
      local _ <close> = impatient(client)
      client:send("GARBAGE\r\n\r\n")
      assert.equal(400, client:answer().status)
    end)
  end)

  it("shuts down", function()
    bed.run({ handler = echo }, function(b)
      local client <close> = b:pair()
      local _ <close> = impatient(client)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab")
      b:wait_until(function()
        return b.server:stats().requests == 1 or client.stream:is_closed()
      end)
      local c, cancel <close> = ctx.with_timeout(b.root, 1)
      assert.is_nil((b.server:shutdown(c)))
      client:rest()
    end)
  end)

  -- Its connection waited for the task for ever, and the request counted as one in flight.
  it("forgets a request whose task could not begin", function()
    local start = exchange.start
    exchange.start = function() error("not enough memory", 0) end
    local ok, err = pcall(reports, function()
      bed.run({ handler = echo }, function(b)
        for _, leave in ipairs { "client", "server" } do
          local client <close> = b:pair()
          local _ <close> = impatient(client)
          client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
          b:wait_until(function()
            return b.server:stats().requests == 1 or client.stream:is_closed()
          end)
          client:settle()
          if leave == "client" then client:close() else b.server:close() end
          b:wait_empty()
          assert.equal(0, b.server:stats().requests)
        end
      end)
    end)
    exchange.start = start
    assert(ok, err)
  end)
end)
