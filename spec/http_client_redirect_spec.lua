-- SPDX-License-Identifier: MIT
-- Where the HTTP client follows a redirection, and what it takes along.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local propagate = require "ctx.propagate"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local run = raw_server.run

--- A server that redirects /STATUS/… to what `to` says, and answers else with what it was sent.
local function redirecting(root, to, seen)
  return raw_server.start(root, function(peer)
    local request = peer:request()
    while request do
      local size = tonumber(request["content-length"])
      request.body = size and peer:body(size)
      if seen then seen[#seen + 1] = request end
      local status = request.line:match("^%u+ /(3%d%d)")
      if status then
        peer:send(("HTTP/1.1 %s Elsewhere\r\nLocation: %s\r\nContent-Length: 4\r\n\r\nthis")
          :format(status, to))
      else
        peer:answer(request.line:match("^(.*) HTTP") .. " " .. (request.body or "-"))
      end
      request = peer:request()
    end
  end)
end

describe("a redirection", function()
  it("may come with half a body, also where there is a tracer", function()
    local previous = propagate.set_tracer { exporter = { export = function() end } }
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        if peer:request().line:find("/there") then
          return peer:answer("there")
        end
        peer:send("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 2000\r\n\r\nxx")
      end)
      assert.equal("there", assert(client.get(root, server:url())).body)
    end)
    propagate.set_tracer(previous)
  end)

  it("whose body does not end is the request that waits for it", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 2000\r\n\r\nxx")
        peer:gone()
      end)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(client.get, c, server:url("/here"))
      while server.connections == 0 do assert(ctx.sleep(root, 0)) end
      loopback.turns(root)
      cancel("enough")
      local got, err = task:wait(root)
      assert.is_nil(got)
      assert.equal(("GET %s: reading body: context canceled: enough"):format(server:url("/here")),
        tostring(err))

      local own = client.new()
      task = ctx.go(own.get, own, root, server:url("/here"))
      while server.connections == 1 do assert(ctx.sleep(root, 0)) end
      loopback.turns(root)
      own:close()
      got, err = task:wait(root)
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECLOSED), tostring(err))
    end)
  end)

  it("is followed on the same connection, to the URL that the response then has", function()
    run(function(root)
      local server <close> = redirecting(root, "/there?a=b#part")
      for _, status in ipairs { 301, 302, 303, 307, 308 } do
        local got = assert(client.get(root, server:url("/" .. status)))
        assert.equal("GET /there?a=b -", got.body)
        assert.equal(server:url("/there?a=b"), got.url)
      end
      assert.equal(1, server.connections)
    end)
  end)

  it("is relative to where it comes from", function()
    run(function(root)
      local server <close> = redirecting(root, "../up with blank")
      assert.equal("GET /up%20with%20blank -", client.get(root, server:url("/302/a")).body)
    end)
  end)

  -- libcurl resolves it against the base's folder.
  it("to a part of the same document leads to the same URL", function()
    run(function(root)
      local seen = {}
      local server <close> = redirecting(root, "#part", seen)
      local got, err = client.get(root, server:url("/302/a?b"), { follow = 2 })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ELOOP))
      assert.same({ "GET /302/a?b HTTP/1.1", "GET /302/a?b HTTP/1.1", "GET /302/a?b HTTP/1.1" },
        { seen[1].line, seen[2].line, seen[3].line })
    end)
  end)

  it("to two places is an error, and to one that is named twice is not", function()
    run(function(root)
      local server <close> = redirecting(root, "/a\r\nlocation: /b")
      local got, err = client.get(root, server:url("/302"))
      assert.is_nil(got)
      assert.equal("EPROTO", err.code)
      assert.equal("redirection", err.phase)
      assert.equal(302, assert(client.get(root, server:url("/302"), { follow = 0 })).status)
      local same <close> = redirecting(root, "/a\r\nlocation: /a")
      assert.equal("GET /a -", assert(client.get(root, same:url("/302"))).body)
    end)
  end)

  it("keeps the method and the body, or makes it a GET, by its status", function()
    run(function(root)
      local seen = {}
      local server <close> = redirecting(root, "/to", seen)
      for status, expected in pairs {
        [301] = "GET /to -", [302] = "GET /to -", [303] = "GET /to -",
        [307] = "POST /to body", [308] = "POST /to body",
      } do
        local got = assert(client.post(root, server:url("/" .. status), "body", {
          headers = { ["Content-Type"] = "text/x" },
        }))
        assert.equal(expected, got.body)
        assert.equal(status > 303 and "text/x" or nil, seen[#seen]["content-type"])
      end
      assert.equal("PUT /to body", client.request(root, {
        method = "PUT", url = server:url("/302"), body = "body",
      }).body)
      assert.equal(200, client.request(root, {
        method = "HEAD", url = server:url("/200"),
      }).status)
    end)
  end)

  it("is given as it is when nothing shall be followed", function()
    run(function(root)
      local server <close> = redirecting(root, "/to")
      local got = assert(client.get(root, server:url("/302"), { follow = 0 }))
      assert.equal(302, got.status)
      assert.equal("/to", got.headers.location)
      assert.equal("this", got.body)
    end)
  end)

  it("in a circle is an error after so many", function()
    run(function(root)
      local seen = {}
      local server <close> = redirecting(root, "/302", seen)
      local got, err = client.get(root, server:url("/302"), { follow = 3 })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ELOOP), tostring(err))
      assert.equal(4, #seen)
    end)
  end)

  it("leads to HTTP only", function()
    run(function(root)
      for _, to in ipairs { "ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1/" } do
        local server <close> = redirecting(root, to)
        local got, err = client.get(root, server:url("/302"))
        assert.is_nil(got)
        assert.is_true(errors.is(err, uv.EPROTONOSUPPORT), tostring(err))
      end
      local server <close> = redirecting(root, "http://[bad")
      local got, err = client.get(root, server:url("/302"))
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.EINVAL), tostring(err))
    end)
  end)

  it("to another server takes no credentials along", function()
    run(function(root)
      local seen = {}
      local other <close> = redirecting(root, "", seen)
      local server <close> = redirecting(root, other:url("/to"))
      local here <close> = redirecting(root, "/to", seen)
      local headers = { Authorization = "Bearer x", Cookie = "a=b", ["X-Kept"] = "y" }
      assert(client.get(root, server:url("/302"), { headers = headers }))
      assert.equal(1, #seen)
      assert.is_nil(seen[1].authorization)
      assert.is_nil(seen[1].cookie)
      assert.equal("y", seen[1]["x-kept"])
      assert.equal("127.0.0.1:" .. other.port, seen[1].host)
      assert(client.get(root, here:url("/302"), { headers = headers }))
      assert.equal("Bearer x", seen[3].authorization)
      -- Those in the URL are its own: here for this server only.
      seen[#seen + 1] = "mark"
      local with_user = server:url("/302"):gsub("//", "//me:secret@")
      local got = assert(client.get(root, with_user))
      assert.is_nil(seen[#seen].authorization)
      assert.is_nil(got.url:find("secret", 1, true))
    end)
  end)

  it("says anew how much time is left", function()
    run(function(root)
      local seen = {}
      local server <close> = redirecting(root, "/to", seen)
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      assert(client.get(c, server:url("/302")))
      assert.is_true(tonumber(seen[2]["grpc-timeout"]:match("%d+"))
        < tonumber(seen[1]["grpc-timeout"]:match("%d+")))
    end)
  end)

  it("cannot take a body along that came from a function", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        while true do
          local request = peer:request()
          if not request then return end
          if request["transfer-encoding"] then peer:body() end
          peer:send(request.line:find("^GET") and "HTTP/1.1 204 Done\r\n\r\n"
            or ("HTTP/1.1 %s Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
              :format(request.line:match("/(%d+)")))
        end
      end)
      local function once()
        local given = false
        return function()
          local piece = not given and "piece" or nil
          given = true
          return piece
        end
      end
      local got, err = client.post(root, server:url("/307"), once())
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ENOTSUP), tostring(err))
      assert.equal(204, client.post(root, server:url("/303"), once()).status)
    end)
  end)

  it("with a body without an end costs its connection, no more", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer, n)
        peer:request()
        if n > 1 then return peer:answer("there") end
        peer:send("HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n")
        repeat until not peer:send(("x"):rep(16 * 1024))
      end)
      assert.equal("there", client.get(root, server:url()).body)
      assert.equal("there", client.get(root, server:url(), { stream = true }):read(root))
    end)
  end)

  it("is not followed once the context has ended", function()
    run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send("HTTP/1.1 302 Go\r\nLocation: /x\r\nContent-Length: 9\r\n\r\n")
        cancel("enough")
        assert.is_nil(peer:request())
      end)
      local got, err = client.get(c, server:url())
      assert.is_nil(got)
      assert.is_true(errors.is(err, "enough"))
    end)
  end)
end)
