-- SPDX-License-Identifier: MIT
--- Sends finished spans to a collector: OTLP over HTTP, as JSON.
---
---     local exporter = otlp.new { endpoint = "http://127.0.0.1:4318/v1/traces", service = "shop" }
---     propagate.set_tracer { exporter = exporter, ratio = 0.1 }
---     …
---     exporter:shutdown(c)                        -- sends the rest, as long as c lives
---
--- To export a span is to put it into a queue, and costs nothing more: when the queue is full, the
--- span is dropped and counted. A task sends what is queued, one batch at a time; it is there only
--- while there is something to send, and between batches nothing keeps the program alive.
local core = require "ctx.core"
local encode = require "ctx.propagate.otlp.encode"
local errors = require "ctx.errors"
local fields = require "ctx.fields"
local fifo = require "ctx.fifo"
local want = require "ctx.want"
local propagate = require "ctx.propagate"
local report = require "ctx.report"
local retry = require "ctx.retry"
local spans = require "ctx.propagate.span"

---@class ctx.propagate.otlp
local otlp = {}

local MAX_BODY = 4 * 1024 * 1024 -- bytes, after which a batch takes no more
local AT_A_TIME = 32             -- spans that are encoded before others get a turn
local BACKOFF, MAX_BACKOFF = 1000, 30000 -- ms

-- What others ask the sender to try again, by the words of OTLP.
local TRANSIENT = { [429] = true, [502] = true, [503] = true, [504] = true }

-- -- Options -------------------------------------------------------------------------------------

---@class ctx.propagate.otlp.Response
---@field status integer
---@field headers? table<string, string>  names in lower case
---@field body? string

---@class ctx.propagate.otlp.Options
---@field endpoint? string    "http://127.0.0.1:4318/v1/traces"
---@field service? string     service.name
---@field resource? table<string, string|number|boolean>  what else is true of all spans
---@field headers? table<string, string>
---@field max_queue? integer  spans that wait at most: 2048
---@field batch? integer      spans that are sent at once: 512
---@field interval? number    ms that a span waits at most for others: 5000
---@field timeout? number     ms for a batch, with all attempts: 10 000
---@field post? fun(c: ctx.Context, url: string, headers: table, body: string):
---                  ctx.propagate.otlp.Response?, any

local OPTIONS = {
  endpoint = want.rule("a URL", function(value)
    return fields.is_value(value) and value:find("^https?://.")
  end),
  service = want.string,
  resource = spans.attributes,
  headers = want.table_of("a table of strings without control characters",
    want.rule("a value of a header", fields.is_value)),
  max_queue = want.count, batch = want.count,
  interval = want.positive_ms, timeout = want.positive_ms,
  post = want.fn,
}

--- The client of ctx.http, which is not asked for before it is needed.
local function post_by_http(c, url, headers, body)
  return require("ctx.http.client").request(c, {
    method = "POST", url = url, headers = headers, body = body, propagate = false,
  })
end

---@class ctx.propagate.otlp.Exporter
---@field _queue ctx.fifo.Fifo  of spans
---@field _ever integer    spans that have ever been queued
---@field _over integer    of these, those that are sent, or given up
---@field _task ctx.Task?  that sends a batch, if its status says so
---@field _in_hand integer spans that it has taken, and knows nothing of yet
---@field _closed boolean
local Exporter = {}
local metatable = { __name = "ctx.propagate.otlp.Exporter", __index = Exporter }

local function resource_of(options)
  local resource = {
    ["telemetry.sdk.name"] = "ctx", ["telemetry.sdk.language"] = "lua",
    ["telemetry.sdk.version"] = core._VERSION:match("[%d.]+"),
  }
  for key, value in pairs(options.resource or {}) do
    resource[key] = value
  end
  resource["service.name"] = options.service or resource["service.name"] or "unknown_service:lua"
  return resource
end

--- Makes an exporter for propagate.set_tracer.
---@param options? ctx.propagate.otlp.Options
---@return ctx.propagate.otlp.Exporter exporter
---@nodiscard
function otlp.new(options)
  options = want.options(options, "new", 1, OPTIONS)
  local headers, wrong = fields.of(options.headers or {})
  want.argument(headers, "new", 1, "options.headers", "names of headers, each once,", wrong)
  for _, name in ipairs { "content-length", "transfer-encoding" } do
    want.argument(headers[name] == nil, "new", 1, "options.headers",
      "nothing that says where the body ends", name)
  end
  headers["content-type"] = "application/json"
  local before, after = encode.frame(resource_of(options))
  return setmetatable({
    _endpoint = options.endpoint or "http://127.0.0.1:4318/v1/traces", _headers = headers,
    _max_queue = options.max_queue or 2048, _batch = options.batch or 512,
    _interval = options.interval or 5000, _timeout = options.timeout or 10000,
    _post = options.post or post_by_http, _before = before, _after = after,
    _queue = fifo.new(), _ever = 0, _over = 0,
    _closed = false, _failing = false,
    _in_hand = 0, _sent = 0, _dropped = 0, _failed = 0, _rejected = 0,
  }, metatable)
end

-- -- One batch -----------------------------------------------------------------------------------

---@class ctx.propagate.otlp.Refusal
---@field status any
---@field wait_ms number?
local Refusal = { __name = "ctx.propagate.otlp.Refusal" }

function Refusal:__tostring()
  return "status " .. tostring(self.status)
end

local function refusal(response)
  local headers = response.headers or {}
  -- A date instead of seconds is not worth a clock that may be wrong.
  local seconds = tostring(headers["retry-after"]):match("^%d+$")
  return setmetatable({
    status = response.status,
    wait_ms = seconds and #seconds < 9 and tonumber(seconds) * 1000.0 or nil,
  }, Refusal)
end

local function is_transient(err)
  return getmetatable(err) ~= Refusal or TRANSIENT[err.status] or false
end

local function is_too_large(err)
  return getmetatable(err) == Refusal and err.status == 413
end

local function backoff(attempt, err)
  local asked = getmetatable(err) == Refusal and err.wait_ms
  local grown = math.min(BACKOFF * 2.0 ^ (attempt - 1), MAX_BACKOFF)
  return asked or grown * (0.5 + math.random() / 2)
end

local RETRY = { attempts = math.huge, backoff = backoff, retryable = is_transient }

local function attempt(c, self, body)
  local response, err = self._post(c, self._endpoint, fields.of(self._headers), body)
  if not response then
    return nil, err or errors.new("no response")
  elseif type(response.status) ~= "number" or response.status // 100 ~= 2 then
    return nil, refusal(response)
  end
  return response
end

--- Takes spans from the queue: each as JSON. One that cannot be encoded is dropped.
local function take(c, self)
  local parts, bytes, taken = {}, 0, 0
  while taken < self._batch and self._queue.count > 0 and bytes < MAX_BODY do
    taken = taken + 1
    local ok, json = pcall(encode.span, fifo.pop(self._queue))
    if ok then
      parts[#parts + 1], bytes = json, bytes + #json
      self._in_hand = #parts
    else
      self._dropped = self._dropped + 1
    end
    if taken % AT_A_TIME == 0 then
      core.sleep(c, 0)
    end
  end
  return parts
end

local function note(self, count, response, err)
  self._in_hand = self._in_hand - count
  if response then
    local rejected = math.min(encode.rejected(response.body), count)
    self._sent, self._rejected = self._sent + count - rejected, self._rejected + rejected
    self._failing = false
    return
  end
  self._failed = self._failed + count
  -- Once for each outage: the report must not be what brings the service down.
  if not self._failing then
    self._failing = true
    report.send(("otlp: %d spans are lost, since %s does not take them: %s")
      :format(count, self._endpoint:gsub("//[^/]*@", "//"), report.describe(err)), "otlp")
  end
end

--- Sends all spans at once, or, to a receiver for which that is too much, as many as it takes:
--- after each 413 half as many, so only a span that is too large alone is lost.
local function send_parts(c, self, parts)
  local from, most = 1, #parts
  while from <= #parts do
    local to = math.min(from + most - 1, #parts)
    local count = to - from + 1
    local body = self._before .. table.concat(parts, ",", from, to) .. self._after
    local ok, response, err = pcall(retry.call, c, RETRY, attempt, self, body)
    if not ok then
      response, err = nil, response
    end
    if count > 1 and is_too_large(err) then
      most = count // 2
    else
      note(self, count, response, err)
      from = to + 1
    end
  end
end

--- A trace that is not recorded, so that sending spans makes none.
local UNTRACED = { traceparent = ("00-%032x-%016x-00"):format(1, 1) }

local function send_batch(self)
  local background = propagate.extract(core.background(), UNTRACED)
  local c, cancel <close> = core.with_timeout(background, self._timeout, "otlp: timeout")
  self._cancel = cancel
  send_parts(c, self, take(c, self))
  self._cancel = nil
end

-- -- The task that sends -------------------------------------------------------------------------

local start

--- Asks the task, since one that gets no memory to begin with cannot say that it is over.
local function is_sending(self)
  local status = self._task and self._task:status()
  return status ~= nil and status ~= "done" and status ~= "failed"
end

--- Sends what is queued after a while, unless that happens sooner.
local function arm(self)
  if self._cancel_timer then
    return
  end
  local c, cancel = core.with_timeout(core.background(), self._interval)
  local ok, stop = pcall(core.after_func, c, function()
    start(self)
  end)
  if not ok then
    cancel()
    error(stop, 0)
  end
  self._cancel_timer, self._stop_timer = cancel, stop
end

local function disarm(self)
  local cancel, stop = self._cancel_timer, self._stop_timer
  if cancel then
    self._cancel_timer, self._stop_timer = nil, nil
    stop()
    cancel()
  end
end

--- However a batch ends, also when the coroutine is closed, its spans are over.
local Sending = {}

function Sending:__close()
  local exporter = self.exporter
  exporter._task, exporter._over = nil, exporter._ever - exporter._queue.count
  exporter._failed, exporter._in_hand = exporter._failed + exporter._in_hand, 0
end

local function send(self, sending)
  do
    local _ <close> = sending
    send_batch(self)
  end
  if self._queue.count >= self._batch then
    start(self)
  elseif self._queue.count > 0 then
    arm(self)
  end
end

function start(self)
  disarm(self)
  if not is_sending(self) and self._queue.count > 0 then
    self._task = core.go(send, self, setmetatable({ exporter = self }, Sending))
  end
end

-- -- The face ------------------------------------------------------------------------------------

--- Queues a span, or drops it when the queue is full. Never waits.
---@param span ctx.propagate.Span
function Exporter:export(span)
  want.self(self, metatable, "export")
  if self._closed or self._queue.count >= self._max_queue then
    self._dropped = self._dropped + 1
    return
  end
  fifo.push(self._queue, span)
  self._ever = self._ever + 1
  if is_sending(self) then
    return
  elseif self._queue.count >= self._batch then
    start(self)
  else
    arm(self)
  end
end

--- Waits until what was queued before is over.
local function flush(self, c)
  local target, err = self._ever, c:ended()
  while err == nil and self._over < target do
    start(self)
    self._task:wait(c)
    err = self._over < target and c:ended() or nil
  end
  return err == nil or nil, err
end

--- Sends now what is queued, and waits until it is sent or given up.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err  when c ended first
function Exporter:flush(c)
  want.self(self, metatable, "flush")
  want.context(c, "flush")
  local ok, err = flush(self, c)
  return ok, err
end

--- Takes no more spans, and sends the rest; what is left when c ends is dropped.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err  when c ended first
function Exporter:shutdown(c)
  want.self(self, metatable, "shutdown")
  want.context(c, "shutdown")
  self._closed = true
  local ok, err = flush(self, c)
  disarm(self)
  self._dropped, self._queue = self._dropped + self._queue.count, fifo.new()
  if self._cancel and not ok then
    self._cancel(err)
  elseif not is_sending(self) then
    self._over = self._ever
  end
  return ok, err
end

--- Returns the numbers of spans: queued, sent, and lost in different ways.
---@return { queued: integer, sent: integer, dropped: integer, failed: integer, rejected: integer }
---          stats
function Exporter:stats()
  want.self(self, metatable, "stats")
  return {
    queued = self._queue.count, sent = self._sent, dropped = self._dropped, failed = self._failed,
    rejected = self._rejected,
  }
end

return otlp
