-- SPDX-License-Identifier: MIT
-- Cause: a server that closes an idle connection may say 408 there (RFC 9110, 15.5.9), which was
-- taken for the answer to a request that went out at that moment. Cure: by its meaning the server
-- has not heard that request, which is made again on a new connection.
local client = require "ctx.http.client"
local raw_server = require "spec.support.raw_server"

local run = raw_server.run

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
local CLOSING = "HTTP/1.1 408 x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
local OLD = "HTTP/1.0 408 x\r\nContent-Length: 2\r\n\r\nno"
local STAYING = "HTTP/1.1 408 x\r\nContent-Length: 2\r\n\r\nno"

--- A server that answers the first request on a connection with `first`, and ends it behind a
--- second, which it answers with `second`. It counts the requests to "/".
local function start(c, first, second)
  local seen = {}
  return raw_server.start(c, function(peer)
    for _, bytes in ipairs { first, second } do
      local request = peer:request()
      if not request then return end
      if request["transfer-encoding"] then
        peer:body()
      else
        peer:body(tonumber(request["content-length"] or 0))
      end
      seen[#seen + 1] = request.line:match("^(%u+) / ")
      peer:send(bytes)
    end
  end), seen
end

local function ask(c, own, server, method, body)
  assert.equal(200, assert(own:get(c, server:url("/first"))).status)
  local got = assert(own:request(c, { url = server:url(), method = method, body = body }))
  return got.status .. " " .. got.body
end

for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE" } do
  it("a 408 that ends a kept connection is no answer to " .. method, function()
    run(function(c)
      for _, timeout in ipairs { CLOSING, OLD } do
        local server <close>, seen = start(c, OK, timeout)
        local own <close> = client.new()
        assert.equal("200 ok", ask(c, own, server, method, method ~= "GET" and "order" or nil))
        assert.same({ method, method }, seen)
        assert.equal(2, server.connections)
      end
    end)
  end)
end

it("a 408 on a connection that goes on is an answer", function()
  run(function(c)
    local server <close>, seen = start(c, OK, STAYING)
    local own <close> = client.new()
    assert.equal("408 no", ask(c, own, server, "POST", "order"))
    assert.same({ "POST" }, seen)
  end)
end)

it("a 408 on a new connection is an answer", function()
  run(function(c)
    local server <close>, seen = start(c, CLOSING)
    assert.equal(408, assert(client.get(c, server:url())).status)
    assert.same({ "GET" }, seen)
  end)
end)

it("a 408 is the answer to a body from a function that was asked", function()
  run(function(c)
    local server <close>, seen = start(c, OK, CLOSING)
    local own <close> = client.new()
    local pieces = { "order" }
    assert.equal("408 no", ask(c, own, server, "POST", function() return table.remove(pieces) end))
    assert.same({ "POST" }, seen)
  end)
end)
