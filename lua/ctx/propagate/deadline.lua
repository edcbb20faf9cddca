-- SPDX-License-Identifier: MIT
--- Internal: the time that is left, as a header.
---
--- It travels as a duration, never as a moment, since two clocks never agree; what the way takes is
--- the callee's gain. It is rounded down, so that the callee does not work on after we gave up, but
--- never to zero, which the one may read as "over" and the other as "without end".
local core = require "ctx.core"
local fields = require "ctx.fields"
local want = require "ctx.want"

local deadline = {}

local LONGEST = 9e12   -- ms: more than any clock can show
local MAX_LENGTH = 100 -- bytes of a header that is looked at

-- What one of a unit is in ns.
local UNIT_NS = { ns = 1, us = 1000, ms = 1000000, s = 1000000000 }
local GRPC_NS = { n = 1, u = 1000, m = 1000000, S = 1000000000, M = 60000000000,
  H = 3600000000000 }
local GRPC_UNITS = { "n", "u", "m", "S", "M", "H" } -- from small to large

local function encode_grpc(ns)
  for _, unit in ipairs(GRPC_UNITS) do
    local n = ns // GRPC_NS[unit]
    if n <= 99999999 then
      return n .. unit
    end
  end
end

local function decode_grpc(text)
  local digits, unit = text:match("^(%d+)([HMSmun])$")
  if digits and #digits <= 8 then
    return tonumber(digits) * 1.0 * GRPC_NS[unit] / 1e6
  end
end

--- Seconds have a fraction, down to the millisecond; the others are whole.
local function encode_plain(ns, unit)
  if unit == "s" then
    local ms = math.max(ns // 1000000, 1)
    return ("%d.%03d"):format(ms // 1000, ms % 1000)
  end
  return ("%d"):format(math.max(ns // UNIT_NS[unit], 1))
end

--- By its digits alone, as tonumber reads the point of the locale.
local function decode_plain(text, unit)
  local whole, point, fraction = text:match("^(%d+)(%.?)(%d*)$")
  if whole and #text <= 20 and (point == "") == (fraction == "") then
    return tonumber(whole .. fraction) / 10.0 ^ #fraction * UNIT_NS[unit] / 1e6
  end
end

---@class ctx.propagate.Deadline
---@field _header string
---@field _unit string
local Deadline = {}
local metatable = { __name = "ctx.propagate.Deadline", __index = Deadline }

---@param header string  in lower case
---@param unit "ms"|"s"|"us"|"ns"|"grpc"
---@return ctx.propagate.Deadline
function deadline.new(header, unit)
  return setmetatable({ _header = header, _unit = unit }, metatable)
end

--- Returns the value of the header for so many ms; nil when no time is left, and for math.huge.
---@param ms number
---@return string? value
function Deadline:encode(ms)
  want.self(self, metatable, "encode")
  want.argument(type(ms) == "number" and ms == ms, "encode", 1, "ms", "a number", ms)
  if ms <= 0 or ms >= LONGEST then
    return nil
  end
  local to_text = self._unit == "grpc" and encode_grpc or encode_plain
  return (to_text(math.max(math.floor(ms * 1e6), 1), self._unit))
end

--- Returns the ms that the value of a header means; nil if it is malformed, or more than a clock
--- can show.
---@param value any
---@return number? ms
function Deadline:decode(value)
  want.self(self, metatable, "decode")
  local text = fields.single(value, MAX_LENGTH)
  local to_ms = self._unit == "grpc" and decode_grpc or decode_plain
  local ms = text and to_ms(text, self._unit)
  return ms and ms < LONGEST and ms or nil
end

--- The name of the header that it reads; nil if it is no codec.
---@param codec any
---@return string?
function deadline.header(codec)
  return getmetatable(codec) == metatable and codec._header or nil
end

--- The ms that these headers leave; nil if they do not say.
---@param codec ctx.propagate.Deadline
---@param headers table
---@return number?
function deadline.extract(codec, headers)
  local value = headers[codec._header]
  return value ~= nil and codec:decode(value) or nil
end

--- What is left now, for the header; nil without a deadline.
---@param codec ctx.propagate.Deadline
---@param c ctx.Context
---@return string?
function deadline.left(codec, c)
  local at = c:deadline()
  return at and codec:encode(at - core.now())
end

return deadline
