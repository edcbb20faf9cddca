-- SPDX-License-Identifier: MIT
-- How long a connection lives: the hint that goes out, and limits of requests and of age. Without
-- them a client sends a request into the end, and one that keeps its connections never comes to a
-- new replica.
local bed = require "spec.support.http"
local http = require "ctx.http"

local function handler(req, res)
  return res:finish(req.ctx, req.path)
end

describe("Keep-Alive", function()
  it("tells the whole seconds of idle_timeout less one", function()
    for _, case in ipairs { { nil, "timeout=119" }, { 5000, "timeout=4" }, { 5999, "timeout=4" },
      { 2000, "timeout=1" }, { 1999, nil }, { 1, nil }, { math.huge, nil }, { 1e12,
        "timeout=999999999" } } do
      bed.with(handler, function(client)
        assert.equal(case[2], client:get().headers["keep-alive"])
        local old = client:ask("GET / HTTP/1.0", "Host: h", "Connection: keep-alive")
        assert.same({ case[2], "keep-alive" }, { old.headers["keep-alive"],
          old.headers.connection })
      end, { idle_timeout = case[1] })
    end
  end)

  it("is not told where the connection ends", function()
    bed.with(handler, function(client)
      local answer = client:get("/", "Connection: close")
      assert.same({ nil, "close" }, { answer.headers["keep-alive"], answer.headers.connection })
    end)
    bed.with(handler, function(client)
      assert.is_nil(client:ask("GET / HTTP/1.0", "Host: h").headers["keep-alive"])
    end)
    bed.with(handler, function(client)
      client:send("GARBAGE\r\n\r\n")
      assert.is_nil(client:answer().headers["keep-alive"])
    end)
  end)

  it("is the program's if that has set one", function()
    bed.with(function(_, res) res.headers["keep-alive"] = "timeout=1, max=5" end, function(client)
      assert.equal("timeout=1, max=5", client:get().headers["keep-alive"])
    end)
  end)

  it("is told by the server's own answers that keep the connection", function()
    bed.with(handler, function(client, b)
      assert.equal("timeout=119", client:ask("OPTIONS * HTTP/1.1", "Host: h").headers["keep-alive"])
      b.server.limits.max_requests = 0
      assert.equal("timeout=119", client:get().headers["keep-alive"])
    end)
  end)
end)

describe("max_requests_per_connection", function()
  it("ends the connection with the last response, which says so", function()
    bed.with(handler, function(client, b)
      for i = 1, 3 do
        local answer = client:get()
        assert.equal(i == 3 and "close" or nil, answer.headers.connection)
      end
      assert.is_nil((client:answer()))
      b:wait_empty()
      local other <close> = b:connect()
      assert.is_nil(other:get().headers.connection)
    end, { max_requests_per_connection = 3 })
  end)

  it("of 1 is a connection for each request, whatever it is and however it is answered", function()
    for _, ask in ipairs {
      function(client) return client:get() end,
      function(client) return client:ask("GET / HTTP/1.0", "Host: h", "Connection: keep-alive") end,
      function(client) return client:ask("OPTIONS * HTTP/1.1", "Host: h") end,
      function(client, b)
        b.server.limits.max_requests = 0
        return client:get()
      end,
    } do
      bed.with(handler, function(client, b)
        local answer = ask(client, b)
        assert.equal("close", answer.headers.connection)
        assert.is_nil((client:answer()))
      end, { max_requests_per_connection = 1 })
    end
  end)

  it("does not answer what was sent behind the last one", function()
    local seen = 0
    bed.with(function(req, res)
      seen = seen + 1
      return res:finish(req.ctx, "x")
    end, function(client)
      client:send(("GET / HTTP/1.1\r\nHost: h\r\n\r\n"):rep(5))
      assert.is_nil(client:answer().headers.connection)
      assert.equal("close", client:answer().headers.connection)
      assert.is_nil((client:answer()))
      assert.equal(2, seen)
    end, { max_requests_per_connection = 2 })
  end)
end)

describe("max_connection_age", function()
  it("ends the connection with the first response after it", function()
    bed.with(handler, function(client, b)
      assert.is_nil(client:get().headers.connection)
      b.clock:advance(999)
      assert.is_nil(client:get().headers.connection)
      b.clock:advance(1)
      assert.equal("close", client:get().headers.connection)
      assert.is_nil((client:answer()))
    end, { max_connection_age = 1000 }, true)
  end)

  it("counts from the begin of the connection, and cuts no response that takes longer", function()
    bed.with(function(req, res)
      res:write(req.ctx, "one ")
      require("ctx").sleep(req.ctx, 5000)
      return res:finish(req.ctx, "two")
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      client:settle()
      b.clock:advance(5000)
      local answer = client:answer()
      assert.same({ "one two", nil }, { answer.body, answer.headers.connection })
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      client:settle()
      b.clock:advance(5000)
      assert.equal("close", client:answer().headers.connection)
    end, { max_connection_age = 1000 }, true)
  end)

  it("leaves an idle connection alone: a request may be on its way", function()
    bed.with(handler, function(client, b)
      client:get()
      b.clock:advance(60000)
      client:settle()
      assert.equal(1, b.server:stats().connections)
      assert.equal("close", client:get().headers.connection)
    end, { max_connection_age = 1000 }, true)
  end)

  it("is a time, the other one a count", function()
    for option, values in pairs { max_connection_age = { 0, -1, "1", 0 / 0 },
      max_requests_per_connection = { 0, 1.5, "1", -1 } } do
      for _, value in ipairs(values) do
        local ok, err = pcall(http.server, { handler = print, [option] = value })
        assert.is_false(ok)
        assert.truthy(err:find("options." .. option .. ": ", 1, true), err)
      end
      http.server { handler = print, [option] = math.huge }:close()
    end
  end)
end)

describe("OPTIONS *", function()
  it("is 200 with a length of 0, before any handler, and the connection goes on", function()
    local seen = 0
    bed.with(function(req, res)
      seen = seen + 1
      return res:finish(req.ctx, "x")
    end, function(client, b)
      for _ = 1, 2 do
        local answer = client:ask("OPTIONS * HTTP/1.1", "Host: h")
        assert.same({ 200, "0", "" }, { answer.status, answer.headers["content-length"],
          answer.body })
        assert.truthy(answer.headers.date)
        assert.is_nil(answer.headers["content-type"])
      end
      assert.equal("x", client:get().body)
      assert.equal("x", client:ask("OPTIONS / HTTP/1.1", "Host: h").body)
      assert.equal(2, seen)
      assert.equal(0, #b.errors)
    end)
  end)

  it("comes in its turn among others", function()
    bed.with(handler, function(client)
      client:send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"):rep(300),
        "GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("/a", client:answer().body)
      for _ = 1, 300 do
        assert.equal(200, client:answer().status)
      end
      assert.equal("/b", client:answer().body)
    end)
  end)

  it("is answered in HTTP/1.0, with a body, and at the end of the server", function()
    bed.with(handler, function(client)
      local answer = client:ask("OPTIONS * HTTP/1.0", "Host: h")
      assert.same({ 200, 0, "close" }, { answer.status, answer.minor, answer.headers.connection })
      assert.is_nil((client:answer()))
    end)
    bed.with(handler, function(client)
      client:send("OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
      assert.equal(200, client:answer().status)
      assert.is_nil((client:answer()))
    end)
  end)
end)
