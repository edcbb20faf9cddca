-- SPDX-License-Identifier: MIT
--- ctx.propagate and its exporter.
local ctx = require "ctx"
local otlp = require "ctx.propagate.otlp"
local propagate = require "ctx.propagate"

local operations, classes = {}, {}

local HEADERS = {
  { traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
  { traceparent = "00-zz-1-1", tracestate = ("a=b,"):rep(40) },
  { baggage = "a=1,b=2;p=3,%zz=%00", ["grpc-timeout"] = "10m" },
  { baggage = { "x=1", "y=2" }, ["grpc-timeout"] = "99999999999H" },
  {},
}

operations["ctx.propagate.extract"] = function(play)
  local c, ms = propagate.extract(play:context(), play:pick(HEADERS))
  play:keep("endless", c)
  play:claim(ms == nil or ms >= 0, "less than no time")
end

operations["ctx.propagate.inject"] = function(play)
  propagate.inject(play:chance(2) and play:one("endless") or play:context(), {})
end

operations["ctx.propagate.trace"] = function(play)
  propagate.trace(play:one("endless") or play:context())
end

operations["ctx.propagate.baggage"] = function(play)
  local c = play:one("endless") or play:context()
  propagate.baggage(c)
  propagate.baggage(c, "a")
end

operations["ctx.propagate.with_baggage"] = function(play)
  play:keep("endless", propagate.with_baggage(play:context(), play:pick { "a", "b" },
    play:pick { "1", ("v"):rep(100), "\0\xff" }))
end

local function deadline(play)
  return play:keep("ctx.propagate.Deadline", propagate.deadline {
    header = "timeout", unit = play:pick { "ms", "s", "us", "ns", "grpc" },
  })
end

classes["ctx.propagate.Deadline"] = { make = deadline }

operations["ctx.propagate.deadline"] = deadline

operations["ctx.propagate.Deadline:encode"] = function(play)
  local value = play:one("ctx.propagate.Deadline"):encode(play:pick { 0, 1, 1.5, 1e9, math.huge })
  play:claim(value == nil or type(value) == "string", "a header that is no text")
end

operations["ctx.propagate.Deadline:decode"] = function(play)
  play:one("ctx.propagate.Deadline"):decode(play:value())
end

operations["ctx.propagate.set_tracer"] = function(play)
  if play:chance(4) then
    propagate.set_tracer(nil)
  else
    local exporter = play:chance(2) and play:one("ctx.propagate.otlp.Exporter")
      or { export = play:callback() }
    propagate.set_tracer { exporter = exporter, ratio = play:pick { 0, 0.5, 1 } }
  end
end

operations["ctx.propagate.is_tracing"] = function(play)
  play:claim(type(propagate.is_tracing()) == "boolean", "neither true nor false")
end

local function start_span(play)
  local c, span = propagate.start_span(play:context(), "work", {
    kind = play:pick { "server", "client", "internal" }, attributes = { n = play.random(9) },
  })
  play:keep("endless", c)
  return play:keep("ctx.propagate.Span", span)
end

classes["ctx.propagate.Span"] = {
  make = start_span, retire = function(_, span) span:finish() end,
}

operations["ctx.propagate.start_span"] = function(play)
  start_span(play)
  local _, span <close> = propagate.start_span(play:context(), "closed")
  play:step("a span")
  return span
end

operations["ctx.propagate.Span:set"] = function(play)
  play:one("ctx.propagate.Span"):set("key", play:pick { 1, "text", true, 1.5 })
end

operations["ctx.propagate.Span:finish"] = function(play)
  play:one("ctx.propagate.Span"):finish(play:value())
end

-- -- The exporter ---------------------------------------------------------------------------------

local function answer(play)
  return function(c)
    ctx.sleep(c, play.random(5))
    if play:chance(3) then
      return play:callback(nil, "an error")()
    end
    return { status = play:pick { 200, 400, 413, 429, 503 }, headers = {}, body = "{}" }
  end
end

local function exporter(play)
  return play:keep("ctx.propagate.otlp.Exporter", otlp.new {
    max_queue = play.random(4), batch = play.random(2), interval = play.random(10), timeout = 20,
    post = answer(play),
  })
end

local function brief_shutdown(play, object)
  object:shutdown(play:brief())
end

classes["ctx.propagate.otlp.Exporter"] = { make = exporter, retire = brief_shutdown }

operations["ctx.propagate.otlp.new"] = exporter

operations["ctx.propagate.otlp.Exporter:export"] = function(play)
  local to = play:one("ctx.propagate.otlp.Exporter")
  local previous = propagate.set_tracer { exporter = to }
  local _, span = propagate.start_span(play:context(), "exported")
  span:finish(play:strange_error())
  propagate.set_tracer(previous)
  play:claim(to:stats().queued >= 0, "less than no span")
end

operations["ctx.propagate.otlp.Exporter:flush"] = function(play)
  play:outcome("flush", play:one("ctx.propagate.otlp.Exporter"):flush(play:brief()))
end

operations["ctx.propagate.otlp.Exporter:shutdown"] = function(play)
  play:outcome("shutdown", exporter(play):shutdown(play:brief()))
end

operations["ctx.propagate.otlp.Exporter:stats"] = function(play)
  play:one("ctx.propagate.otlp.Exporter"):stats()
end

return { operations = operations, classes = classes }
