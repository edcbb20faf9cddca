-- SPDX-License-Identifier: MIT
--- Which connection a request goes over, and whether it is made again.
---
--- libcurl takes bytes that came on an idle connection for the answer to the next request; keeps
--- what its server has closed until somebody asks; shares the addresses of `resolve` among all
--- requests; and sends a request with an expectation as often as it is refused. So the client knows
--- its connections by their descriptors, watches the idle ones, and looks at each before it is used
--- again.
local client = require "ctx.http.client"
local ctx = require "ctx"
local descriptors = require "spec.support.descriptors"
local folder = require "spec.support.folder"
local loopback = require "spec.support.loopback"
local misuse = require "spec.support.misuse"
local raw_server = require "spec.support.raw_server"
local sockets = require "spec.support.sockets"
local uv = require "ctx.uv"

local run = raw_server.run

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
local EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

--- Waits until fn() is true, for as long as the root lives.
local function until_true(c, fn)
  while not fn() do
    assert(ctx.sleep(c, 5))
  end
end

--- A server whose first connection answers with `first`, does `trouble(peer)` and then opens the
--- gate; it and all others answer "good".
local function troubled(c, first, trouble, options)
  local done, open = raw_server.gate()
  return raw_server.start(c, function(peer, n)
    local request = peer:request()
    while request do
      if n == 1 and not done:done() then
        peer:send(first)
        trouble(peer)
        open()
      else
        peer:body(tonumber(request["content-length"] or 0))
        peer:answer("good")
      end
      request = peer:request()
    end
  end, options), done
end

--- A server that answers each request with OK.
local function obliging(c)
  return raw_server.start(c, function(peer)
    while peer:request() do
      peer:send(OK)
    end
  end)
end

local METHODS = {
  GET = {}, POST = { body = "order" }, PATCH = { body = "order" }, HEAD = {}, DELETE = {},
}

describe("a kept connection", function()
  local firsts = {
    ["a 200"] = { OK },
    ["chunks"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    ["a 204"] = { "HTTP/1.1 204 x\r\n\r\n" }, ["a 304"] = { "HTTP/1.1 304 x\r\n\r\n" },
    ["a HEAD"] = { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", method = "HEAD" },
  }
  local troubles = {
    ["a response came on"] = function(peer) peer:send(EVIL) end,
    ["a timeout came on"] = function(peer)
      peer:send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    end,
    ["a byte came on"] = function(peer) peer:send("x") end,
    ["the server has closed"] = function(peer) peer.stream:close() end,
    ["the server has reset"] = function(peer) peer:reset() end,
    ["a response came on, and then the end"] = function(peer)
      peer:send(EVIL)
      peer.stream:close()
    end,
  }

  for kind, first in pairs(firsts) do
    for trouble, cause in pairs(troubles) do
      it(("is not used again when %s it behind %s"):format(trouble, kind), function()
        run(function(c)
          for method, more in pairs(METHODS) do
            local server <close>, done = troubled(c, first[1], cause)
            local own <close> = client.new()
            assert(own:request(c, { url = server:url(), method = first.method }))
            done:wait()
            local got = assert(own:request(c, { url = server:url(), method = method,
              body = more.body }))
            assert.equal(200, got.status)
            assert.equal(method == "HEAD" and "" or "good", got.body)
            assert.equal(2, server.connections)
          end
        end)
      end)
    end
  end

  -- The loop has had no turn, so nobody has told the client: it has to look.
  it("is looked at before each request, also when the loop has not been since", function()
    run(function(c)
      local stream
      local server <close> = troubled(c, OK, function(peer) stream = peer.stream end)
      local own <close> = client.new()
      assert(own:get(c, server:url()))
      stream:handle():try_write(EVIL)
      sockets.await_unread(stream:peer().port, #EVIL) -- and nothing else happens
      assert.equal("good", assert(own:post(c, server:url(), "order")).body)
    end)
  end)

  it("is used again after a pause, a HEAD and a 204", function()
    run(function(c)
      local server <close> = raw_server.start(c, function(peer)
        local request = peer:request()
        while request do
          peer:body(tonumber(request["content-length"] or 0))
          peer:send(request.line:find "^DELETE" and "HTTP/1.1 204 x\r\n\r\n"
            or request.line:find "^HEAD" and OK:gsub("ok$", "") or OK)
          request = peer:request()
        end
      end)
      local own <close> = client.new()
      for method, more in pairs(METHODS) do
        assert(own:request(c, { url = server:url(), method = method, body = more.body }))
        loopback.turns(c)
      end
      assert.equal(1, server.connections)
    end)
  end)

  it("through the file system is not used again either", function()
    run(function(c)
      local dir = folder.new()
      local path = dir .. "/socket"
      local server <close>, done = troubled(c, OK, function(peer) peer:send(EVIL) end,
        { pipe = path })
      local own <close> = client.new { unix = path }
      assert(own:get(c, "http://unix/"))
      done:wait()
      assert.equal("good", assert(own:post(c, "http://unix/", "order")).body)
      assert.equal(2, server.connections)
      folder.remove(dir)
    end)
  end)

  it("that waits for a body's reader is not taken for an idle one", function()
    run(function(c)
      local sent, open = raw_server.gate()
      local server <close> = raw_server.start(c, function(peer)
        peer:request()
        peer:send("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")
        peer:send(("x"):rep(200000))
        open()
        peer:send(("x"):rep(200000))
        peer:gone()
      end)
      local own <close> = client.new()
      local response <close> = assert(own:get(c, server:url(),
        { stream = true, high_water = 1000 }))
      sent:wait()
      loopback.turns(c)
      assert.equal(400000, #assert(raw_server.rest_of(c, response)))
    end)
  end)

  -- It stayed in CLOSE_WAIT, with its descriptor, until another request came along.
  it("that its server closes is closed soon, and a client at rest has no descriptors", function()
    run(function(c)
      local gate, close_all = raw_server.gate()
      local server <close> = raw_server.start(c, function(peer)
        peer:request()
        peer:send(OK)
        gate:wait()
      end)
      local before = descriptors()
      local own <close> = client.new()
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = ctx.go(own.get, own, c, server:url())
      end
      for i = 1, 5 do
        assert(tasks[i]:wait(c))
      end
      assert(descriptors() > before + 5)
      close_all()
      until_true(c, function() return descriptors() <= before end)
    end)
  end)

  -- Where each connection has a handle of its own, a finalizer can close neither: the server must
  -- hear of the end all the same, and the loop closes both.
  it("of a client that nobody has is closed when that is collected", function()
    run(function(c)
      local gone, open = raw_server.gate()
      local left = 5
      local server <close> = raw_server.start(c, function(peer)
        peer:request()
        peer:send(OK)
        peer:gone()
        left = left - 1
        if left == 0 then open() end
      end)
      local before = descriptors()
      do
        local dropped, tasks = client.new(), {}
        for i = 1, 5 do
          tasks[i] = ctx.go(dropped.get, dropped, c, server:url())
        end
        for i = 1, 5 do
          assert(tasks[i]:wait(c))
        end
      end
      until_true(c, function()
        collectgarbage()
        return gone:done()
      end)
      -- One may be left until there is another client: that in which Linux gathers the others.
      until_true(c, function() return descriptors() <= before + 1 end)
    end)
  end)
end)

describe("a request", function()
  it("that meets the end of its kept connection opens one more, and no third", function()
    run(function(c)
      local server <close> = raw_server.start(c, function(peer, n)
        peer:request()
        peer:send(OK)
        peer:request()
        if n > 1 then
          peer:send(OK)
          peer:gone()
        end
      end)
      local own <close> = client.new()
      assert(own:get(c, server:url()))
      assert.equal(200, assert(own:get(c, server:url())).status)
      loopback.turns(c)
      assert.equal(2, server.connections)
    end)
  end)

  it("that may have been carried out is not made again", function()
    run(function(c)
      local posts = 0
      local server <close> = raw_server.start(c, function(peer)
        local request = peer:request()
        while request and not request.line:find "^POST" do
          peer:send(OK)
          request = peer:request()
        end
        posts = posts + (request and 1 or 0)
      end)
      local own <close> = client.new()
      assert(own:get(c, server:url()))
      local got, err = own:post(c, server:url(), "order")
      assert.is_nil(got)
      assert.equal("ECONNRESET", err.code)
      assert.is_true(err.lost)
      assert.equal(1, posts)
    end)
  end)

  it("whose body comes from a function is made again if that has not been asked", function()
    run(function(c)
      local server <close>, done = troubled(c, OK, function(peer) peer:send(EVIL) end)
      local own <close> = client.new()
      assert(own:get(c, server:url()))
      done:wait()
      local pieces = { "order" }
      local got = assert(own:post(c, server:url(), function() return table.remove(pieces) end,
        { length = 5 }))
      assert.equal("good", got.body)
    end)
  end)
end)

describe("an expectation that is refused", function()
  --- A server that answers 417 to each request with an expectation, or to each.
  local function refusing(c, always, close)
    local seen = {}
    return raw_server.start(c, function(peer)
      local request = peer:request()
      while request do
        seen[#seen + 1] = request.expect or "none"
        if request.expect or always then
          peer:send(("HTTP/1.1 417 No\r\n%sContent-Length: 2\r\n\r\nno")
            :format(close and "Connection: close\r\n" or ""))
          if close then return end
        else
          peer:body(5)
          peer:send(OK)
        end
        request = peer:request()
      end
    end), seen
  end

  local EXPECT = { headers = { Expect = "100-continue" } }

  for name, close in pairs { kept = false, closed = true } do
    it("is left out, once: the connection is " .. name, function()
      run(function(c)
        local server <close>, seen = refusing(c, false, close)
        local own <close> = client.new()
        assert.equal("ok", assert(own:post(c, server:url(), "order", EXPECT)).body)
        assert.same({ "100-continue", "none" }, seen)
      end)
    end)
  end

  it("without which the server refuses, too, makes its 417 the response", function()
    run(function(c)
      local server <close>, seen = refusing(c, true, true)
      local own <close> = client.new()
      assert.equal(417, assert(own:post(c, server:url(), "order", EXPECT)).status)
      assert.same({ "100-continue", "none" }, seen)
    end)
  end)

  it("is left out for a body from a function that was not asked", function()
    run(function(c)
      local server <close>, seen = refusing(c, false, false)
      local own <close> = client.new()
      local pieces = { "order" }
      local got = assert(own:post(c, server:url(), function() return table.remove(pieces) end,
        { length = 5, headers = EXPECT.headers }))
      assert.equal("ok", got.body)
      assert.same({ "100-continue", "none" }, seen)
    end)
  end)
end)

describe("resolve", function()
  it("holds for its own request alone", function()
    run(function(c)
      local server <close> = obliging(c)
      local own <close> = client.new()
      local url = ("http://pinned.invalid:%d/"):format(server.port)
      local pin = ("pinned.invalid:%d:127.0.0.1"):format(server.port)
      for _ = 1, 2 do
        assert.equal(200, assert(own:get(c, url, { resolve = { pin } })).status)
        local got, err = own:get(c, url) -- a kept connection is not for it
        assert.is_nil(got)
        assert.equal("EAI_NONAME", err.code)
        local unreachable = { resolve = { (pin:gsub("%.1$", ".255")) }, connect_timeout = 500 }
        got, err = own:get(c, url, unreachable)
        assert.is_nil(got)
        assert(err.code ~= "EAI_NONAME")
      end
      assert.equal(1, server.connections)
    end)
  end)

  it("takes addresses of both families, and refuses anything else at the caller's line", function()
    run(function(c)
      local own <close> = client.new()
      local listener = uv.listen("::1", 0)
      if listener then -- there is IPv6 here
        local port = listener:address().port
        ctx.go(function()
          for _ = 1, 2 do
            local stream <close> = listener:accept(c)
            stream:read(c)
            stream:write(c, (OK:gsub("\r\n", "\r\nConnection: close\r\n", 1)))
          end
          listener:close()
        end)
        for _, address in ipairs { "::1", "[::1]" } do
          assert(own:get(c, ("http://h.invalid:%d/"):format(port),
            { resolve = { ("h.invalid:%d:%s"):format(port, address) } }))
        end
      end
      for _, bad in ipairs { "h:80", "h:80:", "h:80:name", "h:x:127.0.0.1", "127.0.0.1",
        "h:80:127.0.0.1,127.0.0.2" } do
        misuse.raises(function() own:get(c, "http://h/", { resolve = { bad } }) end,
          "options.resolve")
      end
    end)
  end)
end)

it("a child inherits no descriptor of a client", function()
  run(function(c)
    local server <close> = obliging(c)
    local function inherited()
      local got = assert(uv.spawn(c, "sh", { args = { "-c", "echo /proc/self/fd/*" } }))
      return select(2, got.stdout:gsub("/fd/", ""))
    end
    local before, clients = inherited(), {}
    for i = 1, 5 do
      clients[i] = client.new()
      assert(clients[i]:get(c, server:url()))
    end
    local lookups = {}
    for i = 1, 5 do -- while a thread looks a name up, it has a pair of its own
      lookups[i] = ctx.go(clients[i].get, clients[i], c, "http://nowhere.invalid/")
    end
    ctx.sleep(c, 0)
    assert.equal(before, inherited())
    for i = 1, 5 do
      lookups[i]:wait(c)
      clients[i]:close()
    end
  end)
end)
