-- SPDX-License-Identifier: MIT
-- The HTTP client against servers that say each byte by a script.
local client = require "ctx.http.client"
local ctx = require "ctx"
local errors = require "ctx.errors"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local run = raw_server.run

--- Answers each request on each connection with what answer(request, peer) sends.
local function serving(root, answer)
  return raw_server.start(root, function(peer, n)
    local request = peer:request()
    while request do
      answer(peer, request, n)
      request = peer:request()
    end
  end)
end

describe("a response", function()
  it("has status, reason, version, headers, body and URL", function()
    run(function(root)
      local server <close> = serving(root, function(peer)
        peer:send("HTTP/1.1 203 So they say\r\nX-One:  a \r\nx-one: b\r\nSet-Cookie: k=1, x\r\n"
          .. "set-cookie: l=2\r\nContent-Length: 5\r\n\r\nhello")
      end)
      local got = assert(client.get(root, server:url("/a?b=c#d")))
      assert.equal(203, got.status)
      assert.equal("So they say", got.reason)
      assert.equal("1.1", got.version)
      assert.equal("a, b", got.headers["x-one"])
      assert.equal("5", got.headers["content-length"])
      assert.same({ "k=1, x", "l=2" }, got:values("Set-Cookie"))
      assert.same({ "x-one", "a" }, got.header_list[1])
      assert.equal("hello", got.body)
      assert.equal(server:url("/a?b=c"), got.url)
    end)
  end)

  it("has headers in one line, however the server broke them over lines", function()
    run(function(root)
      local server <close> = serving(root, function(peer)
        peer:answer("", "X-One: a\r\n b \r\n\t c\r\nx-one:d\r\n")
      end)
      local got = assert(client.get(root, server:url()))
      assert.equal("a b  c, d", got.headers["x-one"])
      assert.same({ "a b  c", "d" }, got:values("x-one"))
    end)
  end)

  -- The usual pattern to trim them took time by the square of the length: more than we wait here.
  it("does not keep the loop busy with blanks", function()
    run(function(root)
      local long = "a" .. (" "):rep(80000) .. "b"
      local server <close> = serving(root, function(peer)
        peer:answer("", ("x: %s\r\ny: %s\r\nz: %s\r\n"):format(long, long, long))
      end)
      local got = assert(client.get(root, server:url()))
      assert.equal(long, got.headers.z)
      assert.is_nil(root:err())
    end)
  end)

  it("is the final one, whatever came before it", function()
    run(function(root)
      local server <close> = serving(root, function(peer)
        peer:send("HTTP/1.1 103 Early Hints\r\nx-early: 1\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        peer:answer("late")
      end)
      local got = assert(client.get(root, server:url()))
      assert.equal(200, got.status)
      assert.is_nil(got.headers["x-early"])
      assert.equal("late", got.body)
    end)
  end)

  it("comes in chunks of any size, with trailers", function()
    run(function(root)
      local server <close> = serving(root, function(peer)
        peer:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        ctx.sleep(root, 0)
        peer:send("0003;x=y\r\nbcd\r\n0\r\nX-Sum: 4\r\n\r\n")
      end)
      local got = assert(client.get(root, server:url()))
      assert.equal("abcd", got.body)
      assert.equal("4", got.trailers["x-sum"])
      assert.is_nil(got.headers["x-sum"])
    end)
  end)

  it("has no body for HEAD and 204, and none is waited for", function()
    run(function(root)
      local server <close> = serving(root, function(peer, request)
        peer:send(request.line:find("^HEAD") and "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
          or "HTTP/1.1 204 No Content\r\n\r\n")
      end)
      local got = assert(client.request(root, { method = "HEAD", url = server:url() }))
      assert.equal("99", got.headers["content-length"])
      assert.equal("", got.body)
      assert.equal(204, client.get(root, server:url()).status)
      assert.equal(1, server.connections)
    end)
  end)
end)

describe("a request", function()
  it("says method, path, headers and body, and nothing that nobody asked for", function()
    run(function(root)
      local server <close> = serving(root, function(peer, request)
        peer:answer(request.text .. "\n" .. peer:body(tonumber(request["content-length"])))
      end)
      local got = assert(client.request(root, {
        method = "PATCH", url = server:url("/p?q=1"), body = "b\0dy", propagate = false,
        headers = { ["X-List"] = { "1", "2" }, ["x-empty"] = "", ["x-n"] = 7, accept = false },
      }))
      assert.equal(("PATCH /p?q=1 HTTP/1.1\nHost: 127.0.0.1:%d\nx-empty:\nx-list: 1\nx-list: 2\n"
        .. "x-n: 7\nContent-Length: 4\nb\0dy"):format(server.port), got.body)
    end)
  end)

  it("sends a large body without waiting for a go-ahead", function()
    run(function(root)
      local body = ("0123456789abcdef"):rep(256 * 1024)
      local server <close> = serving(root, function(peer, request)
        assert(not request.expect)
        peer:answer(tostring(peer:body(#body) == body))
      end)
      assert.equal("true", client.post(root, server:url(), body).body)
    end)
  end)

  it("says that an empty body is one, where that means something", function()
    run(function(root)
      local server <close> = serving(root, function(peer, request)
        peer:answer(tostring(request["content-length"]))
      end)
      assert.equal("0", client.post(root, server:url()).body)
      assert.equal("nil", client.get(root, server:url()).body)
      assert.equal("nil", client.request(root, { method = "DELETE", url = server:url() }).body)
    end)
  end)

  it("uses a connection again", function()
    run(function(root)
      local server <close> = serving(root, function(peer) peer:answer("x") end)
      for _ = 1, 5 do
        assert(client.get(root, server:url()))
      end
      assert.equal(1, server.connections)
    end)
  end)

  it("finds a kept connection closed, and opens another one", function()
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:answer("x")
      end)
      for _ = 1, 3 do
        assert.equal("x", assert(client.get(root, server:url())).body)
      end
      assert.equal(3, server.connections)
    end)
  end)

  -- libcurl sends such a request again by itself, as it was: a payment was made twice.
  it("that a kept connection ends with is sent again if that is harmless, with its headers as they "
    .. "are then", function()
    run(function(root)
      local seen = {}
      local server <close> = raw_server.start(root, function(peer, n)
        local request = peer:request()
        peer:answer("", n > 1 and "Connection: close\r\n" or nil)
        seen[#seen + 1] = request
        if n == 1 then
          seen[#seen + 1] = peer:request() -- and goes silently
          ctx.sleep(root, 20)
        end
      end)
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      assert(client.get(c, server:url("/first")))
      assert(client.get(c, server:url("/again")))
      assert.same({ "GET /first HTTP/1.1", "GET /again HTTP/1.1", "GET /again HTTP/1.1" },
        { seen[1].line, seen[2].line, seen[3].line })
      local before, after = seen[2]["grpc-timeout"], seen[3]["grpc-timeout"]
      assert.equal(before:match("%a$"), after:match("%a$"))
      assert.is_true(tonumber(after:match("%d+")) < tonumber(before:match("%d+")))
    end)
  end)

  it("that a kept connection ends with is an error if it might be done twice", function()
    run(function(root)
      local function none() end
      for _, body in ipairs { "money", "", none } do
        local requests = 0
        local server <close> = raw_server.start(root, function(peer)
          while true do
            local request = peer:request()
            if not request then return end
            requests = requests + 1
            if request.line:find("^POST") then return end
            peer:answer("")
          end
        end)
        assert(client.get(root, server:url()))
        local got, err = client.post(root, server:url(), body)
        assert.is_nil(got)
        assert.is_true(errors.is(err, uv.ECONNRESET), tostring(err))
        assert.truthy(tostring(err):find("the kept connection ended", 1, true), tostring(err))
        assert.equal("awaiting headers", err.phase)
        assert.equal(2, requests)
      end
    end)
  end)

  it("goes over a socket in the file system", function()
    run(function(root)
      local path = os.tmpname()
      os.remove(path)
      local _ <close> = raw_server.start(root, function(peer)
        peer:answer(peer:request().host)
      end, { pipe = path })
      local got = assert(client.get(root, "http://a.host/", { unix = path }))
      assert.equal("a.host", got.body)
      local none, err = client.get(root, "http://a.host/", { unix = path .. "-none" })
      assert.is_nil(none)
      assert.is_true(errors.is(err, uv.ENOENT), tostring(err))
    end)
  end)

  it("goes through a proxy: the option's, or the environment's unless told not to", function()
    run(function(root)
      local function saying(what)
        return serving(root, function(peer, request) peer:answer(what .. request.line) end)
      end
      local proxy <close> = saying "proxy "
      local server <close> = saying "server "
      assert.equal("proxy GET http://far.invalid/x HTTP/1.1",
        assert(client.get(root, "http://far.invalid/x", { proxy = proxy:url("") })).body)
      local before = os.getenv("http_proxy")
      luv.os_setenv("http_proxy", proxy:url(""))
      local through = client.get(root, "http://far.invalid/x")
      local past = client.get(root, server:url("/x"), { proxy = false })
      if before then luv.os_setenv("http_proxy", before) else luv.os_unsetenv("http_proxy") end
      assert.equal("proxy GET http://far.invalid/x HTTP/1.1", through and through.body)
      assert.equal("server GET /x HTTP/1.1", past and past.body)
    end)
  end)

  it("many at once have each their own response", function()
    run(function(root)
      local server <close> = serving(root, function(peer, request)
        ctx.sleep(root, 0)
        peer:answer(request.line:match("/%d+"))
      end)
      local tasks = {}
      for i = 1, 50 do
        tasks[i] = ctx.go(client.get, root, server:url("/" .. i))
      end
      for i = 1, 50 do
        assert.equal("/" .. i, assert(tasks[i]:wait(root)).body)
      end
    end)
  end)

  it("decodes when asked to, and says so by leaving out what was encoded", function()
    run(function(root)
      local server <close> = serving(root, function(peer, request)
        local encoded = request["accept-encoding"] ~= nil
        -- "hello" as gzip has it
        local body = encoded and "\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106"
          .. "\x05\0\0\0" or "plain"
        peer:answer(body, encoded and "content-encoding: gzip\r\n" or "")
      end)
      local got = assert(client.get(root, server:url(), { decompress = true }))
      assert.equal("hello", got.body)
      assert.is_nil(got.headers["content-encoding"])
      assert.is_nil(got.headers["content-length"])
      assert.equal("plain", client.get(root, server:url()).body)
    end)
  end)
end)

describe("what cannot be", function()
  it("is an error with a code, the phase, and the URL without what is secret", function()
    run(function(root)
      local free <close> = assert(uv.listen("127.0.0.1", 0))
      local port = free:address().port
      free:close()
      local got, err = client.get(root, ("http://me:secret@127.0.0.1:%d/path?token=1"):format(port))
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECONNREFUSED))
      assert.equal("connecting", err.phase)
      assert.is_true(err:temporary())
      assert.equal(("GET http://127.0.0.1:%d/path: connecting: ECONNREFUSED"):format(port),
        tostring(err):match("^.-ECONNREFUSED"))
    end)
  end)

  it("is told of a URL, too, but not raised: it may come from outside", function()
    run(function(root)
      for url, code in pairs {
        ["no scheme"] = "EINVAL", ["http://a b/"] = "EINVAL", ["http://"] = "EINVAL",
        ["http://h:99999/"] = "EINVAL", ["ftp://127.0.0.1/x"] = "EPROTONOSUPPORT",
        ["file:///etc/passwd"] = "EPROTONOSUPPORT",
      } do
        local got, err = client.get(root, url)
        assert.is_nil(got)
        assert.is_true(errors.is(err, uv[code]), url .. ": " .. tostring(err))
      end
    end)
  end)

  it("is told of a name that nobody has", function()
    run(function(root)
      local got, err = client.get(root, "http://no-such-host.invalid/", { proxy = false })
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.EAI_NONAME), tostring(err))
      assert.equal("resolving", err.phase)
    end)
  end)

  --- What comes of a server that sends this and closes, or resets.
  local function broken(text, reset, request)
    local err
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send(text)
        if reset then peer:reset() end
      end)
      local got
      got, err = client.get(root, server:url(), request)
      assert.is_nil(got)
    end)
    return err
  end

  it("no response at all", function()
    local err = broken("")
    assert.is_true(errors.is(err, uv.EOF), tostring(err))
    assert.equal("awaiting headers", err.phase)
  end)

  it("half a body", function()
    local err = broken("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    assert.is_true(errors.is(err, uv.EOF), tostring(err))
    assert.equal("reading body", err.phase)
  end)

  it("a reset instead of a response", function()
    local err = broken("", true)
    assert.is_true(errors.is(err, uv.ECONNRESET), tostring(err))
    assert.equal("awaiting headers", err.phase)
  end)

  it("invalid chunks", function()
    local err = broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n")
    assert.is_true(errors.is(err, uv.EPROTO), tostring(err))
    assert.equal("reading body", err.phase)
  end)

  it("no HTTP", function()
    local err = broken("SSH-2.0-OpenSSH_9.2\r\n")
    assert.is_true(errors.is(err, uv.EPROTO), tostring(err))
  end)

  it("a head without an end", function()
    local err = broken("HTTP/1.1 200 OK\r\n" .. ("x-header: something\r\n"):rep(20000))
    assert.is_true(errors.is(err, uv.EMSGSIZE), tostring(err))
    assert.equal("awaiting headers", err.phase)
  end)

  it("a body that is larger than may be", function()
    local whole = "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(100)
    local err = broken(whole, false, { max_body = 99 })
    assert.is_true(errors.is(err, uv.EMSGSIZE), tostring(err))
    assert.equal("reading body", err.phase)
    run(function(root)
      local server <close> = raw_server.start(root, function(peer)
        peer:request()
        peer:send(whole)
      end)
      assert.equal(100, #client.get(root, server:url(), { max_body = 100 }).body)
    end)
  end)
end)

describe("misuse of the client raises at the caller's line:", function()
  local root = ctx.background()
  local url = "http://127.0.0.1:1/"

  it("no context, no URL, no such option", function()
    misuse.raises(function() client.get(nil, url) end, "#1 to 'get'", "a context")
    misuse.raises(function() client.request(root, {}) end, "#2 to 'request'", "options.url")
    misuse.raises(function() client.request(root, { url = url, methud = "GET" }) end, "methud")
    misuse.raises(function() client.get(root, url, { idle_timeout = -1 }) end, "#3 to 'get'",
      "options.idle_timeout")
    misuse.raises(function() client.post(root, url, 5) end, "#3 to 'post'", "body")
    misuse.raises(function() client.post(root, url, "", { stream = 1 }) end, "#4 to 'post'")
    misuse.raises(function() client.get(root, url, { resolve = { {} } }) end, "options.resolve")
    misuse.raises(function() client.new { max_idle = 0 } end, "#1 to 'new'", "max_idle")
  end)

  it("a body where there is none, and a length that is another's", function()
    misuse.raises(function()
      client.request(root, { method = "HEAD", url = url, body = "x" })
    end, "#2 to 'request'", "options.body", "nothing with HEAD")
    misuse.raises(function() client.get(root, url, { length = 1 }) end, "#3 to 'get'", "length")
    misuse.raises(function() client.post(root, url, "x", { length = 2 }) end, "#4 to 'post'",
      "options.length")
    misuse.raises(function()
      client.post(root, url, "x", { length = 3, headers = { ["Content-Length"] = { 3 } } })
    end, "#4 to 'post'", "options.length")
  end)

  it("what would smuggle a header or a second request in", function()
    misuse.raises(function() client.get(root, "http://h/\r\nx: y") end, "#2 to 'get'")
    misuse.raises(function() client.request(root, { url = "http://h/\n" }) end, "options.url")
    misuse.raises(function()
      client.request(root, { url = url, method = "GET / HTTP/1.1\r\nx:" })
    end, "options.method")
    misuse.raises(function() client.request(root, { url = url, method = "CONNECT" }) end, "method")
    for _, headers in ipairs {
      { ["x\r\ny"] = "1" }, { ["x y"] = "1" }, { ["x:"] = "1" }, { [""] = "1" }, { "x: y" },
      { x = "1\r\ny: 2" }, { x = "1\n" }, { x = "\0" }, { x = { "1", "2\r" } }, { x = {} },
      { x = true },
    } do
      misuse.raises(function() client.get(root, url, { headers = headers }) end, "options.headers")
    end
  end)

  it("headers that contradict the body", function()
    for _, headers in ipairs {
      { ["Transfer-Encoding"] = "chunked" }, { ["content-length"] = "4" },
    } do
      misuse.raises(function() client.post(root, url, "abc", { headers = headers }) end,
        "the client says where the body ends")
    end
  end)
end)
