-- SPDX-License-Identifier: MIT
--- A server that is reloaded sends GOAWAY, and one that has too much to do refuses streams. libcurl
--- made an error of both, or none, depending on the moment. What the server has not processed is
--- made again whatever its method (RFC 9113, 6.8 and 8.7); what it may have processed only if its
--- method is idempotent (RFC 9110, 9.2.2).
local client = require "ctx.http.client"
local ctx = require "ctx"
local folder = require "spec.support.folder"
local loopback = require "spec.support.loopback"
local peers = require "spec.support.peers"

describe("a request over HTTP/2", function()
  local dir

  setup(function()
    loopback.run(function(root) dir = peers.certificates(root) end)
  end)

  teardown(function()
    folder.remove(dir:sub(1, -2))
  end)

  --- Two requests: the first must be answered. Returns the outcome of the second, and how many
  --- streams or plain requests the server has seen.
  local function ask(trouble, method, body)
    local outcome, seen = nil, 0
    loopback.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 200000)
      local server <close> = peers.frames(c, dir, trouble)
      local own <close> = client.new()
      local request = { url = ("https://localhost:%d/"):format(server.port), ca = dir .. "ca.pem",
        resolve = { ("localhost:%d:127.0.0.1"):format(server.port) } }
      assert(own:request(c, request))
      request.method, request.body = method, body
      if trouble == "idle" then
        while server:line(c) ~= "idle" do seen = seen + 1 end
        loopback.turns(c)
      end
      local got, err = own:request(c, request)
      outcome = got and got.status .. " " .. got.body or err.code
      local counted = ctx.go(function()
        while server:line(c) do seen = seen + 1 end
      end)
      server._process.stdin:close()
      counted:wait(c)
    end)
    return outcome, seen
  end

  local AGAIN = { "200 ok", 3 }

  -- What the server has not processed, and says so.
  for _, trouble in ipairs { "goaway", "goaway and go on" } do
    for _, method in ipairs { "GET", "POST", "PATCH" } do
      it("is made again: " .. method .. ", " .. trouble, function()
        assert.same(AGAIN, { ask(trouble, method, method ~= "GET" and "order" or nil) })
      end)
    end
  end

  it("is made again when the first on a connection is refused", function()
    assert.same(AGAIN, { ask("refused first", "POST", "order") })
  end)

  it("goes over HTTP/1.1 where the server requires that", function()
    assert.same(AGAIN, { ask("HTTP/1.1 required", "POST", "order") })
  end)

  it("is not sent on a connection that the server has closed meanwhile", function()
    assert.same({ "200 ok", 2 }, { ask("idle", "POST", "order") })
  end)

  -- What it may have processed.
  -- Of a stream that is refused on a kept connection libcurl says no more than of one that died.
  for _, trouble in ipairs { "goaway behind it", "end", "reset", "failed", "wrong frame",
    "refused" } do
    it("is made again if it is idempotent: " .. trouble, function()
      assert.same(AGAIN, { ask(trouble, "GET") })
      local outcome, seen = ask(trouble, "POST", "order")
      assert.equal(2, seen, outcome)
      assert.truthy(outcome:find("^E"), outcome)
    end)
  end
end)
