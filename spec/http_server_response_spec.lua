-- SPDX-License-Identifier: MIT
-- Responses: how they are framed, what cannot be sent, and what becomes of handlers that fail.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local reports = require "spec.support.reports"

local function line_here()
  return debug.getinfo(2, "l").currentline
end

--- Runs fn(client, bed, seen) with a handler(req, res, seen).
local function with(handler, fn)
  local seen = {}
  return bed.run({ handler = function(req, res)
    return handler(req, res, seen)
  end }, function(b)
    local client <close> = b:connect()
    fn(client, b, seen)
  end)
end

local function framing(answer)
  local fields = answer.headers
  return fields["content-length"] or fields["transfer-encoding"] or "none"
end

describe("a response in one piece", function()
  it("has its length, the date, and nothing about the connection", function()
    with(function(req, res)
      res:finish(req.ctx, "hello")
    end, function(client)
      local answer = client:get()
      assert.same({ 200, "OK", 1, "5", "hello" },
        { answer.status, answer.reason, answer.minor, framing(answer), answer.body })
      assert.truthy(answer.headers.date:find("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$"))
      assert.is_nil(answer.headers.connection)
    end)
  end)

  it("is empty when the handler says nothing", function()
    with(function() end, function(client)
      local answer = client:get()
      assert.same({ 200, "0", "" }, { answer.status, framing(answer), answer.body })
    end)
  end)

  it("has no body and the same head for HEAD", function()
    with(function(req, res)
      res:finish(req.ctx, "hello")
    end, function(client)
      client:send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("5", framing(client:answer("HEAD")))
      assert.equal("hello", client:get().body)
    end)
  end)

  it("names for HEAD the length that the program names", function()
    with(function(_, res)
      res.headers["Content-Length"] = 1234
    end, function(client)
      assert.equal("1234", framing(client:ask("HEAD / HTTP/1.1", "Host: h")))
      assert.equal("1234", framing(client:ask("HEAD / HTTP/1.1", "Host: h")))
    end)
  end)

  it("has neither body nor length with 204, and keeps a length with 304", function()
    with(function(req, res)
      res.status = tonumber(req.path:sub(2))
      res.headers["Content-Length"] = req.query.length
      res:finish(req.ctx, "lost")
    end, function(client)
      assert.same({ 204, "none" }, { client:get("/204").status, framing(client:get("/204")) })
      assert.equal("none", framing(client:get("/204?length=4")))
      assert.equal("none", framing(client:get("/304")))
      assert.equal("4", framing(client:get("/304?length=4")))
      assert.equal("lost", client:get("/200").body)
    end)
  end)
end)

describe("a response in several pieces", function()
  local function pieces(req, res)
    res.headers["Content-Length"] = req.query.length
    for _, piece in ipairs { "one ", "", "two ", "three" } do
      assert(res:write(req.ctx, piece))
    end
  end

  it("is chunked in 1.1", function()
    with(pieces, function(client)
      for _ = 1, 2 do
        local answer = client:get()
        assert.same({ "chunked", "one two three" }, { framing(answer), answer.body })
      end
    end)
  end)

  it("ends with the connection in 1.0", function()
    with(pieces, function(client)
      local answer = client:ask("GET / HTTP/1.0", "Connection: keep-alive")
      assert.same({ "none", "close", "one two three" },
        { framing(answer), answer.headers.connection, answer.body })
    end)
  end)

  it("has the length that the headers name, and keeps a 1.0 connection with it", function()
    with(pieces, function(client)
      local answer = client:get("/?length=13")
      assert.same({ "13", "one two three" }, { framing(answer), answer.body })
      answer = client:ask("GET /?length=13 HTTP/1.0", "Connection: keep-alive")
      assert.same({ "keep-alive", "one two three" }, { answer.headers.connection, answer.body })
      assert.equal(200, client:get().status)
    end)
  end)

  it("says chunked to HEAD, and sends nothing", function()
    with(pieces, function(client)
      client:send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("chunked", framing(client:answer("HEAD")))
      assert.equal("one two three", client:get().body)
    end)
  end)

  it("does not get longer than its length: that raises where it is written", function()
    local line
    with(function(req, res)
      res.headers["Content-Length"] = "3"
      res:write(req.ctx, "abc")
      line = line_here() + 1
      res:write(req.ctx, "d")
    end, function(client, b)
      local answer = client:get()
      assert.equal("abc", answer.body)
      assert.equal("", client:rest())
      assert.equal(1, #b.errors)
      assert.truthy(tostring(b.errors[1].err):find(":" .. line .. ": bad argument #2 to 'write' "
        .. "(data: the Content-Length is 3, and this would make it 4)", 1, true))
    end)
  end)

  it("that ends too early ends the connection, and is an error", function()
    with(function(req, res)
      res.headers["Content-Length"] = "3"
      res:write(req.ctx, "ab")
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.truthy(client:rest():find("\r\n\r\nab$"))
      assert.equal("the Content-Length is 3, and only 2 bytes were written",
        tostring(b.errors[1].err))
    end)
  end)
end)

describe("what must not be sent", function()
  local cases = {
    { "a line break in a value", { X = "a\r\nSet-Cookie: b" }, "header X: " },
    { "a bare CR", { X = "a\rb" }, "header X: " },
    { "a zero byte", { X = "a\0b" }, "header X: " },
    { "another control character", { X = "a\27b" }, "header X: " },
    { "DEL", { X = "a\127" }, "header X: " },
    { "a line break in a list", { X = { "a", "b\n" } }, "header X: " },
    { "a name that is no token", { ["X Y"] = "a" }, "header X Y: " },
    { "an empty name", { [""] = "a" }, "header : " },
    { "a line break in a name", { ["X: y\r\nZ"] = "a" }, "not the name of a header" },
    { "a name that is a number", { "a" }, "header 1: " },
    { "a value that is a boolean", { X = true }, "header X: " },
    { "a framing of one's own", { ["Transfer-Encoding"] = "chunked" },
      "header Transfer-Encoding: " },
    { "a length that is none", { ["Content-Length"] = "+5" }, "header Content-Length: " },
    { "a wrong length", { ["Content-Length"] = 6 }, "header Content-Length: " },
    { "two lengths", { ["Content-Length"] = 5, ["content-length"] = 6 }, "ontent-" },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. " raises where it is sent, and nothing is", function()
      local line
      with(function(req, res)
        res.headers = case[2]
        line = line_here() + 1
        res:finish(req.ctx, "hello")
      end, function(client, b)
        local answer = client:get()
        assert.same({ 500, "Internal Server Error\n" }, { answer.status, answer.body })
        local err = tostring(b.errors[1].err)
        assert.truthy(err:find("http_server_response_spec.lua:" .. line .. ": ", 1, true), err)
        assert.truthy(err:find(case[3], 1, true), err)
        assert.equal(500, client:get().status)
      end)
    end)
  end

  it("a handler that returns with such headers is answered for, too", function()
    with(function(_, res)
      res.headers.X = "a\nb"
    end, function(client, b)
      assert.equal(500, client:get().status)
      assert.equal(1, #b.errors)
      assert.equal(500, client:get().status)
    end)
  end)

  for _, status in ipairs { 99, 1000, 200.5, "200", 100, 101, 199 } do
    it("no status " .. tostring(status), function()
      with(function(req, res)
        res.status = status
        res:finish(req.ctx)
      end, function(client, b)
        assert.equal(500, client:get().status)
        assert.truthy(tostring(b.errors[1].err):find("res.status: ", 1, true))
      end)
    end)
  end
end)

describe("headers", function()
  it("stand on several lines as a list, and numbers as their text", function()
    with(function(_, res)
      res.headers["Set-Cookie"] = { "a=1", "b=2" }
      res.headers["X-Number"] = 7
      res.headers.Date = "mine"
      res.headers["X-Text"] = "caf\xe9\tau lait"
    end, function(client)
      local fields = client:get().headers
      assert.same({ "a=1 | b=2", "7", "mine", "caf\xe9\tau lait" },
        { fields["set-cookie"], fields["x-number"], fields.date, fields["x-text"] })
    end)
  end)

  it("close the connection with Connection: close", function()
    with(function(_, res)
      res.headers.connection = "close"
    end, function(client)
      assert.equal("close", client:get().headers.connection)
      assert.equal("", client:rest())
    end)
  end)
end)

describe("an informational response", function()
  it("comes before the real one, as often as the handler likes", function()
    with(function(req, res)
      assert(res:inform(req.ctx, 103, { Link = { "</a>", "</b>" } }))
      assert(res:inform(req.ctx, 102))
      res:finish(req.ctx, "real")
    end, function(client)
      local early = client:get()
      assert.same({ 103, "</a> | </b>", "none" },
        { early.status, early.headers.link, framing(early) })
      assert.equal(102, client:answer().status)
      assert.equal("real", client:answer().body)
    end)
  end)

  it("does not go to 1.0, nor behind the head; 101 and others raise", function()
    with(function(req, res, seen)
      seen.old = { res:inform(req.ctx, 103) }
      res:write(req.ctx, "x")
      seen.late = { res:inform(req.ctx, 103) }
      for i, status in ipairs { 101, 200, 99 } do
        seen[i] = { pcall(res.inform, res, req.ctx, status) }
      end
    end, function(client, _, seen)
      assert.equal("x", client:ask("GET / HTTP/1.0").body)
      assert.is_nil(seen.old[1])
      assert.is_nil(seen.late[1])
      for i = 1, 3 do
        assert.truthy(tostring(seen[i][2]):find("bad argument #2 to 'inform'", 1, true))
      end
    end)
  end)
end)

describe("a write", function()
  it("fails behind the end", function()
    with(function(req, res, seen)
      res:finish(req.ctx, "x")
      seen.write = { res:write(req.ctx, "y") }
      seen.finish = { res:finish(req.ctx, "y") }
    end, function(client, b, seen)
      assert.equal("x", client:get().body)
      b:wait_until(function() return seen.finish end)
      assert.equal("write: the response is finished", tostring(seen.write[2]))
      assert.equal("finish: the response is finished", tostring(seen.finish[2]))
      assert.equal("x", client:get().body)
    end)
  end)

  it("does nothing under a context that is done, and another can go on", function()
    with(function(req, res, seen)
      local c, cancel <close> = ctx.with_cancel(req.ctx)
      cancel("enough")
      seen.write = { res:write(c, "lost") }
      seen.finish = { res:finish(c, "lost") }
      assert(res:finish(req.ctx, "kept"))
    end, function(client, _, seen)
      assert.equal("kept", client:get().body)
      assert.equal("context canceled: enough", tostring(seen.write[2]))
      assert.is_true(errors.is(seen.finish[2], ctx.canceled))
    end)
  end)

  it("knows what it needs", function()
    with(function(req, res, seen)
      for i, args in ipairs { { nil, "x" }, { req.ctx }, { req.ctx, 5 } } do
        seen[i] = select(2, pcall(res.write, res, args[1], args[2]))
      end
    end, function(client, _, seen)
      client:get()
      assert.truthy(seen[1]:find("bad argument #1 to 'write' (c: a context expected", 1, true))
      assert.truthy(seen[2]:find("bad argument #2 to 'write' (data: a string expected", 1, true))
      assert.truthy(seen[3]:find("bad argument #2 to 'write' (data: a string expected", 1, true))
    end)
  end)
end)

describe("a handler that fails", function()
  local object = setmetatable({}, { __tostring = function() return "an object" end })
  local ways = {
    raises = function() error("oops", 0) end,
    ["raises an object"] = function() error(object) end,
    ["raises nil"] = function() error(nil) end,
    ["returns nil and an error"] = function() return nil, "oops" end,
    ["returns false and an error"] = function() return false, object end,
  }
  for name, way in pairs(ways) do
    it(name .. " before the head: 500, a report, and the connection goes on", function()
      with(function(req, res)
        res.headers["X-Secret"] = "x"
        if req.path == "/fail" then
          return way()
        end
      end, function(client, b)
        for i = 1, 2 do
          local answer = client:get("/fail")
          assert.same({ 500, "Internal Server Error\n" }, { answer.status, answer.body })
          assert.is_nil(answer.headers["x-secret"])
          assert.equal(i, #b.errors)
          assert.equal("/fail", b.errors[i].req.path)
          assert.equal(name:find("^raises") ~= nil, b.errors[i].trace ~= nil)
        end
        assert.equal(200, client:get().status)
      end)
    end)
  end

  it("in the middle of the body: the connection ends, for all the client can see", function()
    with(function(req, res)
      res:write(req.ctx, "half")
      error("oops", 0)
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      local rest = client:rest()
      assert.truthy(rest:find("\r\n\r\n4\r\nhalf\r\n$"))
      assert.equal("oops", b.errors[1].err)
    end)
  end)

  it("behind the end: a report, and the connection goes on", function()
    with(function(req, res)
      res:finish(req.ctx, "whole")
      error("oops", 0)
    end, function(client, b)
      assert.equal("whole", client:get().body)
      assert.equal("whole", client:get().body)
      b:wait_until(function() return #b.errors == 2 end)
    end)
  end)

  it("with a status of its own, however deep: that, and no report", function()
    with(function(req)
      local failure = http.failure(404, "no such product", "sql: no rows")
      if req.path == "/raise" then
        error(errors.wrap(failure, "find"))
      end
      return nil, errors.wrap(failure, "find")
    end, function(client, b)
      for _, path in ipairs { "/", "/raise" } do
        local answer = client:get(path)
        assert.same({ 404, "no such product\n" }, { answer.status, answer.body })
        assert.same({ "text/plain; charset=utf-8", "nosniff" },
          { answer.headers["content-type"], answer.headers["x-content-type-options"] })
      end
      assert.equal(0, #b.errors)
      assert.equal("find: 404 Not Found: no such product: sql: no rows", b.records[1].error)
    end)
  end)

  it("with http.abort: the connection is cut, and nobody says why", function()
    with(function(req, res)
      if req.path == "/half" then
        res:write(req.ctx, "half")
      end
      error(http.abort)
    end, function(client, b)
      client:send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.truthy(client:rest():find("half\r\n$"))
      local other <close> = b:connect()
      other:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("", other:rest())
      assert.equal(0, #b.errors)
    end)
  end)

  it("of its deadline: 503, and no report", function()
    bed.run({ request_timeout = 100, handler = function(req)
      return ctx.sleep(req.ctx, 1000)
    end }, function(b)
      local client <close> = b:connect()
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      client:settle()
      b.clock:advance(100)
      assert.equal(503, client:answer().status)
      assert.equal(0, #b.errors)
      assert.equal(tostring(http.request_timeout), b.records[1].cause)
    end, true)
  end)

  it("is reported where nobody asked for it, also when the one who asked fails", function()
    for _, on_error in ipairs { false, function() error("worse", 0) end } do
      local list = reports(function()
        bed.run({ on_error = on_error or nil, handler = function() error("oops", 0) end,
          access_log = on_error and function() error("log", 0) end or nil }, function(b)
          if not on_error then
            b.server._on_error = nil
          end
          local client <close> = b:connect()
          assert.equal(500, client:get("/path").status)
          assert.equal(500, client:get("/path").status)
        end)
      end)
      local text = list[1].message
      assert.truthy(text:find("^ctx%.http: GET /path: " .. (on_error and "worse" or "oops")), text)
    end
  end)
end)

describe("http.error", function()
  it("answers with a text, in place of what was set", function()
    with(function(_, res)
      res.status, res.headers = 201, { ["Content-Length"] = "99" }
      assert(http.error(res, "gone", 410))
    end, function(client)
      local answer = client:get()
      assert.same({ 410, "gone\n", "5" }, { answer.status, answer.body, framing(answer) })
    end)
  end)
end)
