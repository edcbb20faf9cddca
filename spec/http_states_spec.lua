-- SPDX-License-Identifier: MIT
--- The table of a connection's states, at the top of lua/ctx/http/server/connection.lua: each pair
--- is reached here, and no other is; an illegal change is refused.
local bed = require "spec.support.http"
local connection = require "ctx.http.server.connection"
local ctx = require "ctx"
local reports = require "spec.support.reports"

local GET = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
local POST = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
local CHUNKED = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
local Connection = connection.class

-- -- What is reached ------------------------------------------------------------------------------

--- Calls fn(reached), where reached["input, output"] is true for each state that a connection had.
local function watch(fn)
  local reached, become, go_on = {}, Connection.become, Connection.go_on
  local function note(self)
    reached[self.input .. ", " .. self.output] = true
  end
  Connection.become = function(self, ...)
    become(self, ...)
    note(self)
  end
  Connection.go_on = function(self)
    note(self) -- as it was made
    return go_on(self)
  end
  local ok, err = pcall(fn, reached)
  Connection.become, Connection.go_on = become, go_on
  if not ok then
    error(err, 0)
  end
end

--- Waits as a handler that others let go on.
local function wait(req)
  return ctx.await(req.ctx, function() end)
end

-- An answer that waits until the server is closed, whatever becomes of the client.
local function slow(_, res)
  ctx.sleep(res.ctx, math.huge)
end

local function nothing() end

-- Each: the pair; what the client sends; the handler; options; what is done then.
local cases = {
  { "idle, none", "", nothing },
  { "head, none", "GET", nothing },
  { "expect, handler", POST .. "Expect: 100-continue\r\n\r\n", wait },
  { "body, handler", POST .. "\r\nab", wait },
  { "body, refusal", POST .. "Expect: wonders\r\n\r\nab", nothing, { failure = slow } },
  { "body, none", POST .. "\r\nab", nothing },
  { "behind, handler", GET, wait },
  { "behind, refusal", GET, nothing, { max_requests = 1, failure = slow }, function(b)
    local other <close> = b:pair()
    other:send(GET)
    b:wait_until(function() return b.server:stats().refused == 1 end)
  end, handler = wait },
  { "behind, none", GET .. GET, nothing },
  { "over, handler", CHUNKED .. "what?\r\n", wait },
  { "over, refusal", "what?\r\n\r\n", nothing, { failure = slow } },
  { "over, linger", "what?\r\n\r\n", nothing },
  { "over, hijacked", GET, function(req) req:hijack():close() end },
  { "gone, handler", GET, function() ctx.sleep(ctx.background(), 1) end, {}, "client" },
  { "gone, refusal", "what?\r\n\r\n", nothing, { failure = slow }, "client" },
  { "closed, none", GET, nothing, {}, "client" },
  { "closed, handler", GET, wait, {}, "server" },
  { "closed, refusal", "what?\r\n\r\n", nothing, { failure = slow }, "server" },
  { "closed, hijacked", GET, function(req) req:hijack():close() end },
}

local function try(case, reached)
  local options = { failure_timeout = 5 }
  for name, value in pairs(case[4] or {}) do
    options[name] = value
  end
  options.handler = case.handler or case[3]
  bed.run(options, function(b)
    local client <close> = b:connect()
    client:send(case[2])
    client:settle()
    local act = case[5]
    if act == "client" then
      client:close()
    elseif act == "server" then
      b.server:close()
    elseif act then
      act(b)
    end
    b:wait_until(function() return reached[case[1]] end)
  end)
end

describe("a connection is in the state", function()
  local all = {}
  for _, case in ipairs(cases) do
    it(case[1], function()
      watch(function(reached)
        try(case, reached)
        for pair in pairs(reached) do
          all[pair] = true
        end
      end)
    end)
  end

  it("of these only: the table has no other, and none is missing there", function()
    local wanted = {}
    for into, outs in pairs(connection.pairs) do
      for out in pairs(outs) do
        wanted[into .. ", " .. out] = true
      end
    end
    assert.same(wanted, all)
  end)
end)

-- -- What is refused ------------------------------------------------------------------------------

describe("a change of state", function()
  --- Runs fn(conn, client, b) with an idle connection.
  local function with(fn)
    bed.run({ handler = nothing }, function(b)
      local client <close> = b:connect()
      b:wait_until(function() return b.server:stats().connections == 1 end)
      fn(b.server._connections[1], client, b)
    end)
  end

  it("is seen in tostring", function()
    with(function(conn, client)
      assert.equal("ctx.http.Connection (idle, none)", tostring(conn))
      client:send("GET")
      client:settle()
      assert.equal("ctx.http.Connection (head, none)", tostring(conn))
    end)
  end)

  it("to a pair that is not in the table raises, and changes nothing", function()
    with(function(conn)
      for _, pair in ipairs { { "idle", "handler" }, { "head", "linger" }, { "gone", "none" } } do
        local ok, err = pcall(conn.become, conn, pair[1], pair[2])
        assert.is_false(ok)
        assert.truthy(err:find(("ctx.http.Connection (idle, none) cannot become (%s, %s)")
          :format(pair[1], pair[2]), 1, true), err)
        assert.equal("ctx.http.Connection (idle, none)", tostring(conn))
      end
    end)
  end)

  it("back from an end raises", function()
    with(function(conn)
      conn:close()
      for _, into in ipairs { "gone", "over", "behind" } do
        assert.is_false((pcall(conn.become, conn, into, "handler")))
      end
      assert.equal("ctx.http.Connection (closed, none)", tostring(conn))
    end)
  end)

  it("that is illegal closes the connection when luv's callback did it, and is reported", function()
    local list = reports(function()
      with(function(conn, client, b)
        conn.left = function(self) self:become("idle", "handler") end
        client:close()
        b:wait_empty()
        assert.equal("ctx.http.Connection (closed, none)", tostring(conn))
      end)
    end)
    assert.equal(1, #list)
    assert.equal("http", list[1].kind)
    assert.truthy(list[1].message:find("cannot become (idle, handler)", 1, true), list[1].message)
  end)
end)
