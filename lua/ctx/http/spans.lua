-- SPDX-License-Identifier: MIT
--- Spans of requests, with the names that OpenTelemetry's conventions for HTTP give things. Only
--- called when a tracer is set.
local propagate = require "ctx.propagate"

local spans = {}

local SERVER, CLIENT = { kind = "server" }, { kind = "client" }

--- The span of a request that has come; what the handler does is below it.
---@param c ctx.Context
---@param req ctx.http.Request
---@return ctx.Context c
---@return ctx.propagate.Span span
function spans.received(c, req)
  local below, span = propagate.start_span(c, req.method, SERVER)
  if span.recording then
    span:set("http.request.method", req.method)
    span:set("url.path", req.raw_path)
    span:set("url.scheme", "http")
    span:set("network.protocol.version", req.minor == 0 and "1.0" or "1.1")
    span:set("client.address", req:remote())
  end
  return below, span
end

--- The response is out, or will never be. That a client was at fault, or has left, is no error of
--- the server; what came of a connection that was hijacked, its handler knows.
---@param span ctx.propagate.Span
---@param req ctx.http.Request
---@param res ctx.http.Response
---@param err any  the handler's
---@param conn ctx.http.Connection
function spans.answered(span, req, res, err, conn)
  if not span.recording then
    return
  end
  if req.pattern then
    span.name = req.method .. " " .. req.pattern
    span:set("http.route", req.pattern)
  end
  if res.sent then
    span:set("http.response.status_code", res.status)
  end
  local is_fine = conn.why or res.sent and res.status < 500
  if conn.output ~= "hijacked" then
    err = not is_fine and (err or res.failed or res.status) or nil
  end
  span:finish(err)
end

--- The span of a request that goes out, before its headers are made: they name it.
---@param c ctx.Context
---@param method string
---@param url { public: string, host: string, port: integer? }
---@return ctx.Context c
---@return ctx.propagate.Span span
function spans.sent(c, method, url)
  local below, span = propagate.start_span(c, method, CLIENT)
  if span.recording then
    span:set("http.request.method", method)
    span:set("url.full", url.public)
    span:set("server.address", url.host)
  end
  return below, span
end

--- The answer is there, or will not come. For a client, a status from 400 on is an error.
---@param span ctx.propagate.Span
---@param status integer?
---@param err any
function spans.replied(span, status, err)
  if not span.recording then
    return
  end
  if status then
    span:set("http.response.status_code", status)
  end
  span:finish(err or status and status >= 400 and status or nil)
end

return spans
