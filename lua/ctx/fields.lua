-- SPDX-License-Identifier: MIT
--- Internal: header fields, whose values are strings, or lists of them when a field comes more than
--- once.
---
--- Names of fields are compared without case (RFC 9110, 5.1). So a table of them keeps each name
--- in lower case, and reads and writes it under any spelling: `headers["Content-Type"]` and
--- `headers["content-type"]` are one field, of a request and of a response. `pairs` gives the names
--- in lower case; on the wire each has one spelling. A caller's plain table becomes one by
--- `fields.of`, which refuses two spellings of a name: `pairs` would decide which of them counts.
local text = require "ctx.text"
local want = require "ctx.want"

local fields = {}

-- -- Names ----------------------------------------------------------------------------------------

--- A pattern for one character of a token (RFC 9110, 5.6.2).
fields.TOKEN = "[A-Za-z0-9!#$%%&'*+.^_`|~-]"

local NO_TOKEN = fields.TOKEN:gsub("^%[", "[^")

--- Whether it is a token, as the name of a field has to be.
---@param name any
---@return boolean
function fields.is_token(name)
  return type(name) == "string" and not name:find(NO_TOKEN) and name ~= ""
end

-- The names that were folded lately. A program uses a few; a proxy may copy any of another
-- server's, so their number and their size are bounded.
local MOST, LONGEST = 512, 64
local folded, count = {}, 0

--- The name in lower case; nil if it cannot be a field's.
local function fold(name)
  local found = folded[name]
  if found or not fields.is_token(name) then
    return found
  end
  found = text.lower(name)
  if #name <= LONGEST then
    if count == MOST then
      folded, count = {}, 0
    end
    folded[name], count = found, count + 1
  end
  return found
end

fields.fold = fold

-- What HTTP itself goes by must stand in the head: framing, routing, caching, credentials, and how
-- the content is to be read (RFC 9110, 6.5.1).
local CONTROL = {}
for name in ([[age authorization cache-control connection content-disposition content-encoding
  content-language content-length content-location content-range content-type cookie date expect
  expires host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive
  location max-forwards pragma proxy-authenticate proxy-authorization proxy-connection range
  retry-after set-cookie te trailer transfer-encoding upgrade vary warning www-authenticate]])
  :gmatch("%S+") do
  CONTROL[name] = true
end

--- Whether a field of this name means something to HTTP itself, so that it is not the program's to
--- invent: no trailer, and no name for an id.
---@param name string
---@return boolean
function fields.is_control(name)
  return CONTROL[fold(name)] or false
end

--- A rule: the name of a field that a program may take for something of its own.
fields.free = want.rule("the name of a header that HTTP does not use itself", function(name)
  return fields.is_token(name) and not fields.is_control(name)
end, "header")

-- -- Tables of fields -----------------------------------------------------------------------------

---@class ctx.fields.Fields
---@field [string] any
local Fields = { __name = "ctx.fields.Fields" }

local rawget, rawset, setmetatable, getmetatable = rawget, rawset, setmetatable, getmetatable

Fields.__index = function(self, name)
  local found = fold(name)
  if found and found ~= name then
    return rawget(self, found)
  end
end

Fields.__newindex = function(self, name, value)
  local found = folded[name] or fold(name)
  if not found then
    error(("%s is not the name of a header"):format(type(name) == "string" and ("%q"):format(name)
      or "a " .. type(name)), 2)
  end
  rawset(self, found, value)
end

fields.class = Fields

---@return ctx.fields.Fields
function fields.new()
  return setmetatable({}, Fields)
end

--- Makes one of a table whose names are in lower case already, as the parser of requests has them.
---@param headers table<string, any>
---@return ctx.fields.Fields
function fields.adopt(headers)
  return setmetatable(headers, Fields)
end

--- A table of fields with what a plain table has, or another one of its kind; or nil and what is
--- wrong with it.
---@param headers table<string, any>
---@return ctx.fields.Fields? copy
---@return string? wrong
function fields.of(headers)
  local copy = {}
  for name, value in next, headers do
    local found = fold(name)
    if not found then
      return nil, ("header %s: not the name of a header"):format(tostring(name))
    elseif copy[found] ~= nil then
      return nil, ("header %s: it stands there twice, in two spellings"):format(found)
    end
    copy[found] = value
  end
  return setmetatable(copy, Fields)
end

--- What is wrong with the names in a table of headers; nil if nothing is.
---@param headers any  nil: no headers
---@return string? wrong
function fields.wrong(headers)
  if headers == nil or getmetatable(headers) == Fields then
    return nil
  elseif type(headers) ~= "table" then
    return "a table expected, got a " .. type(headers)
  end
  local _, wrong = fields.of(headers)
  return wrong
end

-- -- Values ---------------------------------------------------------------------------------------

--- Whether it can be the value of a field (RFC 9110, 5.5): no control characters but tabs, so that
--- it stays on its line.
---@param value any
---@return boolean
function fields.is_value(value)
  return type(value) == "string" and not value:find("[\0-\x08\x0A-\x1F\x7F]")
end

--- The text without the blanks around it. Not by one pattern, as is usual: that tries each run of
--- blanks within to its end from each of its places, which for a header of them takes seconds.
---@param value string
---@return string
function fields.trim(value)
  local from = value:find("[^ \t]")
  return from and value:match("^.*[^ \t]", from) or ""
end

--- The one value of a header that may come once only; nil otherwise.
---@param value any
---@param longest? integer  bytes; a longer one counts as missing, and is not looked at
---@return string?
function fields.single(value, longest)
  if type(value) == "table" and #value == 1 then
    value = value[1]
  end
  return type(value) == "string" and #value <= (longest or #value) and fields.trim(value) or nil
end

--- The value of a header that is a list, and may come in several pieces; nil if it did not come.
---@param value any
---@param enough? integer  bytes after which no further piece is looked at
---@return string?
function fields.joined(value, enough)
  if type(value) == "table" then
    local length, pieces = 0, 0
    for i, piece in ipairs(value) do
      if type(piece) ~= "string" then
        return nil
      end
      length, pieces = length + #piece + 1, i
      if enough and length > enough then
        break
      end
    end
    return pieces > 0 and table.concat(value, ",", 1, pieces) or nil
  end
  return type(value) == "string" and value or nil
end

--- The names of the headers that are there, in lower case.
---@param headers table
---@return table<string, true>
function fields.names(headers)
  local names = {}
  for name in pairs(headers) do
    if type(name) == "string" then
      names[text.lower(name)] = true
    end
  end
  return names
end

return fields
