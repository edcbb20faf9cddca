-- SPDX-License-Identifier: MIT
--- What the access log is told of a request, and its two common shapes.
local causes = require "ctx.http.causes"
local propagate = require "ctx.propagate"
local report = require "ctx.report"
local text = require "ctx.text"
local want = require "ctx.want"

local records = {}

---@class ctx.http.Record
---@field time integer         seconds since 1970, when the response was out
---@field method string
---@field path string
---@field status integer?      nil: nothing was sent
---@field bytes integer        of the response's body
---@field ms number            from the head of the request to the end of the response
---@field remote string
---@field request_id string?
---@field trace_id string?
---@field left number?         ms that its deadline was away at the end
---@field cause string?        why its context ended before the handler returned
---@field error string?        what the handler failed with

-- In this order in a line.
local FIELDS = { "time", "method", "path", "status", "bytes", "ms", "remote", "request_id",
  "trace_id", "left", "cause", "error" }

--- The fields that the values of a context give; the modules that know the keys add theirs.
---@type table<string, fun(c: ctx.Context): string?>
records.values = {
  trace_id = function(c)
    local trace = propagate.trace(c)
    return trace and trace.trace_id
  end,
}

---@param req ctx.http.Request
---@param res ctx.http.Response
---@param err any
---@param ms number
---@param innermost ctx.Context?  where a middleware has put values; the request's own by default
---@return ctx.http.Record
function records.of(req, res, err, ms, innermost)
  local c = req.ctx
  local left, cause = c:remaining(), c:cause()
  local of = {
    time = os.time(), method = req.method, path = req.path, bytes = res.bytes, ms = ms,
    status = res.sent and res.status or nil, remote = req:remote(),
    left = left ~= math.huge and left or nil,
    cause = not rawequal(cause, causes.handler_returned) and report.describe(cause) or nil,
    error = err ~= nil and report.describe(err) or nil,
  }
  for name, value in pairs(records.values) do
    of[name] = value(innermost or c)
  end
  return of
end

local function text_of(value)
  if math.type(value) == "float" then
    return text.number("%.3f", value)
  end
  return tostring(value)
end

--- The fields that it has, in their order.
local function fields(of)
  local i = 0
  return function()
    local name
    repeat
      i = i + 1
      name = FIELDS[i]
    until name == nil or of[name] ~= nil
    return name, of[name]
  end
end

--- Writes a record as key=value pairs with blanks between them; a value is quoted if it needs that.
---@param record ctx.http.Record
---@return string line
function records.logfmt(record)
  want.table(record, "logfmt", 1, "record")
  local out = {}
  for name, value in fields(record) do
    local shown = text.utf8(text_of(value))
    if shown == "" or shown:find('[\0- "=\\\x7F]') then
      shown = text.quote(shown)
    end
    out[#out + 1] = name .. "=" .. shown
  end
  return table.concat(out, " ")
end

--- Writes a record as a JSON object.
---@param record ctx.http.Record
---@return string line
function records.json(record)
  want.table(record, "json", 1, "record")
  local out = {}
  for name, value in fields(record) do
    out[#out + 1] = ('"%s":%s'):format(name,
      math.type(value) and value - value == 0 and text_of(value) or text.quote(tostring(value)))
  end
  return "{" .. table.concat(out, ",") .. "}"
end

return records
