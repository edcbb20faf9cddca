-- SPDX-License-Identifier: MIT
--- What a request is made of: URL, query, headers, and a client's defaults; and when it may look
--- its name up.
local client = require "ctx.http.client"
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local lookups = require "ctx.http.client.lookups"
local loopback = require "spec.support.loopback"
local misuse = require "spec.support.misuse"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local run = raw_server.run

--- A server that keeps the requests it has seen; each is answered by `answer(request)`, or "ok".
local function recording(c, answer)
  local seen = {}
  return raw_server.start(c, function(peer)
    local request = peer:request()
    while request do
      seen[#seen + 1] = request
      request.path = request.line:match("^%S+ (%S+)")
      peer:send(answer and answer(request) or "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      request = peer:request()
    end
  end), seen
end

describe("http.escape", function()
  it("leaves letters, digits and four marks, and makes %XX of every other byte", function()
    local kept = "ABCXYZabcxyz0189-._~"
    assert.equal(kept, http.escape(kept))
    for byte = 0, 255 do
      local text = string.char(byte)
      local expected = text:find("[A-Za-z0-9._~-]") and text or ("%%%02X"):format(byte)
      assert.equal(expected, http.escape(text))
    end
    assert.equal("gr%C3%BC%C3%9Fe%20%26%20%2F%3F%23%25%2B", http.escape "grüße & /?#%+")
    assert.equal("", http.escape "")
    misuse.raises(function() http.escape(7) end, "bad argument #1 to 'escape'", "a string")
  end)
end)

describe("the option query", function()
  local function path_of(url, query)
    local path
    run(function(c)
      local server <close>, seen = recording(c)
      local own <close> = client.new()
      assert(own:get(c, server:url(url), { query = query }))
      path = seen[1].path
    end)
    return path
  end

  it("stands behind the URL's own, escaped, its names sorted", function()
    assert.equal("/a?b=2&c=x%26admin%3D1&d%20e=50%25", path_of("/a",
      { ["d e"] = "50%", c = "x&admin=1", b = 2 }))
    assert.equal("/a?q=1&b=2", path_of("/a?q=1", { b = 2 }))
    assert.equal("/a?b=2", path_of("/a?", { b = 2 }))
    assert.equal("/a?b=2", path_of("/a#part?", { b = 2 }))
    assert.equal("/?b=%2B", path_of("", { b = "+" }))
    assert.equal("/a", path_of("/a", {}))
  end)

  it("takes lists in their order, and numbers without a decimal comma", function()
    assert.equal("/?n=1&n=2.5&n=-3&t=new&t=sale", path_of("/",
      { t = { "new", "sale" }, n = { 1, 2.5, -3 }, none = {} }))
    assert.equal("/?empty=", path_of("/", { empty = "" }))
  end)

  it("refuses anything else at the caller's line", function()
    run(function(c)
      for _, bad in ipairs { "a=b", { "a" }, { a = true }, { a = { { } } }, { a = 0 / 0 },
        { a = math.huge }, { [1] = "a" } } do
        misuse.raises(function() client.get(c, "http://h/", { query = bad }) end, "options.query")
      end
    end)
  end)

  it("is for the first URL alone, not for where that leads", function()
    run(function(c)
      local server <close>, seen = recording(c, function(request)
        return request.path:find "^/from"
          and "HTTP/1.1 302 x\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n"
      end)
      assert.equal("ok", assert(client.get(c, server:url "/from", { query = { a = 1 } })).body)
      assert.equal("/from?a=1", seen[1].path)
      assert.equal("/to", seen[2].path)
    end)
  end)
end)

describe("a client's defaults", function()
  it("hold for requests that say nothing else", function()
    loopback.run_with_clock(function(c, clock)
      --- The error of a request that is not answered, once so much time has passed.
      local function after(ms, own, ...)
        local asking = ctx.go(own.get, own, ...)
        loopback.turns(c)
        assert.equal("waiting", asking:status())
        clock:advance(ms)
        local got, err = asking:wait(c)
        assert.is_nil(got)
        return err
      end
      local server <close>, seen = recording(c, function(request)
        return request.path == "/slow" and ""
      end)
      local own <close> = client.new {
        headers = { ["X-Key"] = "k", ["X-Other"] = "o" }, idle_timeout = 20,
      }
      assert(own:get(c, server:url(), { headers = { ["x-key"] = "mine", ["X-More"] = 1 } }))
      assert.same({ "mine", "o", "1" }, { seen[1]["x-key"], seen[1]["x-other"], seen[1]["x-more"] })
      assert(own:request(c, { url = server:url(), headers = { ["X-KEY"] = false } }))
      assert.is_nil(seen[2]["x-key"])
      assert.is_true(errors.is(after(20, own, c, server:url "/slow"), uv.idle))
      local c2, cancel <close> = ctx.with_timeout(c, 100)
      local err = after(100, own, c2, server:url "/slow", { idle_timeout = math.huge })
      assert.is_true(errors.is(err, ctx.deadline_exceeded))
      assert.is_false(errors.is(err, uv.idle))
    end)
  end)

  it("do not go to another server by a redirection, where they are secret", function()
    run(function(c)
      local other <close>, there = recording(c)
      local server <close>, here = recording(c, function()
        return ("HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"):format(other:url())
      end)
      local own <close> = client.new { headers = { Authorization = "secret" } }
      assert(own:get(c, server:url()))
      assert.equal("secret", here[1].authorization)
      assert.is_nil(there[1].authorization)
    end)
  end)

  it("are checked at the caller's line, and say only how to ask", function()
    misuse.raises(function() client.new { idle_timeout = 0 } end, "options.idle_timeout")
    misuse.raises(function() client.new { headers = { ["a b"] = 1 } } end, "options.headers")
    misuse.raises(function() client.new { headers = { a = "b\n" } } end, "options.headers")
    for _, what in ipairs { "url", "method", "body", "length", "query", "stream" } do
      misuse.raises(function() client.new { [what] = "x" } end, "the name of an option")
    end
  end)
end)

describe("headers of a request", function()
  -- Whichever of two spellings `pairs` came to last was sent.
  it("name each header once, whatever the spelling", function()
    run(function(c)
      misuse.raises(function()
        client.get(c, "http://h/", { headers = { ["X-A"] = 1, ["x-a"] = 2 } })
      end, "options.headers", "x-a")
      misuse.raises(function() client.new { headers = { ["X-A"] = 1, ["x-A"] = 2 } } end,
        "options.headers")
    end)
  end)

  -- libcurl sent the first of two Hosts, and both of two others.
  it("name once what a request has once", function()
    run(function(c)
      for _, name in ipairs { "Host", "content-type", "Authorization", "Expect", "Range" } do
        misuse.raises(function()
          client.get(c, "http://h/", { headers = { [name] = { "a", "b" } } })
        end, name:lower(), "one value")
        misuse.raises(function()
          client.new { headers = { [name] = { "a", "b" } } }
        end, "one value")
      end
      local server <close>, seen = recording(c)
      assert(client.get(c, server:url(), { headers = { Host = { "a" }, ["X-A"] = { "b", "c" } } }))
      assert.equal("a", seen[1].host)
      assert.truthy(seen[1].text:find("x-a: b\nx-a: c", 1, true))
    end)
  end)

  -- libcurl leaves out a field with blanks alone.
  it("go out without the blanks around a value, and also when that is nothing", function()
    run(function(c)
      local server <close>, seen = recording(c)
      assert(client.get(c, server:url(), { headers = { A = "", B = " ", C = "\t", D = " d e\t",
        E = false, F = { " f " } } }))
      assert.truthy(seen[1].text:find("a:\nb:\nc:\nd: d e\nf: f", 1, true), seen[1].text)
    end)
  end)
end)

describe("a body from a function", function()
  it("needs a length where HTTP knows no chunks", function()
    run(function(c)
      misuse.raises(function()
        client.post(c, "http://h/", function() end, { http_version = "1.0" })
      end, "options.length", "HTTP/1.0")
      local own <close> = client.new { http_version = "1.0" }
      misuse.raises(function() own:post(c, "http://h/", function() end) end, "options.length")
      local server <close>, seen = recording(c)
      assert(own:post(c, server:url(), function() end, { length = 0 }))
      assert.truthy(seen[1].line:find("HTTP/1.0", 1, true))
    end)
  end)

  it("cannot go to a server that has turned out not to know chunks: ENOTSUP", function()
    run(function(c)
      local server <close> = recording(c, function()
        return "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
      end)
      local own <close> = client.new()
      assert(own:get(c, server:url()))
      local got, err = own:post(c, server:url(), function() end)
      assert.is_nil(got)
      assert.equal("ENOTSUP", err.code)
    end)
  end)
end)

describe("the options that name where to connect", function()
  -- The message named a proxy's syntax, and the code a server that refuses or has no name.
  it("are checked at the caller's line", function()
    run(function(c)
      for _, proxy in ipairs { "::::", "foo://h:1", "http://", "http://a b", "h:99999", "x\ny" } do
        misuse.raises(function() client.get(c, "http://h/", { proxy = proxy }) end,
          "options.proxy", "socks5h")
      end
      local _, direct = client.get(c, "http://[::1]:1/") -- there may be no IPv6 here
      for proxy, code in pairs { ["127.0.0.1:1"] = "ECONNREFUSED",
        ["http://u:p@127.0.0.1:1"] = "ECONNREFUSED", ["HTTP://[::1]:1"] = direct.code,
        ["socks5h://127.0.0.1:1"] = "ECONNREFUSED", ["socks4a://127.0.0.1:1"] = "ECONNREFUSED" } do
        local got, err = client.get(c, "http://127.0.0.1:1/", { proxy = proxy })
        assert.is_nil(got)
        assert.equal(code, err.code, proxy)
      end
    end)
  end)

  it("have a code for a path that is too long", function()
    run(function(c)
      local got, err = client.get(c, "http://h/", { unix = "/" .. ("a"):rep(200) })
      assert.is_nil(got)
      assert.equal("ENAMETOOLONG", err.code)
    end)
  end)
end)

describe("a URL", function()
  it("goes out with what no URL holds as %XX, and else as it is", function()
    run(function(c)
      local server <close>, seen = recording(c)
      for text, path in pairs {
        ["/gr\xc3\xbc?q=\xff"] = "/gr%C3%BC?q=%FF", ['/"<>\\^`{|}?a="|'] =
          "/%22%3C%3E%5C%5E%60%7B%7C%7D?a=%22%7C", ["/%zz%4?%"] = "/%zz%4?%",
        ["/a;b=c,d/@:!$&'()*+~?e=[f]/?g"] = "/a;b=c,d/@:!$&'()*+~?e=[f]/?g",
      } do
        assert.equal(server:url(path), assert(client.get(c, server:url(text))).url)
        assert.equal(path, seen[#seen].path)
      end
    end)
  end)

  -- libcurl takes the first segment of the path for a host.
  it("has a host, or is an error", function()
    run(function(c)
      for _, url in ipairs { "http:///x", "http:x", "http:/x", "http://", "http://?q", "http://#f",
        "http:////x", "HTTPS:///x", "http://:80/", "http://user@/", "http:\\\\x", "http://\\x",
        "http://h\\@x/", "http://h\\/", "http://h{}/", "https://a|b@x/", 'http://"h"/' } do
        local got, err = client.get(c, url)
        assert.is_nil(got)
        assert.equal("EINVAL", err.code, url)
      end
    end)
  end)

  it("of a redirection has one, too", function()
    run(function(c)
      local location
      local server <close>, seen = recording(c, function()
        return ("HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"):format(location)
      end)
      for _, text in ipairs { "http:///x", "///x", "http:x", "//h\\@x/", "http://h\\@x/" } do
        location = text
        local got, err = client.get(c, server:url())
        assert.is_nil(got)
        assert.equal("EINVAL", err.code, text)
      end
      assert.equal(5, #seen)
    end)
  end)

  it("that is empty leads nowhere: the redirection is the response", function()
    run(function(c)
      for _, text in ipairs { "", " ", "\t" } do
        local server <close>, seen = recording(c, function()
          return ("HTTP/1.1 302 x\r\nLocation:%s\r\nContent-Length: 0\r\n\r\n"):format(text)
        end)
        assert.equal(302, assert(client.get(c, server:url "/a/b")).status)
        assert.equal(1, #seen)
      end
    end)
  end)
end)

-- A lookup that was given up keeps its permit for a while. One that waited for it had none until
-- another request came along and counted: now a timer gives them back.
describe("permits for lookups", function()
  local shared = core.shared("ctx.http.lookups")

  --- Takes all permits, gives their lookups up, lets `meanwhile` happen, and waits for as many.
  local function give_all_up(c, late_ms, meanwhile)
    local usual, taken = shared.late_ms, 0
    shared.late_ms = late_ms
    while shared.permits:try_acquire() do
      taken = taken + 1
    end
    for _ = 1, taken do
      lookups.give_up()
    end
    meanwhile()
    for _ = 1, taken do
      assert(lookups.acquire(c))
    end
    assert.is_false(shared.permits:try_acquire())
    for _ = 1, taken do
      lookups.release()
    end
    shared.late_ms = usual
  end

  it("come back by themselves", function()
    run(function(c) give_all_up(c, 30, function() end) end)
  end)

  it("come back also if a program has closed all handles", function()
    run(function(c) give_all_up(c, 1, function() shared.timer:close() end) end)
  end)
end)
