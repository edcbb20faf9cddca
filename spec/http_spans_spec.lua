-- SPDX-License-Identifier: MIT
--- With a tracer, each request is a span of its client and one of its server, in one
--- trace; without, none is made and the headers only pass through.
local ctx = require "ctx"
local http = require "ctx.http"
local propagate = require "ctx.propagate"
local testing = require "ctx.testing"

--- Runs visit(c, url) against a server with this handler; the spans that were recorded.
local function spans_of(handler, visit)
  local spans = {}
  local previous = propagate.set_tracer { exporter = {
    export = function(_, span) spans[#spans + 1] = span end,
  } }
  testing.run(function(root)
    local server <close> = http.server { handler = handler, on_error = function() end }
    assert(server:listen("127.0.0.1", 0))
    local serving = ctx.go(server.serve, server, root)
    local client <close> = http.client {}
    visit(root, client, ("http://127.0.0.1:%d"):format(server:address().port))
    client:close()
    assert(server:shutdown(root))
    serving:wait()
  end, { real = true })
  propagate.set_tracer(previous)
  local by_kind = {}
  for _, span in ipairs(spans) do
    by_kind[span.kind] = span
  end
  return by_kind, #spans
end

local function get(path)
  return function(c, client, url)
    assert(client:get(c, url .. path))
  end
end

describe("spans of requests", function()
  it("are the client's, below it the server's, below that the handler's", function()
    local router = http.router()
    router:get("/products/{id}", function(req, res)
      local c, span = propagate.start_span(req.ctx, "look up")
      res:finish(c, req.params.id)
      span:finish()
    end)
    local spans, n = spans_of(router:handler(), get "/products/7?verbose=1")
    assert.equal(3, n)
    local client, server, inner = spans.client, spans.server, spans.internal
    assert.same({ client.trace_id, client.trace_id }, { server.trace_id, inner.trace_id })
    assert.equal(client.span_id, server.parent_span_id)
    assert.equal(server.span_id, inner.parent_span_id)
    assert.is_true(server.parent_is_remote)
    assert.equal("GET /products/{id}", server.name)
    assert.equal("/products/{id}", server.attributes["http.route"])
    assert.equal("/products/7", server.attributes["url.path"])
    assert.equal(200, server.attributes["http.response.status_code"])
    assert.equal(200, client.attributes["http.response.status_code"])
    assert.same({ "ok", "ok" }, { client.status, server.status })
  end)

  it("tell whose fault an error is", function()
    local spans = spans_of(function() return nil, http.failure(404) end, get "/")
    assert.same({ "error", "ok" }, { spans.client.status, spans.server.status })
    spans = spans_of(function() error("boom") end, get "/")
    assert.same({ "error", "error" }, { spans.client.status, spans.server.status })
  end)

  it("of a client that has left, or of another protocol, are no errors", function()
    local leave
    local spans = spans_of(function(req)
      leave()
      req.ctx:wait()
      return nil, req.ctx:err()
    end, function(root, client, url)
      local c, cancel <close> = ctx.with_cancel(root)
      leave = cancel
      assert.is_nil((client:get(c, url, { propagate = false })))
    end)
    assert.equal("ok", spans.server.status)
    for _, failure in ipairs { false, "broken" } do
      spans = spans_of(function(req)
        local stream <close> = req:hijack()
        stream:write(req.ctx, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return nil, failure or nil
      end, get "/")
      assert.equal(failure and "error" or "ok", spans.server.status)
    end
  end)

  it("end with the deadline that ended the request", function()
    local gave_up, give_up = ctx.with_cancel(ctx.background())
    local spans = spans_of(function() return nil, gave_up:wait() end, function(root, client, url)
      local c, cancel <close> = ctx.with_timeout(root, 1) -- the client's span alone is looked at
      assert.is_nil((client:get(c, url)))
      give_up()
    end)
    assert.equal("deadline_exceeded", spans.client.status)
    spans = spans_of(function(req)
      local c, cancel <close> = ctx.with_timeout(req.ctx, 20)
      return nil, c:wait()
    end, get "/")
    assert.equal("deadline_exceeded", spans.server.status)
  end)

  it("are not made without a tracer; what came goes on", function()
    local passed
    testing.run(function(root)
      local server <close> = http.server { handler = function(req)
        passed = propagate.inject(req.ctx, {})
      end }
      assert(server:listen("127.0.0.1", 0))
      local serving = ctx.go(server.serve, server, root)
      local client <close> = http.client {}
      local parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      local url = ("http://127.0.0.1:%d/"):format(server:address().port)
      assert(client:get(root, url, { headers = { traceparent = parent } }))
      assert.equal(parent, passed.traceparent)
      client:close()
      assert(server:shutdown(root))
      serving:wait()
    end, { real = true })
  end)
end)
