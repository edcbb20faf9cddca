-- SPDX-License-Identifier: MIT
--- Internal: spans as JSON of OTLP: fields in lowerCamelCase, ids in hexadecimal digits, integers
--- of 64 bits as strings, doubles with all their digits. Written here and not by a JSON library,
--- since those follow the locale, or the settings that another module has made.
local report = require "ctx.report"
local text = require "ctx.text"

local encode = {}

local MAX_STRING = 4096 -- bytes of one text

local KINDS = { internal = 1, server = 2, client = 3, producer = 4, consumer = 5 }
local ERROR = 2
local HAS_REMOTE, IS_REMOTE = 0x100, 0x200 -- beside the flags of traceparent

local function quote(raw)
  return text.quote(text.cut(raw, MAX_STRING))
end

local function double(value)
  if value ~= value then
    return '"NaN"'
  elseif value == math.huge or value == -math.huge then
    return value > 0 and '"Infinity"' or '"-Infinity"'
  end
  return text.exact(value)
end

local function any_value(value)
  if math.type(value) == "integer" then
    return ('{"intValue":"%d"}'):format(value)
  elseif type(value) == "number" then
    return '{"doubleValue":' .. double(value) .. "}"
  elseif type(value) == "boolean" then
    return value and '{"boolValue":true}' or '{"boolValue":false}'
  end
  return '{"stringValue":' .. quote(value) .. "}"
end

local function attribute(key, value)
  return '{"key":' .. quote(key) .. ',"value":' .. any_value(value) .. "}"
end

--- Each attribute as JSON.
local function attributes_of(attributes)
  local list = {}
  for key, value in pairs(attributes) do
    list[#list + 1] = attribute(key, value)
  end
  return list
end

local function array(list)
  return "[" .. table.concat(list, ",") .. "]"
end

--- That a caller gave up is no error of the server.
local function status_of(span)
  if span.status == "ok" or span.status == "canceled" and span.kind == "server" then
    return nil
  end
  return ('{"code":%d,"message":%s}'):format(ERROR, quote(report.describe(span.cause)))
end

--- One span.
---@param span ctx.propagate.Span
---@return string
function encode.span(span)
  local attributes = attributes_of(span.attributes)
  if span.status ~= "ok" and span.status ~= "error" and span.attributes["error.type"] == nil then
    attributes[#attributes + 1] = attribute("error.type", span.status)
  end
  local out = {
    ('{"traceId":"%s","spanId":"%s","name":%s,"kind":%d,"flags":%d'):format(span.trace_id,
      span.span_id, quote(span.name), KINDS[span.kind],
      span.flags | HAS_REMOTE | (span.parent_is_remote and IS_REMOTE or 0)),
    ('"startTimeUnixNano":"%d","endTimeUnixNano":"%d"'):format(span.start_ns, span.end_ns),
  }
  local function add(name, value)
    if value then
      out[#out + 1] = ('"%s":%s'):format(name, value)
    end
  end
  add("parentSpanId", span.parent_span_id and quote(span.parent_span_id))
  add("traceState", span.state and quote(span.state))
  add("attributes", attributes[1] and array(attributes))
  add("droppedAttributesCount", span.dropped > 0 and ("%d"):format(span.dropped))
  add("status", status_of(span))
  return table.concat(out, ",") .. "}"
end

--- What comes before and after the spans, which have commas between them.
---@param resource table<string, string|number|boolean>
---@return string before
---@return string after
function encode.frame(resource)
  return ('{"resourceSpans":[{"resource":{"attributes":%s},"scopeSpans":[{"scope":{"name":"ctx"},'
    .. '"spans":['):format(array(attributes_of(resource))), "]}]}]}"
end

--- How many spans the receiver refused, by the body of its answer: `rejectedSpans`, a number or a
--- string of digits, both of which are right. A quote inside of a text has a backslash before it,
--- so no message can look like the field.
---@param body any
---@return integer
function encode.rejected(body)
  local digits = type(body) == "string"
    and body:match('"rejectedSpans"[ \t\r\n]*:[ \t\r\n]*"?(%d+)"?[ \t\r\n]*[,}]')
  return digits and math.tointeger(tonumber(digits)) or 0
end

return encode
