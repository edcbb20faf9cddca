-- SPDX-License-Identifier: MIT
--- Internal: the header `baggage` of W3C Baggage: names with values, and with properties that we
--- pass on without a look.
---
--- A list of members is never changed, only made anew. Its line is kept with it, so that sending it
--- costs nothing.
---
--- The work for a header is bounded by what may be kept of it, 64 members and 8192 bytes, and not
--- by what was sent: it is read before anybody knows whose request this is. Each piece between
--- commas counts, also one that is malformed.
local fields = require "ctx.fields"
local text = require "ctx.text"

local baggage = {}

local MAX_MEMBERS, MAX_LENGTH = 64, 8192

local TOKEN = fields.TOKEN .. "+"
local OCTETS = "[!#-+%-.-:<-[%]^-~]*"
local NOT_OCTET = "[^!#$&-+%-.-:<-[%]^-~]" -- nor a percent sign, which begins an escape

---@class ctx.propagate.Member
---@field name string
---@field value string        UTF-8
---@field properties string?  "key=value;key", as they came
---@field text string         as it is sent

---@class ctx.propagate.Members
---@field [integer] ctx.propagate.Member
---@field header string

--- The value that the octets mean. By W3C Baggage it is UTF-8, and what is not becomes U+FFFD.
local function decode(octets)
  if not octets:find("%", 1, true) then
    return octets
  end
  return text.utf8((octets:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)))
end

local function encode(value)
  return (value:gsub(NOT_OCTET, function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

local PAIR = "^[ \t]*(" .. TOKEN .. ")[ \t]*=[ \t]*(" .. OCTETS .. ")[ \t]*()"
local PROPERTY = "^;[ \t]*(" .. TOKEN .. ")[ \t]*(=?)[ \t]*(" .. OCTETS .. ")[ \t]*()"
local NO_PROPERTY = "^;[ \t]*()"

--- "; a = b ; c" from this place on → ";a=b;c"; nil if one of them is malformed.
local function parse_properties(member, at)
  local list = {}
  while at <= #member do
    local key, equals, value, after = member:match(PROPERTY, at)
    if not key then
      after = member:match(NO_PROPERTY, at)
    end
    if not after or equals == "" and value ~= "" then
      return nil
    end
    list[#list + 1] = key and ";" .. key .. equals .. value
    at = after
  end
  return table.concat(list)
end

local function parse_member(member)
  local name, value, after = member:match(PAIR)
  local properties = name and parse_properties(member, after)
  if not properties then
    return nil
  end
  return {
    name = name, value = decode(value), text = name .. "=" .. value .. properties,
    properties = properties ~= "" and properties:sub(2) or nil,
  }
end

--- The list with its line; nil for an empty one.
local function with_line(members)
  local lines = {}
  for i, member in ipairs(members) do
    lines[i] = member.text
  end
  members.header = table.concat(lines, ",")
  return members[1] and members
end

--- What the caller sent, without the members that are malformed, or come after the 64th or the
--- 8192nd byte; nil if there is no other.
---@param header any
---@return ctx.propagate.Members?
function baggage.parse(header)
  header = fields.joined(header, MAX_LENGTH + 1)
  if not header then
    return nil
  elseif #header > MAX_LENGTH then
    -- Whole members only: the last one that has its comma within.
    header = header:sub(1, MAX_LENGTH + 1):match("^(.*),") or ""
  end
  local members, pieces = {}, 0
  for piece in header:gmatch("[^,]+") do
    pieces = pieces + 1
    if pieces > MAX_MEMBERS then
      break
    end
    members[#members + 1] = parse_member(piece)
  end
  return with_line(members)
end

--- Whether the member fits into a header alone. A byte takes nine at most, as an escaped U+FFFD.
---@param name string
---@param value string
---@return boolean
function baggage.fits(name, value)
  return #name + 1 + 9 * #value <= MAX_LENGTH
    or #name + 1 + #encode(text.utf8(value)) <= MAX_LENGTH
end

--- Another list, in which this name has this value only; without a value, it has none. To make room
--- for it, the oldest of the others go.
---@param members ctx.propagate.Members?
---@param name string
---@param value string?  one that fits into a header alone
---@return ctx.propagate.Members?
function baggage.with(members, name, value)
  local list, room = {}, MAX_LENGTH
  if value then
    value = text.utf8(value)
    list[1] = { name = name, value = value, text = name .. "=" .. encode(value) }
    room = room - #list[1].text
  end
  for i = members and #members or 0, 1, -1 do
    local member = members[i]
    if member.name ~= name then
      room = room - #member.text - (list[1] and 1 or 0)
      if room < 0 or #list == MAX_MEMBERS then
        break
      end
      table.insert(list, 1, member)
    end
  end
  return with_line(list)
end

--- The last member with this name.
---@param members ctx.propagate.Members?
---@param name string
---@return ctx.propagate.Member?
function baggage.find(members, name)
  for i = members and #members or 0, 1, -1 do
    if members[i].name == name then
      return members[i]
    end
  end
end

return baggage
