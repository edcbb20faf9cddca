-- SPDX-License-Identifier: MIT
--- Mistakes of a program's handlers, and where they are told: on_error, or else a report.
---
--- A traceback may name no line of the program, as `return res:finish(…)` is a tail call, and an
--- error that was returned has none. So each report ends with where the handler is defined.
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local report = require "ctx.report"
local want = require "ctx.want"

local defect = {}

-- Which handler stands within which: what http.chain and the middlewares return is a function of
-- the library, or of a middleware. false: nobody knows, a router finds out.
local within = setmetatable({}, { __mode = "k" })

--- The handler `outer` calls `inner`; false if that depends on the request.
---@param outer function
---@param inner function|false
---@return function outer
function defect.wraps(outer, inner)
  within[outer] = inner
  return outer
end

--- Where the innermost handler stands; nil if nobody knows.
local function place(handler)
  while within[handler] do
    handler = within[handler]
  end
  return within[handler] ~= false and errors.place(handler) or nil
end

--- "GET /users/{id}, shop.lua:5": the request's method and pattern, and its handler's place.
---@param server ctx.http.Server
---@param req ctx.http.Request
---@return string
function defect.where(server, req)
  local found = place(req._handler or server.handler)
  return ("%s %s%s"):format(req.method, req.pattern or req.raw_path, found and ", " .. found or "")
end

--- Tells of one.
---@param server ctx.http.Server
---@param req ctx.http.Request
---@param err any
---@param trace string?  nil: it was returned
function defect.tell(server, req, err, trace)
  local where, failed = defect.where(server, req), nil
  if server._on_error then
    local ok, said, there = errors.call(server._on_error, err, req, trace, where)
    if ok then
      return
    end
    failed = ("ctx.http: on_error failed: %s%s"):format(report.describe(said),
      there and "\n" .. there or "")
  end
  -- The path as it was sent: decoded, it could hold lines of its own.
  report.send(("ctx.http: %s %s: %s%s\nin the handler of %s"):format(req.method, req.raw_path,
    report.describe(err), trace and "\n" .. trace or "", where), "http")
  if failed then
    report.send(failed, "http")
  end
end

--- Whether a value is an error object: one of the library's, or of a class that says so.
local function is_error(value)
  local metatable = debug.getmetatable(value)
  return type(metatable) == "table" and (metatable == debug.getmetatable(errors.canceled)
    or metatable == failure.class or rawget(metatable, "is") or rawget(metatable, "unwrap"))
end

--- What a handler's first result means, other than nil, true and false: an error counts as one, and
--- anything else is a mistake. In other frameworks a text is the answer; here it would be lost.
---@param result any
---@return any err
function defect.unfit(result)
  if is_error(result) then
    return result
  end
  local what = "a " .. want.kind(result)
  if type(result) == "string" then
    what = 'the text "' .. result:sub(1, 40):gsub("%c", " ") .. '"'
  end
  return errors.new(("the handler returned %s; it answers by res:finish(c, data), and returns "
    .. "nothing, or nil and an error"):format(what))
end

return defect
