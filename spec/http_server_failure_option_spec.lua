-- SPDX-License-Identifier: MIT
-- The option `failure`: one place that writes every answer which no handler gives. A middleware
-- could reach neither the router's 405 nor a deadline's 503 nor the server's own 408 and 431, so
-- the errors of an API in JSON were plain texts here and there.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local reports = require "spec.support.reports"

--- Answers in JSON by hand, and notes what it was told in `seen`.
local function telling(seen)
  return function(req, res, status, message, err)
    table.insert(seen, { req = req, status = status, message = message, err = err, res = res,
      c = res.ctx, err_of_c = res.ctx:err(), left = res.ctx:remaining() })
    res.headers["Content-Type"] = "text/x-told"
    return res:finish(res.ctx, ("%d %s|"):format(status, message))
  end
end

local function router()
  local routes = http.router()
  routes:get("/a", function(req, res) return res:finish(req.ctx, "a") end)
  routes:get("/raises", function() error("oops", 0) end)
  routes:get("/returns", function() return nil, http.failure(409, "sold out", "stock") end)
  routes:get("/text", function() return "text" end)
  routes:get("/half", function(req, res)
    res:write(req.ctx, "half")
    error("oops", 0)
  end)
  routes:get("/late", function(req) return nil, req.ctx:wait() end)
  routes:get("/file/{path...}", function() end)
  routes:post("/body", function(req)
    local body, err = req:body()
    return body and nil, err
  end)
  return routes
end

local function with(fn, options, fake)
  local seen = {}
  local given = { handler = router():handler(), failure = telling(seen) }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  return bed.run(given, function(b)
    local client <close> = b:connect()
    fn(client, b, seen)
  end, fake)
end

local function is_told(answer, status, message)
  assert.same({ status, ("%d %s|"):format(status, message), "text/x-told" },
    { answer.status, answer.body, answer.headers["content-type"] })
end

describe("the server's failure", function()
  it("writes the answers of the router and of handlers that fail; the connection goes on",
    function()
    with(function(client, b, seen)
      is_told(client:get("/none"), 404, "not found")
      local answer = client:ask("DELETE /a HTTP/1.1", "Host: h")
      is_told(answer, 405, "method not allowed")
      assert.equal("GET, HEAD", answer.headers.allow)
      is_told(client:get("/file/../x"), 400, "the path has a segment of dots in {path}")
      is_told(client:get("/returns"), 409, "sold out")
      is_told(client:get("/raises"), 500, "Internal Server Error")
      is_told(client:get("/text"), 500, "Internal Server Error")
      assert.equal("a", client:get("/a").body)
      assert.equal("/none", seen[1].req.path)
      assert.is_nil(seen[1].err)
      assert.truthy(errors.is(seen[4].err, "stock"))
      assert.equal("oops", seen[5].err)
      assert.equal(2, #b.errors) -- the two defects
    end)
  end)

  it("has a context of its own, with the request's values, for a second", function()
    with(function(client, b, seen)
      client:send("GET /late HTTP/1.1\r\nHost: h\r\nX-Request-ID: 77\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      client:settle()
      b.clock:advance(500)
      is_told(client:answer(), 503, "the request took too long")
      assert.equal(ctx.deadline_exceeded, seen[1].req.ctx:err())
      assert.same({ nil, 1000 }, { seen[1].err_of_c, seen[1].left })
      assert.equal("77", http.request_id.of(seen[1].c))
      assert.is_nil(seen[1].res.ctx) -- only within
      assert.truthy(seen[1].c:err())
    end, { request_timeout = 500, handler = http.chain(router():handler(), http.request_id()) },
      true)
  end)

  it("keeps the id of the request", function()
    with(function(client)
      local answer = client:get("/none", "X-Request-ID: 77")
      is_told(answer, 404, "not found")
      assert.equal("77", answer.headers["x-request-id"])
    end, { handler = http.chain(router():handler(), http.request_id()) })
  end)

  it("comes behind the router's not_found", function()
    local routes = router()
    routes:not_found(function(req, res) return res:finish(req.ctx, "nowhere") end)
    with(function(client, _, seen)
      assert.equal("nowhere", client:get("/none").body)
      assert.equal(0, #seen)
    end, { handler = routes:handler() })
  end)

  -- Each: what the client sends, the status, the message, whether a head was read.
  for name, case in pairs {
    ["bytes that are no HTTP"] = { "GARBAGE\r\n\r\n", 400, false },
    ["a head that is too large"] = { "GET / HTTP/1.1\r\nX: " .. ("x"):rep(300) .. "\r\n\r\n", 431,
      false },
    ["a target that is too long"] = { "GET /" .. ("x"):rep(300) .. " HTTP/1.1\r\n\r\n", 414,
      false },
    ["another version"] = { "GET / HTTP/1.7\r\nHost: h\r\n\r\n", 505, false },
    ["a target that makes no sense"] = { "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, true },
    ["an expectation"] = { "GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417, true },
    ["too many requests"] = { "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 503, true },
  } do
    it("writes the server's own answer to " .. name, function()
      with(function(client, b, seen)
        if case[2] == 503 then
          b.server.limits.max_requests = 0
        end
        client:send(case[1])
        local answer = client:answer()
        assert.same({ case[2], "text/x-told" }, { answer.status, answer.headers["content-type"] })
        assert.equal(case[3], seen[1].req ~= nil)
        if case[2] == 503 then
          assert.equal("1", answer.headers["retry-after"])
          b.server.limits.max_requests = math.huge
          assert.equal("a", client:get("/a").body)
        else
          assert.equal("close", answer.headers.connection)
          assert.equal("", (client:rest()))
        end
        local stats = b.server:stats()
        assert.same({ 1, 0 }, { stats.refused, stats.requests })
      end, { max_head = 200, max_target = 200 })
    end)
  end

  it("writes the 413 of a body that the head announces, and that of one in chunks", function()
    with(function(client, _, seen)
      client:send("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nabc")
      is_told(client:answer(), 413, "the body is too large")
      assert.is_nil(seen[1].req) -- llhttp's head was refused
    end, { max_body = 10 })
    with(function(client, _, seen)
      client:send("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "b\r\n01234567890\r\n0\r\n\r\n")
      is_told(client:answer(), 413, "the body is too large")
      assert.equal("/body", seen[1].req.path)
    end, { max_body = 10 })
  end)

  it("writes the 408 of half a head, and the 503 of one connection too many", function()
    with(function(client, b, seen)
      client:send("GET / HTTP/1.1\r\n")
      client:settle()
      b.clock:advance(100)
      is_told(client:answer(), 408, "the head of the request did not come in time")
      assert.is_nil(seen[1].req)
    end, { read_header_timeout = 100 }, true)
    with(function(client, b)
      assert.equal("a", client:get("/a").body)
      local other <close> = b:connect()
      local answer = other:answer()
      is_told(answer, 503, "too many connections")
      assert.equal("1", answer.headers["retry-after"])
      assert.equal("a", client:get("/a").body)
    end, { max_connections = 1 })
  end)

  it("answers HEAD without a body", function()
    with(function(client)
      local answer = client:ask("HEAD /none HTTP/1.1", "Host: h")
      assert.same({ 404, "14", "" }, { answer.status, answer.headers["content-length"],
        answer.body })
      assert.equal("a", client:get("/a").body)
    end)
  end)

  it("is written into the buffer of http.timeout, too", function()
    with(function(client)
      is_told(client:get("/none"), 404, "not found")
      assert.equal("a", client:get("/a").body)
    end, { handler = http.chain(router():handler(), http.timeout(60000)) })
  end)

  -- What had finished without a body was taken for no answer, and its headers were lost.
  for name, wrap in pairs { ["by itself"] = function(handler) return handler end,
    ["in the buffer of http.timeout"] = http.timeout(60000) } do
    it("may have headers alone, " .. name, function()
      with(function(client, b)
        local answer = client:get("/none")
        assert.same({ 404, "", "yes" }, { answer.status, answer.body, answer.headers["x-told"] })
        assert.equal(405, client:ask("DELETE /a HTTP/1.1", "Host: h").status)
        assert.equal("a", client:get("/a").body)
        assert.equal(0, #b.errors)
      end, { handler = wrap(router():handler()), failure = function(_, res)
        res.headers["X-Told"] = "yes"
        return res:finish(res.ctx)
      end })
    end)
  end

  it("has nothing to say when the head is out", function()
    with(function(client, _, seen)
      client:send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.truthy((client:rest()):find("half", 1, true))
      assert.equal(0, #seen)
    end)
  end)

  -- Each does not answer: the built-in text goes out, whatever it has set.
  for name, way in pairs {
    ["raises"] = function(_, res)
      res.headers["X-Half"], res.status = "x", 299
      error("worse", 0)
    end,
    ["sends nothing"] = function(_, res) res.headers["X-Half"], res.status = "x", 299 end,
    ["returns a text"] = function() return "sorry" end,
    ["is too slow"] = function(_, res)
      res.ctx:wait()
      return res:finish(res.ctx, "late")
    end,
    ["sends what cannot be sent"] = function(_, res)
      res.headers.X = "a\nb"
      return res:finish(res.ctx, "x")
    end,
  } do
    it("that " .. name .. " leaves the plain text", function()
      local list = reports(function()
        with(function(client)
          for _, case in ipairs { { "/none", 404, "not found\n" },
            { "/returns", 409, "sold out\n" } } do
            local answer = client:get(case[1])
            assert.same({ case[2], case[3], "text/plain; charset=utf-8" },
              { answer.status, answer.body, answer.headers["content-type"] })
            assert.is_nil(answer.headers["x-half"])
          end
          client:send("GARBAGE\r\n\r\n")
          assert.equal(400, client:answer().status)
        end, { failure = way, failure_timeout = 20 })
      end)
      local told = ({ raises = "failure failed: ", ["returns a text"] = "failure: ",
        ["sends what cannot be sent"] = "failure failed: " })[name]
      assert.equal(told and 3 or 0, #list)
      if told then
        assert.equal("ctx.http: " .. told, list[1].message:sub(1, #told + 10))
      end
    end)
  end

  it("that writes and does not finish is finished", function()
    with(function(client)
      local answer = client:get("/none")
      assert.same({ 404, "one two" }, { answer.status, answer.body })
      assert.equal("a", client:get("/a").body)
    end, { failure = function(_, res)
      res:write(res.ctx, "one ")
      res:write(res.ctx, "two")
    end })
  end)

  it("that raises after it began cuts the connection", function()
    reports(function()
      with(function(client)
        client:send("GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
        assert.is_nil((client:rest()):find("\r\n0\r\n\r\n", 1, true))
      end, { failure = function(_, res)
        res:write(res.ctx, "one ")
        error("worse", 0)
      end })
    end)
  end)

  it("holds up neither the server's end nor its connections", function()
    with(function(client, b)
      for _ = 1, 20 do
        local other <close> = b:connect()
        other:send("GARBAGE\r\n\r\n")
        assert.equal(400, other:answer().status)
      end
      assert.equal("a", client:get("/a").body)
      assert.is_true((b.server:shutdown(b.c)))
      assert.equal(0, b.server:stats().connections)
    end)
  end)

  it("is a function, and its time is a time", function()
    for option, value in pairs { failure = "x", failure_timeout = 0 } do
      local ok, err = pcall(http.server, { handler = print, [option] = value })
      assert.is_false(ok)
      assert.truthy(err:find("options." .. option .. ": ", 1, true), err)
    end
  end)
end)
