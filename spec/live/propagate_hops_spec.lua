-- SPDX-License-Identifier: MIT
--- One request over real sockets through three services, A to B to C, with the spans that ctx.http
--- makes.
local ctx = require "ctx"
local http = require "ctx.http"
local loopback = require "spec.support.loopback"
local propagate = require "ctx.propagate"
local uv = require "ctx.uv"

local LIMIT_MS = 200000

local function count(spans)
  local n = 0
  for _ in pairs(spans) do n = n + 1 end
  return n
end

--- A service whose requests are handled by fn(c, res).
local function service(fn)
  local server = http.server { handler = function(req, res)
    return fn(req.ctx, res)
  end }
  assert(server:listen("127.0.0.1", 0))
  return server, ctx.go(server.serve, server, ctx.background()),
    ("http://127.0.0.1:%d/"):format(server:address().port)
end

--- A service that works for `ms`, and then answers what the next one does.
local function relay(ms, url)
  return service(function(c, res)
    ctx.sleep(c, ms)
    local response = http.get(c, url)
    return res:finish(c, response and response.body or "nothing")
  end)
end

--- Runs fn(c, url of A, spans by id) beside A → B → C; each of A and B works for `ms` first, and
--- at_c(c, res) is what C does.
local function with_services(ms, at_c, fn)
  loopback.run(function(root)
    local limit, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
    local spans = {}
    local exporter = { export = function(_, span) spans[span.span_id] = span end }
    local previous = propagate.set_tracer { exporter = exporter }
    local c_server <close>, c_task, c_url = service(at_c)
    local b_server <close>, b_task, b_url = relay(ms, c_url)
    local a_server <close>, a_task, a_url = relay(ms, b_url)
    ctx.sleep(limit, 0)
    local ok, err = xpcall(fn, debug.traceback, limit, a_url, spans)
    a_server:close()
    b_server:close()
    c_server:close()
    for _, task in ipairs { a_task, b_task, c_task } do
      task:wait(limit)
    end
    propagate.set_tracer(previous)
    assert(ok, err)
  end)
end

describe("three services", function()
  it("share one deadline and one trace, with the right parents", function()
    local trace_at_c, left_at_c, tenant
    with_services(20, function(c, res)
      trace_at_c, left_at_c, tenant = propagate.trace(c), c:remaining(), propagate.baggage(c, "t")
      return res:finish(c, "from C")
    end, function(c, url, spans)
      local limited, cancel <close> = ctx.with_timeout(c, 20000)
      local response = assert(http.get(propagate.with_baggage(limited, "t", "ä b"), url))
      assert.equal("from C", response.body)
      assert.is_true(left_at_c <= 20000 - 40, tostring(left_at_c))
      assert.is_true(left_at_c > 0)
      assert.equal("ä b", tenant)
      -- A server's span may end after its client has the response.
      while count(spans) < 6 do
        assert(ctx.sleep(c, 1))
      end
      -- From C upwards: each server's span below its client's, in one trace.
      local at = trace_at_c.span_id
      for _, kind in ipairs { "server", "client", "server", "client", "server", "client" } do
        local span = spans[at]
        assert.equal(kind, span.kind)
        assert.equal(trace_at_c.trace_id, span.trace_id)
        assert.equal("ok", span.status)
        assert.equal(kind == "server", span.parent_is_remote)
        at = span.parent_span_id
      end
      assert.is_nil(at)
    end)
  end)

  it("hand the caller's trace on without spans", function()
    local header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    local at_c
    with_services(0, function(c, res)
      at_c = propagate.inject(c, {})
      return res:finish(c, "")
    end, function(c, url)
      local previous = propagate.set_tracer(nil)
      assert(http.get(c, url, { headers = { traceparent = header, tracestate = "a=b" } }))
      propagate.set_tracer(previous)
      assert.equal(header, at_c.traceparent)
      assert.equal("a=b", at_c.tracestate)
    end)
  end)

  it("all end with the deadline of A's caller", function()
    local began, err_at_c
    with_services(0, function(c)
      began = true
      err_at_c = c:wait()
      return nil, err_at_c
    end, function(c, url)
      local ms = 100
      repeat -- on a busy machine C may not have begun by then
        ms = ms * 2
        local limited, cancel <close> = ctx.with_timeout(c, ms)
        local response = http.get(limited, url)
        assert.is_true(response == nil or response.status >= 500 or response.body == "nothing")
      until began
      while not err_at_c do
        assert(ctx.sleep(c, 1))
      end
    end)
  end)

  it("stop when A's client leaves", function()
    local began, cause_at_c
    with_services(0, function(c)
      began = true
      c:wait()
      cause_at_c = c:cause()
      return nil, cause_at_c
    end, function(c, url)
      local client = assert(uv.connect(c, "127.0.0.1", tonumber(url:match(":(%d+)/"))))
      assert(client:write(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
      while not began do
        assert(ctx.sleep(c, 1))
      end
      client:close()
      while not cause_at_c do
        assert(ctx.sleep(c, 1))
      end
      assert.equal(http.client_gone, cause_at_c)
    end)
  end)
end)
