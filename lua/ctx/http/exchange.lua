-- SPDX-License-Identifier: MIT
--- One request and its response: a task, which gives the request its context, runs the handler, and
--- sees that there is an answer.
local causes = require "ctx.http.causes"
local ctx = require "ctx"
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local fields = require "ctx.fields"
local propagate = require "ctx.propagate"
local record = require "ctx.http.record"
local report = require "ctx.report"
local response = require "ctx.http.response"
local spans = require "ctx.http.spans"

local setmetatable = setmetatable
local Fields = fields.class

local exchange = {}

--- The request's context: the connection's child, with what the caller's headers say of deadline
--- and trace.
local function derive(server, conn, headers)
  local parent, ms = conn.ctx, nil
  if server._extract then
    parent, ms = server._extract(parent, headers)
  end
  local limit = server.limits.request_timeout
  if ms and (not limit or ms < limit) then
    return ctx.with_timeout(parent, ms)
  elseif limit then
    return ctx.with_timeout(parent, limit, causes.request_timeout)
  end
  return ctx.with_cancel(parent)
end

--- An error that was raised, with where: an object keeps its identity.
local function traced(err)
  return { err = err, trace = debug.traceback(nil, 2) }
end

--- The failure with a status among what went wrong; made for the rest.
local function failure_of(conn, err)
  local found = errors.as(err, failure.class)
  if found then
    return found
  elseif errors.is(err, ctx.deadline_exceeded) then
    return failure.new(503, "the request took too long", err)
  elseif errors.is(err, ctx.canceled) and conn.ctx:err() then
    return failure.new(503, "the server shuts down", err)
  end
  return failure.new(500, nil, err)
end

--- Answers for a handler that failed. Only defects are reported: that the client left, that a
--- deadline passed, or that the server did not wait any longer, is in the access log.
local function answer_failure(conn, req, res, err, trace)
  local nobody = conn.gone or conn.closed or conn.hijacked
  if nobody and trace and type(err) == "string" then
    -- What a connection's end brings about are error objects; a message is a defect even so.
    conn.server:_failed(req, err, trace)
  end
  if nobody or errors.is(err, causes.abort) then
    res._keep_alive = false
    return
  end
  local failed = failure_of(conn, err)
  if failed.status == 500 then
    conn.server:_failed(req, err, trace)
  end
  if res.finished then
    return
  elseif res.sent then
    res._keep_alive = false -- half an answer: only the end of the connection can tell
    res.failed = res.failed or err
  else
    response.plain(res, failed.status, failed.message)
  end
end

--- Calls the handler, or finish in its place; returns its error and the stack where it was raised.
local function call(fn, ...)
  local ok, result, err = xpcall(fn, traced, ...)
  if not ok then
    return result.err == nil and "nil" or result.err, result.trace
  elseif (result == nil or result == false) and err ~= nil then
    return err
  end
end

local function run(conn, req)
  local server = conn.server
  local began = server._log and ctx.now()
  if began then
    conn:peer() -- as long as it is there
  end
  local c, cancel <close> = derive(server, conn, req.headers)
  setmetatable(req.headers, Fields)
  local span
  req.ctx = c
  if propagate.is_tracing() then
    req.ctx, span = spans.received(c, req)
  end
  local res = response.new(req, conn)
  conn.response = res
  local err, trace = call(server.handler, req, res)
  trace = trace and (req._trace or trace)
  cancel(causes.handler_returned)
  if err == nil and not res.finished then
    err = res._missed
  end
  if err == nil and not (res.finished or conn.hijacked or conn.gone) then
    err, trace = call(res.finish, res, ctx.background())
  end
  if err ~= nil then
    answer_failure(conn, req, res, err, trace)
  end
  if span then
    spans.answered(span, req, res, err)
  end
  if began then
    server:_record(record.of(req, res, err, ctx.now() - began))
  end
  conn:answered(res._keep_alive and res.finished)
end

--- The body of the task. Should memory fail in the middle, the connection ends with it.
---@param conn ctx.http.Connection
---@param req ctx.http.Request
function exchange.run(conn, req)
  local ok, err = pcall(run, conn, req)
  if not ok then
    conn:close()
    if conn.request then
      conn:answered(false)
    end
    report.send("ctx.http: " .. report.describe(err), "http")
  end
end

return exchange
