-- SPDX-License-Identifier: MIT
--- A handler that answers in time, whatever the one inside does (C55, Go's http.TimeoutHandler).
---
--- The one inside runs as a task of its own and writes into a buffer, which is sent when it returns
--- in time. When it does not, the client gets a 503, and the buffer's writes fail from then on.
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local fields = require "ctx.fields"
local want = require "ctx.want"

-- So many pieces are taken before the others get a turn: no kernel makes the writer wait.
local STREAK = 64

local timeout = {}

local shared = core.shared("ctx.http.timeout")
shared.handler_timeout = shared.handler_timeout
  or errors.new("the handler took too long, and was answered for")
timeout.handler_timeout = shared.handler_timeout

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
  if self._late then
    return nil, timeout.handler_timeout
  elseif self.finished then
    return nil, errors.new("write: the response is finished")
  elseif c:err() then
    return nil, errors.ended(c:err(), c:cause())
  end
  local n = #self._parts + 1
  self._parts[n] = data
  self.bytes = self.bytes + #data
  if n % STREAK == 0 then
    ctx.sleep(c, 0) -- it is written: an end of the context is for the next call
  end
  return true
end

function Buffered:finish(c, data)
  local ok, err = self:write(c, data or "")
  self.finished = self.finished or ok or false
  return ok, err
end

--- Nothing informational: the real response begins only when it is whole.
function Buffered:inform()
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
  return setmetatable({ status = res.status, headers = headers, bytes = 0, sent = false,
    finished = false, _parts = {}, _late = false, _request = res._request }, metatable)
end

local function send(req, res, buffer)
  if req._connection.hijacked then
    return -- what the handler had to say, it has said itself
  end
  res.status, res.headers = buffer.status, buffer.headers
  return res:finish(req.ctx, table.concat(buffer._parts))
end

--- A middleware: the handler inside has `ms`, its context ends then with http.request_timeout, and
--- the client gets a 503 with the message.
---@param ms number
---@param message? string
---@return fun(next: function): function
function timeout.new(ms, message)
  want.argument(want.is_ms(ms), "timeout", 1, "ms", "a number of ms", ms)
  return function(next)
    return function(req, res)
      local c, cancel <close> = ctx.with_timeout(req.ctx, ms, causes.request_timeout)
      local buffer = new_buffer(res)
      local task = ctx.go(next, req:with_context(c), buffer)
      local results = table.pack(task:wait(c))
      if task:status() == "failed" then
        local original = req._original or req
        original._trace = task:traceback()
        error(results[2], 0)
      elseif task:status() == "done" then
        if not results[1] and results[2] ~= nil then
          return nil, results[2]
        end
        return send(req, res, buffer)
      end
      buffer._late = true
      if req.ctx:err() then
        return nil, errors.ended(req.ctx:err(), req.ctx:cause())
      end
      return nil, failure.new(503, message or "the request took too long", causes.request_timeout)
    end
  end
end

return timeout
