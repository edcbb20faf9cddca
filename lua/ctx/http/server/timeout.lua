-- SPDX-License-Identifier: MIT
--- A handler that answers in time, whatever the one inside does as Go's http.TimeoutHandler.
---
--- The one inside runs as a task of its own and writes into a buffer, which is sent when it returns
--- in time. When it does not, the client gets a 503, and the buffer's writes fail from then on.
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local defect = require "ctx.http.defect"
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local fields = require "ctx.fields"
local report = require "ctx.report"
local response = require "ctx.http.server.response"
local want = require "ctx.want"

local timeout = {}

local shared = core.shared("ctx.http.timeout")
shared.handler_timeout = shared.handler_timeout
  or errors.new("the handler took too long, and was answered for")
timeout.handler_timeout = shared.handler_timeout
report.told(timeout.handler_timeout) -- a task that fails with it has been answered for

--- Stands in for a response; see ctx.http.Response.
---@class ctx.http.BufferedResponse
---@field status integer
---@field headers table
---@field bytes integer
---@field sent boolean      false: it is a buffer
---@field finished boolean
---@field _parts string[]
---@field _late boolean     it was answered for
---@field _request ctx.http.Request
local Buffered = {}
local metatable = { __name = "ctx.http.BufferedResponse", __index = Buffered }

function Buffered:write(c, data)
  want.context(c, "write")
  want.argument(type(data) == "string", "write", 2, "data", "a string", data)
  core.check_wait(c, "res:write")
  if self._late then
    return core.refused(nil, timeout.handler_timeout)
  elseif self.finished then
    return core.refused(nil, errors.new("write: the response is finished"))
  elseif c:err() then
    return nil, c:ended()
  end
  local n = #self._parts + 1
  self._parts[n] = data
  self.bytes = self.bytes + #data
  core.breathe() -- no kernel makes the writer wait
  return true
end

function Buffered:finish(c, data)
  want.context(c, "finish")
  want.argument(data == nil or type(data) == "string", "finish", 2, "data", "a string", data)
  local ok, err = self:write(c, data or "")
  self.finished = self.finished or ok or false
  return ok, err
end

Buffered.json = response.class.json

--- Nothing informational: the real response begins only when it is whole.
function Buffered:inform(c, status)
  want.context(c, "inform")
  response.informational(status, "inform", 2)
  core.check_wait(c, "res:inform")
  if self._late then
    return nil, timeout.handler_timeout
  end
  return true
end

local function new_buffer(res)
  local headers, wrong = fields.of(res.headers or {})
  if not headers then
    error("res.headers: " .. wrong, 0)
  end
  return setmetatable({ status = res.status, headers = headers, trailers = fields.new(),
    bytes = 0, sent = false, finished = false, _parts = {}, _late = false, _request = res._request,
  }, metatable)
end

local function send(req, res, buffer)
  if req._connection.output == "hijacked" then
    return -- what the handler had to say, it has said itself
  end
  res.status, res.headers, res.trailers = buffer.status, buffer.headers, buffer.trailers
  return res:finish(req.ctx, table.concat(buffer._parts))
end

--- Whether what a handler raised behind its time is a mistake of its own.
local function is_defect(err, c)
  local found = errors.as(err, failure.class)
  return not (errors.is(err, c:err()) or errors.is(err, timeout.handler_timeout)
    or errors.is(err, causes.abort) or found and found.status ~= 500)
end

--- Tells of it, when it comes: there is no answer left to tell the client.
local function tell(req, c, task)
  local _, err = task:wait()
  if task:status() == "failed" and is_defect(err, c) then
    defect.tell(req.server, req, err, task:traceback())
  end
end

--- The handler is past its time, whatever it returns now or later.
local function too_late(req, c, task, message)
  local original = req._original or req
  if original.server and task:status() == "failed" then
    tell(original, c, task)
  elseif original.server and task:status() ~= "done" then
    core.go(tell, original, c, task)
  end
  if req.ctx:err() then
    return nil, req.ctx:ended()
  end
  return nil, failure.new(503, message or "the request took too long", causes.request_timeout)
end

local function run(next, req, res, c, message)
  local buffer = new_buffer(res)
  local task = core.go(next, req:with_context(c), buffer)
  local result, err = task:wait(c)
  if c:err() then
    buffer._late = true
    return too_late(req, c, task, message)
  elseif task:status() == "failed" then
    local original = req._original or req
    original._trace = task:traceback()
    error(err, 0)
  elseif result ~= nil and result ~= true and result ~= false then
    return result
  elseif not result and err ~= nil then
    return nil, err
  end
  return send(req, res, buffer)
end

--- Makes a middleware that gives the handler inside `ms`. Then its context ends with
--- http.request_timeout, and the client gets a 503 with the message.
---@param ms number
---@param message? string
---@return ctx.http.Middleware middleware
function timeout.new(ms, message)
  ms = want.ms(ms, "timeout", 1)
  message = message ~= nil and want.string(message, "timeout", 2, "message") or nil
  return function(next)
    return defect.wraps(function(req, res)
      local c, cancel <close> = core.with_timeout(req.ctx, ms, causes.request_timeout)
      return run(next, req, res, c, message)
    end, next)
  end
end

return timeout
