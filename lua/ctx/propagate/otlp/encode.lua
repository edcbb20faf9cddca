-- SPDX-License-Identifier: MIT
--- Internal: spans as JSON of OTLP: fields in lowerCamelCase, ids in hexadecimal digits, numbers of
--- 64 bits as strings.
local cjson = require "cjson"

local encode = {}

local MAX_STRING = 4096 -- bytes of one text

-- An instance of its own: nobody else's settings count here.
local json = cjson.new()

local KINDS = { internal = 1, server = 2, client = 3, producer = 4, consumer = 5 }
local ERROR = 2
local HAS_REMOTE, IS_REMOTE = 0x100, 0x200 -- beside the flags of traceparent

--- The text as UTF-8, as JSON has to be, and not too long.
local function clean(text)
  text = #text > MAX_STRING and text:sub(1, MAX_STRING) or text
  local _, bad = utf8.len(text)
  if not bad then
    return text
  end
  local parts, from = {}, 1
  while bad do
    parts[#parts + 1] = text:sub(from, bad - 1)
    parts[#parts + 1] = "\u{FFFD}"
    from = bad + 1
    _, bad = utf8.len(text, from)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

local function double(value)
  if value ~= value then
    return "NaN"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "Infinity" or "-Infinity"
  end
  return value
end

local function any_value(value)
  if math.type(value) == "integer" then
    return { intValue = tostring(value) }
  elseif type(value) == "number" then
    return { doubleValue = double(value) }
  elseif type(value) == "boolean" then
    return { boolValue = value }
  end
  return { stringValue = clean(value) }
end

--- A list of keys with values; nil instead of an empty one.
local function attributes_of(attributes)
  local list = {}
  for key, value in pairs(attributes) do
    list[#list + 1] = { key = clean(key), value = any_value(value) }
  end
  return list[1] and list
end

local function text_of(err)
  local ok, text = pcall(tostring, err)
  return clean(ok and text or "(an error object that cannot be printed)")
end

--- That a caller gave up is no error of the server.
local function status_of(span)
  if span.status == "ok" or span.status == "canceled" and span.kind == "server" then
    return nil
  end
  return { code = ERROR, message = text_of(span.cause) }
end

--- One span.
---@param span ctx.propagate.FinishedSpan
---@return string
function encode.span(span)
  local attributes = attributes_of(span.attributes) or {}
  if span.status ~= "ok" and span.status ~= "error" and span.attributes["error.type"] == nil then
    attributes[#attributes + 1] = { key = "error.type", value = { stringValue = span.status } }
  end
  return json.encode {
    traceId = span.trace_id, spanId = span.span_id, parentSpanId = span.parent_span_id,
    traceState = span.state, name = clean(span.name), kind = KINDS[span.kind],
    flags = span.flags | HAS_REMOTE | (span.parent_is_remote and IS_REMOTE or 0),
    startTimeUnixNano = tostring(span.start_ns), endTimeUnixNano = tostring(span.end_ns),
    attributes = attributes[1] and attributes or nil,
    droppedAttributesCount = span.dropped > 0 and span.dropped or nil,
    status = status_of(span),
  }
end

--- What comes before and after the spans, which have commas between them.
---@param resource table<string, string|number|boolean>
---@return string before
---@return string after
function encode.frame(resource)
  return ('{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":{"name":"ctx"},"spans":[')
    :format(json.encode { attributes = attributes_of(resource) }), "]}]}]}"
end

--- How many spans the receiver refused, by the body of its answer.
---@param body any
---@return integer
function encode.rejected(body)
  local ok, answer = pcall(json.decode, body)
  local partial = ok and type(answer) == "table" and answer.partialSuccess
  local rejected = type(partial) == "table" and partial.rejectedSpans
  -- Both a number and a string of digits are right.
  local is_text = type(rejected) == "string" and not rejected:find("%D")
  local n = (is_text or type(rejected) == "number") and math.tointeger(tonumber(rejected)) or 0
  return math.max(n, 0)
end

return encode
