-- SPDX-License-Identifier: MIT
-- What the access log is told of a request.
--
-- It had no request id and no trace id: middleware gives the handlers inside a copy of the request,
-- and the log read the values of the original's context, which has none of theirs. The copies now
-- tell the original which context was the last.
local ctx = require "ctx"
local http = require "ctx.http"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

--- Sends a request with these lines to a server, and returns the record of it.
local function record_of(options, ...)
  local got
  local lines = table.concat({ "GET /page?x=1 HTTP/1.1", "Host: shop", ... }, "\r\n")
  options.access_log = function(record) got = record end
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, 200000)
    local server = http.server(options)
    assert(server:listen("127.0.0.1", 0))
    local serving = ctx.go(server.serve, server, root)
    local socket <close> = assert(uv.connect(c, "127.0.0.1", server:address().port))
    assert(socket:write(c, lines .. "\r\nConnection: close\r\n\r\n"))
    while socket:read(c) do end
    assert(server:shutdown(c))
    assert(serving:wait(c))
  end, { real = true })
  return got
end

describe("the access log", function()
  it("has the request id that a middleware gave", function()
    local seen
    local handler = http.chain(function(req, res)
      seen = http.request_id.of(req.ctx)
      return res:finish(req.ctx, "ok")
    end, http.request_id(), http.timeout(5000))
    assert.equal("abc-1", record_of({ handler = handler }, "X-Request-ID: abc-1").request_id)
    assert.equal("abc-1", seen)
    assert.equal(36, #record_of({ handler = handler }).request_id)
  end)

  it("has the trace id that the caller sent", function()
    local function handler(req, res) return res:finish(req.ctx, "ok") end
    local record = record_of({ handler = handler }, "traceparent: " .. TRACEPARENT)
    assert.equal("4bf92f3577b34da6a3ce929d0e0e4736", record.trace_id)
    assert.is_nil(record_of({ handler = handler, propagate = false },
      "traceparent: " .. TRACEPARENT).trace_id)
    assert.is_nil(record_of({ handler = handler }).trace_id)
  end)

  it("has what the request was, and what became of it", function()
    local record = record_of({ request_timeout = 5000, handler = function(_, res)
      res.status = 404
      return res:finish(ctx.background(), "nothing")
    end })
    assert.equal("GET", record.method)
    assert.equal("/page", record.path)
    assert.equal(404, record.status)
    assert.equal(7, record.bytes)
    assert.equal("127.0.0.1", record.remote)
    assert.truthy(record.left > 0 and record.left <= 5000)
    assert.is_nil(record.cause)
    assert.is_nil(record.error)
  end)

  it("what the router has matched is known outside of the middleware, too", function()
    local router, pattern = http.router(), nil
    router:get("/{name}", function(_, res) return res:finish(ctx.background(), "ok") end)
    local function outermost(next)
      return function(req, res)
        local ok, err = next(req, res)
        pattern = req.pattern
        return ok, err
      end
    end
    record_of({ handler = http.chain(router:handler(), outermost, http.request_id()) })
    assert.equal("/{name}", pattern)
  end)

  it("knows where a client came from that has gone", function()
    local got
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 200000)
      local begun, begin = ctx.with_cancel(c)
      local logged, log = ctx.with_cancel(c)
      local server <close> = http.server {
        handler = function(req)
          begin()
          return nil, req.ctx:wait()
        end,
        access_log = function(record)
          got = record
          log()
        end,
      }
      assert(server:listen("127.0.0.1", 0))
      ctx.go(server.serve, server, root)
      local socket <close> = assert(uv.connect(c, "127.0.0.1", server:address().port))
      assert(socket:write(c, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"))
      begun:wait()
      socket:handle():close_reset()
      logged:wait()
    end, { real = true })
    assert.same({ "127.0.0.1", nil }, { got.remote, got.status })
    assert.equal(1, (got.cause:find(tostring(http.client_gone), 1, true)))
  end)

  it("says why the context ended before the handler did, and with what that failed", function()
    local record = record_of({ request_timeout = 20, handler = function(req)
      return ctx.sleep(req.ctx, 60000)
    end })
    assert.equal(503, record.status)
    assert.equal(tostring(http.request_timeout), record.cause)
    assert.truthy(record.error:find("context deadline exceeded", 1, true), record.error)
  end)
end)
