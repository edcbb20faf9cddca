-- SPDX-License-Identifier: MIT
---@meta ctx.propagate

---Carries deadline, trace and baggage from one service to the next, in headers.
---@class ctx.propagate
local propagate = {}

---Where a trace stands. Not to be changed.
---@class ctx.propagate.Trace
---@field trace_id string  32 digits
---@field span_id string   16 digits: of the current span, or of the caller's
---@field sampled boolean  it is being recorded
---@field random boolean   the last 14 digits of the trace id are random
---@field state? string    the tracestate
---@field remote boolean   the span is the caller's

---@class ctx.propagate.Deadline
local Deadline = {}

---What a service did for a trace. The fields are for exporters, and only to be read.
---@class ctx.propagate.Span
local Span = {}

---What an exporter gets.
---@class ctx.propagate.FinishedSpan : ctx.propagate.Span
---@field recording boolean  it is, or will be, exported
---@field name string
---@field kind "internal"|"server"|"client"|"producer"|"consumer"
---@field trace_id string
---@field span_id string
---@field parent_span_id? string
---@field parent_is_remote boolean
---@field flags integer      those of traceparent
---@field state? string      the tracestate
---@field start_ns integer   since 1970
---@field end_ns integer
---@field attributes table<string, string|number|boolean>
---@field dropped integer    attributes that were too many
---@field status "ok"|"error"|"canceled"|"deadline_exceeded"
---@field cause any          the error

---@class ctx.propagate.Span.Options
---@field kind? "internal"|"server"|"client"|"producer"|"consumer"  internal by default
---@field attributes? table<string, string|number|boolean>

---@class ctx.propagate.Tracer
---@field exporter { export: fun(self: table, span: ctx.propagate.FinishedSpan) }
---@field ratio? number  so large a part of the traces that begin here is recorded: 1

---@class ctx.propagate.Deadline.Options
---@field header string
---@field unit? "ms"|"s"|"us"|"ns"|"grpc"  "ms" by default

---Writes traceparent, tracestate, baggage and the time that is left; what is there already stays.
---@param c ctx.Context
---@param headers table
---@param deadline? ctx.propagate.Deadline|false  grpc-timeout by default; false: none
---@return table headers
function propagate.inject(c, headers, deadline) end

---A context below parent with the caller's trace and baggage, or parent itself; and the ms that the
---caller has left, for `ctx.with_timeout`.
---@param parent ctx.Context
---@param headers table  names in lower case; values are strings, or lists of them
---@param deadline? ctx.propagate.Deadline|false  grpc-timeout by default; false: none
---@return ctx.Context c
---@return number? ms
function propagate.extract(parent, headers, deadline) end

---@param c ctx.Context
---@return ctx.propagate.Trace?
function propagate.trace(c) end

---A value with its properties; without a name, a table of all values.
---@param c ctx.Context
---@param name? string
---@return string|table<string, string>|nil value
---@return string? properties
function propagate.baggage(c, name) end

---A context with this value; the oldest members make room. A value that fits into no header raises.
---@param c ctx.Context
---@param name string
---@param value string?  UTF-8; nil takes it out
---@return ctx.Context
---@nodiscard
function propagate.with_baggage(c, name, value) end

---Another header for the time that is left.
---@param options ctx.propagate.Deadline.Options
---@return ctx.propagate.Deadline
---@nodiscard
function propagate.deadline(options) end

---@param ms number
---@return string?  value of the header; nil when nothing is left, and without a limit
function Deadline:encode(ms) end

---@param value any  of the header
---@return number? ms  nil if it is malformed
function Deadline:decode(value) end

---From now on spans are recorded, for this Lua state; nil ends it.
---@param options ctx.propagate.Tracer?
---@return ctx.propagate.Tracer? previous
function propagate.set_tracer(options) end

---@return boolean  whether spans are recorded
---@nodiscard
function propagate.is_tracing() end

---A context for one piece of work, and its span: `local c, span <close> = …`.
---@param c ctx.Context
---@param name string
---@param options? ctx.propagate.Span.Options
---@return ctx.Context c
---@return ctx.propagate.Span span
---@nodiscard
function propagate.start_span(c, name, options) end

---Notes an attribute.
---@param key string
---@param value string|number|boolean
function Span:set(key, value) end

---The work is over: well, or with an error. Only the first word counts.
---@param err? any
function Span:finish(err) end

return propagate
