-- SPDX-License-Identifier: MIT
--- Internal: the headers `traceparent` and `tracestate` of W3C Trace Context.
---
--- Level 1, which is the Recommendation, with two things of level 2: the flag that says that a
--- trace id is random, and the wider alphabet of keys in tracestate. A sender of level 1 alone
--- sends nothing that is refused here.
local fields = require "ctx.fields"

local trace = {}

trace.SAMPLED, trace.RANDOM = 1, 2
local KNOWN = trace.SAMPLED | trace.RANDOM

local LENGTH = 55      -- of a traceparent of version 00
local MAX_PARENT = 512 -- of one of any version, with blanks around it
local MAX_MEMBERS, MAX_STATE, LONG_MEMBER = 32, 512, 128
local MAX_KEY, MAX_VALUE = 256, 256
-- Of a tracestate that is looked at: 32 members of full length, with as many blanks.
local MAX_HEADER = 2 * MAX_MEMBERS * (MAX_KEY + MAX_VALUE + 2)

--- Where a trace stands: what the caller sent, or the current span. Nothing changes after creation.
---@class ctx.propagate.Trace
---@field trace_id string   32 digits
---@field span_id string    16 digits: of the caller's span, or of the current one
---@field sampled boolean   the sender that began the trace records it
---@field random boolean    the trace id is random in its last 14 digits
---@field state string?     the tracestate, as it goes on
---@field remote boolean    the span is the caller's
---@field _flags integer     those that we know
---@field _parent string    the traceparent that goes on
local metatable = { __name = "ctx.propagate.Trace", __index = {} }

function metatable.__tostring(self)
  return self._parent
end

---@param trace_id string
---@param span_id string
---@param flags integer
---@param state string?
---@param remote boolean
---@param parent? string  the caller's, if it goes on as it is
---@return ctx.propagate.Trace
function trace.new(trace_id, span_id, flags, state, remote, parent)
  return setmetatable({
    trace_id = trace_id, span_id = span_id, state = state, remote = remote,
    sampled = flags & trace.SAMPLED ~= 0, random = flags & trace.RANDOM ~= 0,
    _flags = flags & KNOWN,
    _parent = parent or ("00-%s-%s-%02x"):format(trace_id, span_id, flags & KNOWN),
  }, metatable)
end

local PARENT = "^(%x%x)%-(%x+)%-(%x+)%-(%x%x)()"

--- trace id, span id, flags, and the header itself where it may go on as it is; nil if it is no
--- traceparent. Digits in upper case, which %x takes, are malformed.
local function split(header)
  if header:sub(1, LENGTH):find("[A-Z]") then
    return nil
  end
  local version, trace_id, span_id, flags, after = header:match(PARENT)
  if not version or version == "ff" or #trace_id ~= 32 or #span_id ~= 16
      or not trace_id:find("[^0]") or not span_id:find("[^0]") then
    return nil
  elseif version == "00" then
    return #header == LENGTH and trace_id or nil, span_id, flags, header
  end
  -- Later versions may add to the end, after a dash.
  return (after > #header or header:sub(after, after) == "-") and trace_id or nil, span_id, flags
end

--- Puts the state on one line and in its limits; nil if it is malformed or holds nothing.
--- Two members with one key are the sender's business: they go on as they are. Empty members are
--- allowed, and count as the others do.
---@param header any
---@return string?
function trace.state(header)
  header = fields.joined(header, MAX_HEADER)
  if not header or #header > MAX_HEADER then
    return nil
  end
  local members, length, pieces = {}, -1, 0
  for piece in header:gmatch("[^,]+") do
    pieces = pieces + 1
    if pieces > MAX_MEMBERS then
      return nil
    end
    local member = fields.trim(piece)
    if member ~= "" then
      local key, value = member:match("^([a-z0-9][a-z0-9_%-*/@]*)=([ -+%-.-<>-~]+)$")
      if not key or #key > MAX_KEY or #value > MAX_VALUE then
        return nil
      end
      members[#members + 1] = member
      length = length + #member + 1
    end
  end
  return length > 0 and trace.shorten(members, length) or nil
end

--- The members on one line, of which whole ones are left out until it is short enough: first the
--- long ones, then the oldest, which are at the end.
---@param members string[]
---@param length integer  of the line
---@return string?
function trace.shorten(members, length)
  for _, least in ipairs { LONG_MEMBER + 1, 1 } do
    for i = #members, 1, -1 do
      if length > MAX_STATE and #members[i] >= least then
        length = length - #members[i] - 1
        table.remove(members, i)
      end
    end
  end
  return members[1] and table.concat(members, ",")
end

--- What the caller sent; nil if that is nothing, or malformed. Without a valid traceparent nothing
--- in tracestate counts; the other way round, a malformed tracestate is left out.
---@param parent any  the header
---@param state any   the header
---@return ctx.propagate.Trace?
function trace.parse(parent, state)
  parent = fields.single(parent, MAX_PARENT)
  if not parent then
    return nil
  end
  local trace_id, span_id, flags, unchanged = split(parent)
  if not trace_id then
    return nil
  end
  -- What else a later version said is not ours to pass on as 00.
  return trace.new(trace_id, span_id, tonumber(flags, 16), state and trace.state(state), true,
    unchanged)
end

return trace
