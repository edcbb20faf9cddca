-- SPDX-License-Identifier: MIT
--- One request and its response: a task, which gives the request its context, runs the handler, and
--- sees that there is an answer.
local answer = require "ctx.http.answer"
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local defect = require "ctx.http.defect"
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local propagate = require "ctx.propagate"
local record = require "ctx.http.record"
local report = require "ctx.report"
local request = require "ctx.http.server.request"
local response = require "ctx.http.server.response"
local spans = require "ctx.http.spans"

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
    return core.with_timeout(parent, ms)
  elseif limit then
    return core.with_timeout(parent, limit, causes.request_timeout)
  end
  return core.with_cancel(parent)
end

--- The failure with a status among what went wrong; made for the rest.
local function failure_of(conn, err)
  local found = errors.as(err, failure.class)
  if found then
    return found
  elseif errors.is(err, errors.deadline_exceeded) then
    return failure.new(503, "the request took too long", err)
  elseif errors.is(err, errors.canceled) and conn.ctx:err() then
    return failure.new(503, "the server shuts down", err)
  end
  return failure.new(500, nil, err)
end

--- Answers for a handler that failed. Only defects are reported: that the client left, that a
--- deadline passed, or that the server did not wait any longer, is in the access log.
local function answer_failure(conn, req, res, err, trace)
  local nobody = conn.input == "gone" or conn.input == "closed" or conn.output == "hijacked"
  if nobody and trace and type(err) == "string" then
    -- What a connection's end brings about are error objects; a message is a defect even so.
    defect.tell(conn.server, req, err, trace)
  end
  if nobody or errors.is(err, causes.abort) then
    res._keep_alive = false
    return
  end
  local failed = failure_of(conn, err)
  if failed.status == 500 then
    defect.tell(conn.server, req, err, trace)
  end
  if res.finished then
    return
  elseif res.sent then
    res._keep_alive = false -- half an answer: only the end of the connection can tell
    res.failed = res.failed or err
  else
    answer.fail(req, res, failed.status, failed.message, err)
  end
end

--- What came of a call of the handler, or of finish in its place: its error, and the stack where
--- that was raised.
local function outcome(ok, result, second)
  if not ok then
    return result, second
  elseif result == nil or result == false then
    return second
  elseif result ~= true then
    return defect.unfit(result)
  end
end

local function run(conn, req)
  local server = conn.server
  local began = server._log and core.now()
  if began then
    conn.transport:peer() -- as long as it is there
  end
  local c, cancel <close> = derive(server, conn, req._fields)
  local span
  req.ctx = c
  if propagate.is_tracing() then
    req.ctx, span = spans.received(c, req)
  end
  local res = response.new(req, conn)
  conn.response = res
  local err, trace = outcome(errors.call(server.handler, req, res))
  trace = trace and (req._trace or trace)
  cancel(causes.handler_returned)
  if err == nil and not res.finished then
    err = res._missed
  end
  if err == nil and not (res.finished or conn.output == "hijacked" or conn.why) then
    err, trace = outcome(errors.call(res.finish, res, core.background()))
  end
  if err ~= nil then
    answer_failure(conn, req, res, err, trace)
  end
  if span then
    spans.answered(span, req, res, err, conn)
  end
  if began then
    report.guard("http", "access_log", server._log, record.of(req, res, err, core.now() - began,
      req._innermost))
  end
  conn:answered(res._keep_alive and res.finished)
end

-- Closed when an exchange ends, however it does: a handler's coroutine may be closed by a stranger,
-- and then nothing behind its wait runs, while the client waits for an answer.
local Guard = {}

local function give_up(conn, req)
  conn:close()
  if conn.request == req then
    conn:answered(false)
  end
end

Guard.__close = function(self)
  if self.conn.request == self.req then
    give_up(self.conn, self.req)
  end
end

local function see_to(fn, conn, req, ...)
  local _ <close> = setmetatable({ conn = conn, req = req }, Guard)
  fn(conn, req, ...)
end

--- Runs fn(conn, req, …) to its end, after which the request is over.
local function run_guarded(fn, conn, req, ...)
  local ok, err = pcall(see_to, fn, conn, req, ...)
  if not ok then
    conn.server:_doubt()
    -- There may have been no memory for the guard; or the request is over, and there was none to
    -- begin the next.
    give_up(conn, req)
    report.send("ctx.http: " .. report.describe(err), "http")
  end
end

--- A request that has come: sees to it, in a task of its own.
---@param conn ctx.http.Connection
---@param req ctx.http.Request
---@return ctx.Task
function exchange.start(conn, req)
  return core.go(run_guarded, run, conn, req)
end

local function refuse(conn, req, shown, status, reason, headers)
  local res = response.new(req, conn)
  req.ctx, conn.response = conn.ctx, res
  answer.fail(shown, res, status, reason, nil, headers)
  conn:answered(res._keep_alive and res.finished)
end

--- Answers with the server's own text, at once; then goes on to the next request, or ends the
--- connection.
---@param conn ctx.http.Connection
---@param req ctx.http.Request?  nil: no head has been read
---@param goes_on boolean
---@param status integer
---@param headers table?
---@param text string
function exchange.say(conn, req, goes_on, status, headers, text)
  local bytes = response.whole(status, headers, text, goes_on, req,
    conn.server.limits.keep_alive_hint)
  if conn.transport:put(bytes) and goes_on then
    conn:next_request()
  else
    conn:linger()
  end
end

--- Answers in place of a handler. The server's own text is written at once; for the program's,
--- which may wait, there is a task.
---@param conn ctx.http.Connection
---@param req ctx.http.Request?   nil: no head has been read
---@param into ctx.http.Input     "behind": the connection goes on
---@param status integer
---@param reason string
---@param retry_after? integer    seconds
function exchange.refuse(conn, req, into, status, reason, retry_after)
  conn.server:_refused()
  local headers, goes_on = { ["retry-after"] = retry_after }, into == "behind"
  if not conn.server._failure then
    return exchange.say(conn, req, goes_on, status, headers, reason .. "\n")
  end
  local answered = req or request.none(conn)
  answered.keep_alive = goes_on
  conn:become(into, "refusal")
  conn.request, conn._exchange = answered, false
  conn._exchange = core.go(run_guarded, refuse, conn, answered, req, status, reason, headers)
end

return exchange
