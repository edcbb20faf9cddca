-- SPDX-License-Identifier: MIT
-- The HTTP client and TLS: a private CA, certificates to refuse, HTTP/2, a tunnel. By Node.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local folder = require "spec.support.folder"
local loopback = require "spec.support.loopback"
local peers = require "spec.support.peers"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

describe("the HTTP client", function()
  local dir

  setup(function()
    loopback.run(function(root) dir = peers.certificates(root) end)
  end)

  teardown(function()
    folder.remove(dir:sub(1, -2))
  end)

  --- Runs fn(root, node, url(server, path)) beside the servers.
  local function run(fn)
    loopback.run(function(root)
      -- Of real time: what waits for ever fails.
      local c, cancel <close> = ctx.with_timeout(root, 200000)
      local node <close> = peers.node(c, dir)
      fn(c, node, function(server, path)
        return ("https://localhost:%d%s"):format(node.ports[server], path or "/")
      end)
    end)
  end

  it("trusts a certificate of its CA, and no other by default", function()
    run(function(root, _, url)
      local got = assert(client.get(root, url "good", { ca = dir .. "ca.pem" }))
      assert.equal(200, got.status)
      local none, err = client.get(root, url "good")
      assert.is_nil(none)
      assert.is_true(errors.is(err, client.ECERT), tostring(err))
      assert.equal("unknown_authority", err.reason)
      assert.equal("TLS handshake", err.phase)
      assert.equal(200, assert(client.get(root, url "good", { verify = false })).status)
    end)
  end)

  for name, reason in pairs { wrong = "wrong_host", expired = "expired", self = "self_signed" } do
    it("refuses a certificate and says why: " .. reason, function()
      run(function(root, _, url)
        local got, err = client.get(root, url(name), { ca = dir .. "ca.pem" })
        assert.is_nil(got)
        assert.is_true(errors.is(err, client.ECERT), tostring(err))
        assert.equal(reason, err.reason)
        assert.equal("TLS handshake", err.phase)
        local text = { wrong = "subject name", expired = "expired", self = "self.signed" }
        assert.truthy(tostring(err):find(text[name]), tostring(err))
        got = client.get(root, url(name), { verify = false })
        assert.equal(200, got and got.status)
      end)
    end)
  end

  it("shows a certificate of its own where it is asked for", function()
    run(function(root, _, url)
      local own = { ca = dir .. "ca.pem", cert = dir .. "client.pem", key = dir .. "client.key",
        http_version = "1.1" }
      assert.equal("client", assert(client.get(root, url("client", "/peer"), own)).body)
      local got, err = client.get(root, url("client", "/peer"), { ca = dir .. "ca.pem" })
      assert.is_nil(got)
      assert.is_true(errors.is(err, client.ETLS) or errors.is(err, uv.ECONNRESET), tostring(err))
    end)
  end)

  -- libcurl tells kept connections apart by the certificate's file alone.
  it("notices a key that does not fit, also beside a kept connection", function()
    run(function(root, _, url)
      local own <close> = client.new { ca = dir .. "ca.pem", cert = dir .. "client.pem" }
      for _ = 1, 2 do
        local got = assert(own:get(root, url("client", "/peer"), { key = dir .. "client.key" }))
        assert.equal("client", got.body)
        for _, wrong in ipairs { dir .. "good.key", dir .. "none.key" } do
          local none, err = own:get(root, url("client", "/peer"), { key = wrong })
          assert.is_nil(none)
          assert.is_true(errors.is(err, client.ETLS), tostring(err))
        end
      end
    end)
  end)

  it("does not use a connection again on which something came meanwhile", function()
    run(function(root, node, url)
      local own <close> = client.new { ca = dir .. "ca.pem" }
      for _, method in ipairs { "GET", "POST" } do
        assert.equal("in time", assert(own:get(root, url("good", "/late"))).body)
        assert.equal("late", node:line(root))
        local got = assert(own:request(root, { url = url("good", "/"), method = method,
          body = method == "POST" and "order" or nil }))
        assert.equal(method, got.headers["x-method"])
      end
    end)
  end)

  it("says so when the other side speaks no TLS, or the CA's file is not there", function()
    run(function(root, node, url)
      local got, err = client.get(root, ("https://localhost:%d/"):format(node.ports.http))
      assert.is_nil(got)
      assert.is_true(errors.is(err, client.ETLS), tostring(err))
      assert.equal("TLS handshake", err.phase)
      got, err = client.get(root, url "good", { ca = dir .. "none.pem" })
      assert.is_nil(got)
      assert.is_true(errors.is(err, client.ETLS), tostring(err))
    end)
  end)

  it("speaks HTTP/2 where the server does, many requests over one connection", function()
    run(function(root, node, url)
      local with_ca = { ca = dir .. "ca.pem" }
      local got = assert(client.post(root, url "http2", ("x"):rep(100000), with_ca))
      assert.equal("2", got.version)
      assert.equal("2.0", got.headers["x-version"])
      assert.equal(100000, #got.body)
      assert.same({ "a=1", "b=2" }, got:values("set-cookie"))
      assert.equal("session", node:line(root))
      local tasks = {}
      for i = 1, 30 do
        tasks[i] = ctx.go(client.post, root, url "http2", "body " .. i, with_ca)
      end
      for i = 1, 30 do
        assert.equal("body " .. i, assert(tasks[i]:wait(root)).body)
      end
      local c, cancel <close> = ctx.with_cancel(root)
      local hanging = ctx.go(client.get, c, url("http2", "/hang?"), { ca = dir .. "ca.pem",
        http_version = "1.1", method = "OPTIONS" })
      assert.equal("hanging", node:line(root)) -- and no other session before that
      cancel()
      assert.is_nil((hanging:wait(root)))
    end)
  end)

  it("lets the server know when the context of a stream ends", function()
    run(function(root, node, url)
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(client.get, c, url("http2", "/hang"), { ca = dir .. "ca.pem" })
      assert.equal("session", node:line(root))
      assert.equal("hanging", node:line(root))
      cancel("enough")
      local got, err = task:wait(root)
      assert.is_nil(got)
      assert.is_true(errors.is(err, "enough"))
      assert.equal("awaiting headers", err.phase)
      assert.equal("aborted /hang", node:line(root))
    end)
  end)

  it("resets a stream whose context ends, and leaves the others alone", function()
    run(function(root, node, url)
      local with_ca = { ca = dir .. "ca.pem" }
      assert(client.get(root, url "http2", with_ca))
      assert.equal("session", node:line(root))
      local c, cancel <close> = ctx.with_cancel(root)
      local task = ctx.go(client.get, c, url("http2", "/half"), with_ca)
      assert.equal("halved", node:line(root))
      local other <close> = assert(client.get(root, url("http2", "/large"), {
        ca = dir .. "ca.pem", stream = true,
      }))
      cancel("enough")
      local got, err = task:wait(root)
      assert.is_nil(got)
      assert.is_true(errors.is(err, "enough"))
      local size = 0
      for chunk in function() return other:read(root) end do
        size = size + #chunk
      end
      assert.equal(8 * 1024 * 1024, size)
      assert.equal("aborted /half", node:line(root))
      assert.equal(200, client.get(root, url "http2", with_ca).status)
      ctx.go(client.get, root, url("http2", "/hang"), { ca = dir .. "ca.pem", idle_timeout = 5 })
      assert.equal("hanging", node:line(root)) -- in the same session: no other has begun
    end)
  end)

  it("has an error for a stream that the server resets", function()
    run(function(root, _, url)
      local got, err = client.get(root, url("http2", "/reset"), { ca = dir .. "ca.pem" })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECONNRESET), tostring(err))
      assert.equal("reading body", err.phase)
    end)
  end)

  it("goes through a proxy's tunnel", function()
    run(function(root, node)
      local asked
      local proxy <close> = raw_server.start(root, function(peer)
        asked = peer:request().line
        local there <close> = assert(uv.connect(root, "127.0.0.1", node.ports.good))
        peer:send("HTTP/1.1 200 Tunnel\r\nX-Proxy: 1\r\n\r\n")
        local back = ctx.go(function()
          for chunk in function() return there:read(root) end do
            peer:send(chunk)
          end
        end)
        for chunk in function() return peer.stream:read(root) end do
          there:write(root, chunk)
        end
        there:close()
        back:wait()
      end)
      local url = ("https://localhost:%d/"):format(node.ports.good)
      local got = assert(client.post(root, url, "through", {
        ca = dir .. "ca.pem", proxy = proxy:url(""), http_version = "1.1",
      }))
      assert.equal("through", got.body)
      assert.is_nil(got.headers["x-proxy"])
      assert.equal("CONNECT localhost:" .. node.ports.good .. " HTTP/1.1", asked)
    end)
  end)
end)
