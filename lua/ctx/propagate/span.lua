-- SPDX-License-Identifier: MIT
--- Internal: spans, which say what a service did for a trace, and how long it took.
local core = require "ctx.core"
local errors = require "ctx.errors"
local loop = require "ctx.loop"
local want = require "ctx.want"
local report = require "ctx.report"

local span = {}

local MAX_ATTRIBUTES = 128

local SCALAR = { string = true, number = true, boolean = true }
local ATTRIBUTE = want.rule("a string, number or boolean", function(value)
  return SCALAR[type(value)]
end)

--- A rule: what a span or a resource can have.
span.attributes = want.table_of("a table of strings, numbers and booleans", ATTRIBUTE)

--- What an exporter gets once it is finished; only to be read.
---@class ctx.propagate.Span
---@field recording boolean  it will be exported
---@field name string
---@field kind "internal"|"server"|"client"|"producer"|"consumer"
---@field trace_id string
---@field span_id string
---@field parent_span_id string?
---@field parent_is_remote boolean
---@field flags integer
---@field state string?
---@field start_ns integer   since 1970
---@field end_ns integer?
---@field attributes table<string, string|number|boolean>
---@field dropped integer    attributes that were too many
---@field status "ok"|"error"|"canceled"|"deadline_exceeded"|nil
---@field cause any          the error
---@field _exporter table?
local Span = {}
local metatable = { __name = "ctx.propagate.Span", __index = Span }
span.class = Span

--- The span of whatever is not recorded.
span.none = setmetatable({ recording = false, _finished = true }, metatable)

--- Wall-clock time. It is read once: the end counts from there by the clock of deadlines, which
--- nobody steps.
local function unix_ns()
  local seconds, microseconds = loop.uv.gettimeofday()
  -- On 32 bits luv gives floats, which are too coarse for ns.
  return math.tointeger(seconds) * 1000000000 + math.tointeger(microseconds) * 1000
end

---@param fields table
---@param c ctx.Context
---@param exporter table
---@return ctx.propagate.Span
function span.new(fields, c, exporter)
  fields.recording = true
  fields.start_ns, fields._began = unix_ns(), core.now()
  fields.attributes, fields.dropped, fields._count = {}, 0, 0
  fields._finished, fields._c, fields._exporter = false, c, exporter
  return setmetatable(fields, metatable)
end

local function put(self, key, value)
  if self.attributes[key] == nil then
    if self._count >= MAX_ATTRIBUTES then
      self.dropped = self.dropped + 1
      return
    end
    self._count = self._count + 1
  end
  self.attributes[key] = value
end

--- Notes an attribute. On a span that is finished or not recorded it does nothing; attributes
--- beyond 128 are only counted.
---@param key string
---@param value string|number|boolean
function Span:set(key, value)
  want.self(self, metatable, "set")
  want.string(key, "set", 1, "key")
  ATTRIBUTE(value, "set", 2)
  if not self._finished then
    put(self, key, value)
  end
end

---@param self ctx.propagate.Span
---@param attributes table
function span.set_all(self, attributes)
  for key, value in pairs(attributes) do
    put(self, key, value)
  end
end

local function status_of(err)
  if err == nil then
    return "ok"
  elseif errors.is(err, errors.deadline_exceeded) then
    return "deadline_exceeded"
  elseif errors.is(err, errors.canceled) then
    return "canceled"
  end
  return "error"
end

--- Tells that the work is over, with an error if one is given. Only the first call counts.
---@param err? any
function Span:finish(err)
  want.self(self, metatable, "finish")
  if self._finished then
    return
  end
  local exporter = self._exporter
  self._finished, self._c, self._exporter = true, nil, nil
  self.end_ns = self.start_ns + math.max(math.floor((core.now() - self._began) * 1e6), 0)
  self.status, self.cause = status_of(err), err
  -- An error of the exporter must not affect the work.
  report.guard("propagate", "the exporter", exporter.export, exporter, self)
end

--- Without a status, it ends with the error that leaves the scope, or that its context has ended
--- with.
function metatable.__close(self, err)
  if err == nil and self._c then
    err = self._c:ended()
  end
  self:finish(err)
end

return span
