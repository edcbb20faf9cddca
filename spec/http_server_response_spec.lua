-- SPDX-License-Identifier: MIT
-- Responses: how they are framed, and what cannot be sent.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local garbage = require "spec.support.garbage"
local http = require "ctx.http"
local wire = require "ctx.http.wire"

local framing, with = bed.framing, bed.with

local function line_here()
  return debug.getinfo(2, "l").currentline
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
    { "a name with a blank", { ["X Y"] = "a" }, "header X Y: " },
    { "an empty name", { [""] = "a" }, "header : " },
    { "a line break in a name", { ["X: y\r\nZ"] = "a" }, "not the name of a header" },
    { "a name that is a number", { "a" }, "header 1: " },
    { "a value that is a boolean", { X = true }, "header X: " },
    { "a number that is infinite", { X = math.huge }, "header X: " },
    { "a number that is NaN", { X = { 0 / 0 } }, "header X: " },
    { "a framing of its own", { ["Transfer-Encoding"] = "chunked" },
      "header Transfer-Encoding: " },
    { "an invalid length", { ["Content-Length"] = "+5" }, "header Content-Length: " },
    { "a wrong length", { ["Content-Length"] = 6 }, "header Content-Length: " },
    { "two lengths", { ["Content-Length"] = 5, ["content-length"] = 6 }, "ontent-" },
    { "two lengths in a list", { ["Content-Length"] = { 5, 6 } }, "header Content-Length: " },
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
  -- They are counted and then written; what a finalizer had added in between was written past the
  -- end of the buffer.
  it("that a finalizer changes while they are read are refused, or go out whole", function()
    --- The head, with a change when the collector has come so often.
    local function changed_at(collection)
      local headers, seen = { ["X-A"] = 0.5, ["X-B"] = 1.5 }, 0 -- numbers become strings: garbage
      for i = 1, 30 do headers["Y-" .. i] = "" end
      local function arm()
        setmetatable({}, { __gc = function()
          seen = seen + 1
          if seen < collection then
            return arm()
          end
          for i = 1, 30 do headers["Y-" .. i] = "changed" end
        end })
      end
      arm()
      local head, err = garbage.during(wire.head, 200, "OK", headers, 5, true, 1, "now")
      return head and select(2, head:gsub("changed\r\n", "")), err
    end
    local refused = 0
    for collection = 1, 8 do
      local changed, err = changed_at(collection)
      assert.is_true(err == "changed while they were read" or changed == 0 or changed == 30)
      refused = refused + (err and 1 or 0)
    end
    assert.is_true(refused > 0)
  end)

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

  -- Its bytes were counted, so that another try was too much; a finish could not be tried again.
  it("that waits for another one and gives up has not happened", function()
    for _, name in ipairs { "write", "finish" } do
      local SIZE = 8000000
      with(function(req, res, seen)
        res.headers["Content-Length"] = name == "write" and SIZE + 5 or nil
        local first = ctx.go(res.write, res, req.ctx, ("x"):rep(SIZE))
        local c, cancel <close> = ctx.with_cancel(req.ctx)
        local second = ctx.go(res[name], res, c, "hello")
        ctx.sleep(req.ctx, 0)
        cancel("enough")
        seen.err = select(2, second:wait())
        seen.bytes, seen.finished = res.bytes, res.finished
        assert(first:wait())
        assert(res[name](res, req.ctx, "hello"))
      end, function(client, b, seen)
        client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        b:wait_until(function() return seen.err end)
        assert.same({ "context canceled: enough", SIZE, false },
          { tostring(seen.err), seen.bytes, seen.finished })
        assert.equal("xhello", client:answer().body:sub(-6))
        assert.equal(SIZE + 5, #client:get().body)
        assert.same({}, b.errors)
      end)
    end
  end)

  -- The status that was set later said that there was no body: too little of one was sent, and the
  -- next response was taken for the rest.
  it("goes by the status of the head", function()
    with(function(req, res)
      res.headers["Content-Length"] = 10
      res:write(req.ctx, "abc")
      res.status = 204
      res:finish(req.ctx, req.query.rest)
    end, function(client, b)
      assert.equal("abcdefghij", client:get("/?rest=defghij").body)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.truthy(client:rest():find("\r\n\r\nabc$"))
      assert.same({}, b.errors)
    end)
  end)

  it("that is too long is an error before the head is out", function()
    with(function(req, res)
      res.headers["Content-Length"] = 3
      res:write(req.ctx, "abcd")
    end, function(client)
      assert.equal(500, client:get().status)
      assert.equal(500, client:get().status)
    end)
  end)

  -- What sends nothing never had to wait: a handler that writes until the client leaves held the
  -- loop for ever, with one HEAD. Now such a write gives the others a turn.
  it("that sends nothing lets the server see that the client has gone", function()
    local MANY = 100000 -- instead of for ever
    for _, case in ipairs { { "HEAD", 200, "x" }, { "GET", 204, "x" }, { "GET", 200, "" } } do
      with(function(req, res, seen)
        res.status = case[2]
        seen.writes = 0
        while seen.writes < MANY and res:write(req.ctx, case[3]) do
          seen.writes = seen.writes + 1
        end
        seen.cause = req.ctx:cause()
      end, function(client, b, seen)
        client:send(case[1] .. " / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert.truthy(client.stream:read_line(client.c))
        client:close()
        b:wait_empty()
        assert.is_true(seen.writes < MANY)
        assert.is_true(errors.is(seen.cause, http.client_gone))
      end)
    end
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
