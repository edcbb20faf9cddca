-- SPDX-License-Identifier: MIT
--- What the server says by itself, in place of a handler: a plain text, or what the program's own
--- `failure` makes of it. One place for all of these answers.
local core = require "ctx.core"
local defect = require "ctx.http.defect"
local errors = require "ctx.errors"
local fields = require "ctx.fields"
local report = require "ctx.report"

local answer = {}

--- Whether something of the response is out, or in the buffer of http.timeout.
local function has_begun(res)
  return res.sent or res.finished or res.bytes > 0
end

--- Makes the response anew, with what it must have in any case: the id of the request, say.
local function reset(res, status, headers)
  local all = headers and fields.of(headers) or fields.new()
  local request = res._request -- none, in a program's test of its handlers
  for name, value in pairs(request and request._kept or {}) do
    all[name] = value
  end
  res.status, res.headers, res.trailers = status, all, fields.new()
  return all
end

--- A whole response in plain text, instead of what was to be sent.
---@param res ctx.http.Response
---@param status integer
---@param text string
---@param headers? table
---@return true|nil ok
---@return any? err
function answer.plain(res, status, text, headers)
  if has_begun(res) then
    return nil, errors.new("error: the response has begun")
  end
  headers = reset(res, status, headers)
  headers["content-type"], headers["x-content-type-options"] =
    "text/plain; charset=utf-8", "nosniff"
  return res:finish(core.background(), text .. "\n")
end

--- The program's own answer. Its context has a bound of its own, as the request's has ended by now,
--- and still the request's values.
---@return boolean begun
local function by_program(server, req, res, status, message, err, headers)
  local values = req and (req._innermost or req.ctx)
  local c, cancel <close> = core.with_timeout(values and core.without_cancel(values)
    or core.background(), server.limits.failure_timeout)
  reset(res, status, headers)
  res.ctx = c
  local ok, said, trace = errors.call(server._failure, req, res, status, message, err)
  res.ctx = nil
  if not ok and has_begun(res) then
    error(said, 0) -- half an answer is out
  elseif not ok then
    report.send(("ctx.http: failure failed: %s%s"):format(report.describe(said),
      trace and "\n" .. trace or ""), "http")
  elseif has_begun(res) and not res.finished then
    res:finish(core.background())
  elseif said ~= nil and type(said) ~= "boolean" and not has_begun(res) then
    report.send("ctx.http: failure: " .. report.describe(defect.unfit(said)), "http")
  end
  return has_begun(res)
end

--- Answers with a status, by the program's `failure` if the server has one.
---@param req ctx.http.Request?  nil: no head has been read
---@param res ctx.http.Response  not begun
---@param status integer
---@param message string
---@param err any
---@param headers? table
---@return true|nil ok
---@return any? err
function answer.fail(req, res, status, message, err, headers)
  local server = res._request and res._request.server
  if server and server._failure and not has_begun(res)
    and by_program(server, req, res, status, message, err, headers) then
    return true
  end
  return answer.plain(res, status, message, headers)
end

return answer
