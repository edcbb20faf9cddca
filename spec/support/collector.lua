-- SPDX-License-Identifier: MIT
--- What the specs of the exporter share: a receiver that is told what to answer, and spans to send.
local cjson = require "cjson"
local ctx = require "ctx"
local otlp = require "ctx.propagate.otlp"
local testing = require "ctx.testing"

local collector = {}

--- A receiver to be told what to answer: a list of responses, functions, or errors. The last one
--- is given for ever. Keeps what came.
function collector.receiver(...)
  local answers, self = { ... }, { calls = {} }
  function self.post(c, url, headers, body)
    local call = { at = ctx.now(), url = url, headers = headers, body = body }
    table.insert(self.calls, call)
    local answer = answers[math.min(#self.calls, #answers)]
    if type(answer) == "function" then
      return answer(c)
    elseif getmetatable(answer) or type(answer) == "string" then
      return nil, answer
    end
    return answer
  end
  --- The spans of the n-th call.
  function self.spans(n)
    return cjson.decode(self.calls[n].body).resourceSpans[1].scopeSpans[1].spans
  end
  return self
end

collector.OK = { status = 200, headers = {}, body = "{}" }

--- A finished span, as propagate makes them.
function collector.span(name, fields)
  local made = {
    name = name or "x", kind = "internal", trace_id = ("a"):rep(32), span_id = ("b"):rep(16),
    parent_is_remote = false, flags = 3, start_ns = 1700000000123456789,
    end_ns = 1700000001123456789, attributes = {}, dropped = 0, status = "ok",
  }
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  return made
end

function collector.export(exporter, n)
  for i = 1, n do
    exporter:export(collector.span(tostring(i)))
  end
end

function collector.names(spans)
  local list = {}
  for i, each in ipairs(spans) do list[i] = each.name end
  return table.concat(list, " ")
end

--- fn(root, clock, exporter, to), then a shutdown.
function collector.with(options, answers, fn)
  return testing.run(function(root, clock)
    local to = collector.receiver(table.unpack(answers))
    options.post = to.post
    local exporter = otlp.new(options)
    fn(root, clock, exporter, to)
    exporter:shutdown(root)
  end)
end

return collector
