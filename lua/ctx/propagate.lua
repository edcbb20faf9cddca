-- SPDX-License-Identifier: MIT
--- Carries deadline, trace and baggage from one service to the next, in headers.
---
---     local c, ms = propagate.extract(parent, request.headers)     -- in the server
---     c, cancel = ctx.with_timeout(c, ms or 30000)
---     propagate.inject(c, headers)                                 -- in the client
---
--- Names of headers are in lower case. What others send is checked: the malformed counts as absent,
--- and nothing is invented in its place.
local core = require "ctx.core"
local baggage = require "ctx.propagate.baggage"
local deadlines = require "ctx.propagate.deadline"
local fields = require "ctx.fields"
local ids = require "ctx.propagate.ids"
local want = require "ctx.want"
local span = require "ctx.propagate.span"
local trace = require "ctx.propagate.trace"

---@class ctx.propagate
local propagate = {}

-- One per Lua state: what one instance of this module puts into a context, another one finds.
local shared = core.shared("ctx.propagate")
shared.trace = shared.trace or core.key("trace")
shared.baggage = shared.baggage or core.key("baggage")
local TRACE, BAGGAGE = shared.trace, shared.baggage

-- -- Deadlines -----------------------------------------------------------------------------------

local TEXT = want.optional(want.string)
local GRPC = deadlines.new("grpc-timeout", "grpc")

local DEADLINE_OPTIONS = {
  header = fields.free,
  unit = want.one_of("ms", "s", "us", "ns", "grpc"),
}

---@class ctx.propagate.DeadlineOptions
---@field header string
---@field unit? "ms"|"s"|"us"|"ns"|"grpc"  "ms" by default

--- Describes another header for the time that is left, to be given to inject and extract.
---@param options ctx.propagate.DeadlineOptions
---@return ctx.propagate.Deadline deadline
---@nodiscard
function propagate.deadline(options)
  options = want.options(options, "deadline", 1, DEADLINE_OPTIONS)
  want.argument(options.header, "deadline", 1, "options.header", "the name of a header", nil)
  return deadlines.new(fields.fold(options.header), options.unit or "ms")
end

--- The codec that is meant: nil is grpc-timeout, false is none.
local function codec(given, name)
  if given == nil then
    return GRPC
  end
  want.argument(given == false or deadlines.header(given), name, 3, "deadline",
    "a deadline, or false", given, 1)
  return given
end

-- -- Headers -------------------------------------------------------------------------------------

--- Sets the headers that are not there yet. A tracestate belongs to its traceparent: with another
--- one it would be wrong.
local function set_missing(headers, of_trace, members, left, left_name)
  local names = fields.names(headers)
  if of_trace and not names.traceparent then
    headers.traceparent = of_trace._parent
    if of_trace.state and not names.tracestate then
      headers.tracestate = of_trace.state
    end
  end
  if members and not names.baggage then
    headers.baggage = members.header
  end
  if left and not names[left_name] then
    headers[left_name] = left
  end
end

--- Writes what c has into headers, for the next service: traceparent, tracestate, baggage, and the
--- time that is left at this moment. What is there already stays, in whatever case its name is; a
--- context that is done writes nothing.
---@param c ctx.Context
---@param headers table
---@param deadline? ctx.propagate.Deadline|false  grpc-timeout by default; false: no deadline
---@return table headers
function propagate.inject(c, headers, deadline)
  want.context(c, "inject")
  want.table(headers, "inject", 2, "headers")
  local to = codec(deadline, "inject")
  if c:done() then
    return headers
  end
  local of_trace, members, left = c:value(TRACE), c:value(BAGGAGE), to and deadlines.left(to, c)
  if of_trace or members or left then
    set_missing(headers, of_trace, members, left, deadlines.header(to))
  end
  return headers
end

--- Reads what the caller sent, and returns a context below parent with the caller's trace and
--- baggage, or parent itself if there is nothing valid; and the ms that the caller has left, for
--- ctx.with_timeout.
---@param parent ctx.Context
---@param headers table  names in lower case; values are strings, or lists of them
---@param deadline? ctx.propagate.Deadline|false  grpc-timeout by default; false: no deadline
---@return ctx.Context c
---@return number? ms
function propagate.extract(parent, headers, deadline)
  want.context(parent, "extract")
  want.table(headers, "extract", 2, "headers")
  local from = codec(deadline, "extract")
  local c = parent
  if headers.traceparent ~= nil then
    local of_trace = trace.parse(headers.traceparent, headers.tracestate)
    c = of_trace and core.with_value(c, TRACE, of_trace) or c
  end
  if headers.baggage ~= nil then
    local members = baggage.parse(headers.baggage)
    c = members and core.with_value(c, BAGGAGE, members) or c
  end
  return c, from and deadlines.extract(from, headers) or nil
end

-- -- What a context has --------------------------------------------------------------------------

--- Returns where the trace stands, for logs: what the caller sent, or the current span; nil without
--- a trace. Do not change the table.
---@param c ctx.Context
---@return ctx.propagate.Trace? trace
function propagate.trace(c)
  want.context(c, "trace")
  return (c:value(TRACE))
end

--- Returns the value that goes with every call under this name, and its properties as they came;
--- without a name, a new table of all values.
---@param c ctx.Context
---@param name? string
---@return string|table<string, string>|nil value
---@return string? properties
function propagate.baggage(c, name)
  want.context(c, "baggage")
  TEXT(name, "baggage", 2, "name")
  local members = c:value(BAGGAGE)
  if name then
    local member = baggage.find(members, name)
    return member and member.value, member and member.properties
  end
  local values = {}
  for _, member in ipairs(members or {}) do
    values[member.name] = member.value
  end
  return values
end

--- Makes a context in which this name has this value; nil takes it out. Every service that is
--- called can read it: no secrets. There is room for 64 members and 8192 bytes: beyond that, the
--- oldest members are left out. A value that does not fit alone raises.
---@param c ctx.Context
---@param name string    letters, digits and !#$%&'*+-.^_`|~
---@param value string?  UTF-8; other bytes become U+FFFD
---@return ctx.Context c
---@nodiscard
function propagate.with_baggage(c, name, value)
  want.context(c, "with_baggage")
  want.argument(fields.is_token(name), "with_baggage", 2, "name", "a token", name)
  TEXT(value, "with_baggage", 3, "value")
  want.argument(value == nil or baggage.fits(name, value), "with_baggage", 3, "value",
    "with its name at most 8192 bytes, escaped,", value)
  local below = core.with_value(c, BAGGAGE, baggage.with(c:value(BAGGAGE), name, value))
  return below
end

-- -- Spans ---------------------------------------------------------------------------------------

local TRACER_OPTIONS = {
  exporter = want.rule("an object with a method 'export'", function(value)
    return type(value) == "table" and type(value.export) == "function"
  end),
  ratio = want.number(0, 1),
}

---@class ctx.propagate.Tracer
---@field exporter { export: fun(self: table, span: ctx.propagate.Span) }  gets each finished span
---@field ratio? number  so large a part of the traces that begin here is recorded: 1

--- Records spans from now on, in this Lua state; nil ends that.
---@param options ctx.propagate.Tracer?
---@return ctx.propagate.Tracer? previous
function propagate.set_tracer(options)
  if options ~= nil then
    want.options(options, "set_tracer", 1, TRACER_OPTIONS)
    want.argument(options.exporter, "set_tracer", 1, "options.exporter",
      "an object with a method 'export'", nil)
  end
  local previous = shared.tracer
  shared.tracer = options
  return previous
end

--- Returns whether spans are recorded. Without a tracer, nobody needs a span's attributes.
---@return boolean tracing
function propagate.is_tracing()
  return shared.tracer ~= nil
end

local SPAN_OPTIONS = {
  kind = want.one_of("internal", "server", "client", "producer", "consumer"),
  attributes = span.attributes,
}

--- Whether a trace that begins here is recorded: the same for the same id in each service.
local function is_chosen(trace_id, ratio)
  return tonumber(trace_id:sub(-14), 16) >= (1 - ratio) * 2 ^ 56
end

--- A new place in the trace of c, or in a new trace.
local function next_place(parent, tracer)
  if parent then
    return trace.new(parent.trace_id, ids.span(), parent._flags, parent.state, false)
  end
  local trace_id = ids.trace()
  local flags = trace.RANDOM | (is_chosen(trace_id, tracer.ratio or 1) and trace.SAMPLED or 0)
  return trace.new(trace_id, ids.span(), flags, nil, false)
end

---@class ctx.propagate.SpanOptions
---@field kind? "internal"|"server"|"client"|"producer"|"consumer"  internal
---@field attributes? table<string, string|number|boolean>

--- Makes a context for one piece of work, and a span that records its outcome; close it:
--- `local c, span <close> = propagate.start_span(c, "charge")`. The span is recorded if the trace
--- is. Without a tracer, the results are c itself and a span that does nothing.
---@param c ctx.Context
---@param name string
---@param options? ctx.propagate.SpanOptions
---@return ctx.Context c
---@return ctx.propagate.Span span
function propagate.start_span(c, name, options)
  want.context(c, "start_span")
  want.string(name, "start_span", 2, "name")
  if options ~= nil then
    want.options(options, "start_span", 3, SPAN_OPTIONS)
  end
  local tracer = shared.tracer
  if not tracer then
    return c, span.none
  end
  local parent = c:value(TRACE)
  local here = next_place(parent, tracer)
  local below = core.with_value(c, TRACE, here)
  if not here.sampled then
    return below, span.none
  end
  local new = span.new({
    name = name, kind = options and options.kind or "internal",
    trace_id = here.trace_id, span_id = here.span_id,
    flags = here._flags, state = here.state,
    parent_span_id = parent and parent.span_id, parent_is_remote = parent ~= nil and parent.remote,
  }, below, tracer.exporter)
  if options and options.attributes then
    span.set_all(new, options.attributes)
  end
  return below, new
end

return propagate
