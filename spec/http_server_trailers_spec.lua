-- SPDX-License-Identifier: MIT
-- Trailers of responses: fields that are known only when the body has been made.
local bed = require "spec.support.http"
local http = require "ctx.http"

local function framing(answer)
  return answer.headers["content-length"] or answer.headers["transfer-encoding"]
end

describe("res.trailers", function()
  it("are sent behind the chunks of a body that is written in pieces", function()
    bed.with(function(req, res)
      res:write(req.ctx, "one ")
      res.trailers["X-Sum"] = 7
      res.trailers["x-more"] = { "a", "b" }
      return res:finish(req.ctx, "two")
    end, function(client)
      for _ = 1, 2 do
        local answer = client:get()
        assert.same({ "one two", "chunked", { ["x-sum"] = "7", ["x-more"] = "a | b" } },
          { answer.body, framing(answer), answer.trailers })
      end
    end)
  end)

  it("make a body chunked that is finished in one piece, or has nothing in it", function()
    for _, body in ipairs { "all", "" } do
      bed.with(function(req, res)
        res.trailers = { ["X-Sum"] = "7" } -- a plain table does, too
        return res:finish(req.ctx, body)
      end, function(client)
        local answer = client:get()
        assert.same({ body, "chunked", { ["x-sum"] = "7" } },
          { answer.body, framing(answer), answer.trailers })
        assert.equal(body, client:get().body)
      end)
    end
  end)

  it("are sent for a handler that only returns, and through http.timeout", function()
    local function handler(_, res) res.trailers.x = "y" end
    for _, each in ipairs { handler, http.chain(handler, http.timeout(60000)) } do
      bed.with(each, function(client)
        assert.same({ x = "y" }, client:get().trailers)
      end)
    end
  end)

  it("are read by the client", function()
    bed.run({ handler = function(req, res)
      res.trailers["X-Sum"] = "7"
      return res:finish(req.ctx, "all")
    end }, function(b)
      local port = b.server:address().port
      local got = assert(http.get(b.c, ("http://127.0.0.1:%d/"):format(port)))
      assert.same({ "all", "7" }, { got.body, got.trailers["x-sum"] })
    end)
  end)

  it("are left out where there are no chunks", function()
    bed.with(function(req, res)
      res.status = tonumber(req.query.status) or 200
      res.trailers.x = "y"
      return res:finish(req.ctx, "all")
    end, function(client, b)
      for _, status in ipairs { 204, 304 } do
        local answer = client:get("/?status=" .. status)
        assert.same({ status, "" }, { answer.status, answer.body })
      end
      assert.equal("", client:ask("HEAD / HTTP/1.1", "Host: h").body)
      local answer = client:ask("GET / HTTP/1.0", "Host: h")
      assert.same({ "all", "3" }, { answer.body, framing(answer) })
      assert.same({}, b.errors)
    end)
  end)

  local control = { "Content-Length", "transfer-encoding", "TE", "Host", "Trailer", "Connection",
    "Keep-Alive", "Upgrade", "Authorization", "WWW-Authenticate", "Proxy-Authenticate",
      "Set-Cookie",
    "Cookie", "Cache-Control", "Expires", "Age", "Date", "Vary", "Location", "Retry-After",
      "Warning",
    "Pragma", "Range", "If-Match", "If-None-Match", "Content-Type", "Content-Encoding",
      "Content-Range",
    "Max-Forwards", "Expect" }

  it("raise at the line of finish where a field must be in the head", function()
    local line
    bed.with(function(req, res)
      res.trailers[req.query.name] = "1"
      line = debug.getinfo(1, "l").currentline + 1
      res:finish(req.ctx, "all")
    end, function(client, b)
      for i, name in ipairs(control) do
        assert.same({ name, 500 }, { name, client:get("/?name=" .. name).status })
        local err = b.errors[i].err
        assert.truthy(err:find("http_server_trailers_spec.lua:" .. line .. ": res.trailers: ", 1,
          true),
          err)
      end
    end)
  end)

  it("raise where they cannot be sent: names, values, beside a Content-Length", function()
    local ways = {
      function(res) res.trailers.x = "a\r\nb" end,
      function(res) res.trailers.x = true end,
      function(res) res.trailers["a b"] = "x" end,
      function(res) res.trailers = { ["a b"] = "x" } end,
      function(res) res.trailers = { ["X-A"] = "x", ["x-a"] = "y" } end,
      function(res) res.trailers = 5 end,
      function(res) res.headers["Content-Length"], res.trailers.x = 3, "y" end,
    }
    local way
    bed.with(function(req, res)
      way(res)
      res:finish(req.ctx, "all")
    end, function(client, b)
      for i, each in ipairs(ways) do
        way = each
        assert.same({ i, 500 }, { i, client:get().status })
        assert.truthy(b.errors[i].err:find("http_server_trailers_spec.lua:", 1, true))
      end
    end)
  end)

  it("that come behind a head with a length raise, and cut the connection", function()
    bed.with(function(req, res)
      res.headers["Content-Length"] = 6
      res:write(req.ctx, "all")
      res.trailers.x = "y"
      return res:finish(req.ctx, "all")
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.is_nil((client:rest()):find("allall", 1, true))
      assert.truthy(b.errors[1].err:find("res.trailers: ", 1, true))
    end)
  end)
end)
