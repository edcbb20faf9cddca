-- SPDX-License-Identifier: MIT
--- Internal: the header `baggage` of W3C Baggage: names with values, and with properties that we
--- pass on without a look.
---
--- A list of members is never changed, only made anew. Its line is kept with it, so that sending it
--- costs nothing.
local fields = require "ctx.fields"

local baggage = {}

local trim = fields.trim

local MAX_MEMBERS, MAX_LENGTH = 64, 8192

local TOKEN = "^[%w!#$%%&'*+%-.^_`|~]+$"
local OCTETS = "^[!#-+%-.-:<-[%]^-~]*$"
local NOT_OCTET = "[^!#$&-+%-.-:<-[%]^-~]" -- nor a percent sign, which begins an escape

---@class ctx.propagate.Member
---@field name string
---@field value string
---@field properties string?  "key=value;key", as they came
---@field text string         as it is sent

---@class ctx.propagate.Members
---@field [integer] ctx.propagate.Member
---@field header string

---@param name any
---@return boolean
function baggage.is_name(name)
  return type(name) == "string" and name:find(TOKEN) ~= nil
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function encode(value)
  return (value:gsub(NOT_OCTET, function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

--- "a = b ; c" → "a=b;c"; nil if one of them is malformed.
local function parse_properties(text)
  local list = {}
  for property in text:gmatch("[^;]+") do
    local key, value = property:match("^(.-)=(.*)$")
    key = trim(key or property)
    value = value and trim(value)
    if not key:find(TOKEN) or value and not value:find(OCTETS) then
      return nil
    end
    list[#list + 1] = value and key .. "=" .. value or key
  end
  return list[1] and table.concat(list, ";")
end

local function parse_member(text)
  local pair, rest = text:match("^([^;]*);?(.*)$")
  local name, value = pair:match("^(.-)=(.*)$")
  if not name then
    return nil
  end
  name, value = trim(name), trim(value)
  if not name:find(TOKEN) or not value:find(OCTETS) then
    return nil
  end
  local properties
  if rest:find("[^ \t]") then
    properties = parse_properties(rest)
    if not properties then
      return nil
    end
  end
  local sent = name .. "=" .. value .. (properties and ";" .. properties or "")
  return { name = name, value = decode(value), properties = properties, text = sent }
end

--- The list with its line, without what goes over the limits; nil if nothing is left.
local function finish(members)
  local kept, lines, length = {}, {}, -1
  for _, member in ipairs(members) do
    local longer = length + 1 + #member.text
    if #kept < MAX_MEMBERS and longer <= MAX_LENGTH then
      length = longer
      kept[#kept + 1], lines[#lines + 1] = member, member.text
    end
  end
  kept.header = table.concat(lines, ",")
  return kept[1] and kept
end

--- What the caller sent, without the members that are malformed; nil if there is no other.
---@param header any
---@return ctx.propagate.Members?
function baggage.parse(header)
  header = fields.joined(header)
  if not header then
    return nil
  end
  local members = {}
  for text in header:gmatch("[^,]+") do
    members[#members + 1] = parse_member(text)
  end
  return finish(members)
end

--- Another list, in which this name has this value only; without a value, it has none.
---@param members ctx.propagate.Members?
---@param name string
---@param value string?
---@return ctx.propagate.Members?
function baggage.with(members, name, value)
  local list = {}
  for _, member in ipairs(members or {}) do
    if member.name ~= name then
      list[#list + 1] = member
    end
  end
  if value then
    list[#list + 1] = { name = name, value = value, text = name .. "=" .. encode(value) }
  end
  return finish(list)
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
