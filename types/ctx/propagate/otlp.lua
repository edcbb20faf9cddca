-- SPDX-License-Identifier: MIT
---@meta ctx.propagate.otlp

---Sends finished spans to a collector: OTLP over HTTP, as JSON.
---@class ctx.propagate.otlp
local otlp = {}

---An exporter for `propagate.set_tracer`.
---@class ctx.propagate.Otlp
local Otlp = {}

---@class ctx.propagate.otlp.Response
---@field status integer
---@field headers? table<string, string>  names in lower case
---@field body? string

---@alias ctx.propagate.otlp.Post
---| fun(c: ctx.Context, url: string, headers: table, body: string):
---    ctx.propagate.otlp.Response?, any

---@class ctx.propagate.otlp.Options
---@field endpoint? string    "http://127.0.0.1:4318/v1/traces"
---@field service? string     service.name
---@field resource? table<string, string|number|boolean>  what else is true of all spans
---@field headers? table<string, string>
---@field max_queue? integer  spans that wait at most: 2048
---@field batch? integer      spans that are sent at once: 512
---@field interval? number    ms that a span waits at most for others: 5000
---@field timeout? number     ms for a batch, with all attempts: 10 000
---@field post? ctx.propagate.otlp.Post  by default by ctx.http

---@param options? ctx.propagate.otlp.Options
---@return ctx.propagate.Otlp
---@nodiscard
function otlp.new(options) end

---Queues a span, or drops it when the queue is full. Never waits.
---@param span ctx.propagate.FinishedSpan
function Otlp:export(span) end

---Sends now what is queued, and waits until that is sent or given up.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err
function Otlp:flush(c) end

---Takes no more spans, and sends the rest; what is left when c ends is dropped.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err
function Otlp:shutdown(c) end

---@return { queued: integer, sent: integer, dropped: integer, failed: integer, rejected: integer }
function Otlp:stats() end

return otlp
