-- SPDX-License-Identifier: MIT
--- The targets of requests (RFC 9112, 3.2) and what stands in them.
local want = require "ctx.want"
local written = require "ctx.text"

local url = {}

local function byte_of(hex)
  return string.char(tonumber(hex, 16))
end

--- Percent-decoded; nil if it cannot be.
---@param text string
---@return string?
function url.unescape(text)
  if not text:find("%", 1, true) then
    return text
  end
  local decoded, n = text:gsub("%%(%x%x)", byte_of)
  local _, marks = text:gsub("%%", "")
  return n == marks and decoded or nil
end

--- The byte as %XX.
---@param byte string
---@return string
function url.percent(byte)
  return ("%%%02X"):format(byte:byte())
end

--- Writes every byte but letters, digits and "-._~" as %XX (RFC 3986): for a segment of a path, or
--- a name or value of a query. Not for a whole URL.
---@param text string
---@return string escaped
function url.escape(text)
  want.string(text, "escape", 1, "text")
  return (text:gsub("[^A-Za-z0-9._~-]", url.percent))
end

--- A text as it stands; a number with all its digits, and a point; nil for anything else.
---@param value any
---@return string?
function url.text_of(value)
  if type(value) == "number" and value - value == 0 then
    return written.exact(value)
  end
  return type(value) == "string" and value or nil
end

local VALUES = want.list(want.rule("a text or a number", function(value)
  local text = url.text_of(value)
  return text ~= nil, text
end))

--- For ctx.want: whether it is a table for a query, and the query: names sorted, the values of a
--- list in their order.
---@param values any
---@return boolean fits
---@return string? query
function url.query_of(values)
  if type(values) ~= "table" then
    return false
  end
  local names, pairs_of = {}, {}
  for name in next, values do
    if type(name) ~= "string" then
      return false
    end
    names[#names + 1] = name
  end
  written.sort(names)
  for _, name in ipairs(names) do
    local list = values[name]
    local fits, texts = VALUES[2](type(list) == "table" and list or { list })
    if not fits then
      return false
    end
    for _, text in ipairs(texts) do
      pairs_of[#pairs_of + 1] = url.escape(name) .. "=" .. url.escape(text)
    end
  end
  return true, table.concat(pairs_of, "&")
end

--- The URL with a query behind its own, and before its fragment.
---@param text string
---@param query? string
---@return string
function url.with_query(text, query)
  if not query or query == "" then
    return text
  end
  local before, fragment = text:match("^([^#]*)(.*)$")
  local between = not before:find("?", 1, true) and "?" or before:find("[?&]$") and "" or "&"
  return before .. between .. query .. fragment
end

--- The path, the query and the host of a target in absolute-form, as a proxy gets it, or nil if it
--- has no host, a user (RFC 9110, 4.2) or what no Host may hold; of OPTIONS * and of CONNECT, the
--- target.
---@param target string
---@return string? path
---@return string? query
---@return string? host
function url.split(target)
  local host, path, query = target:match("^[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)([^?]*)%??(.*)$")
  if not host then
    return target
  elseif host ~= "" and not host:find("[^A-Za-z0-9._~%%!$&'()*+,;=:%[%]-]") then
    return path ~= "" and path or "/", query ~= "" and query or nil, host
  end
end

local function form_value(text)
  return url.unescape((text:gsub("+", " ")))
end

--- The pairs of a query or of a form, in order; those that cannot be decoded are left out.
---@param query string?
---@return fun(): string?, string?
function url.pairs(query)
  local next_pair = (query or ""):gmatch("[^&]+")
  return function()
    for pair in next_pair do
      local name, value = pair:match("^([^=]*)=?(.*)$")
      name, value = form_value(name), form_value(value)
      if name and value then
        return name, value
      end
    end
  end
end

--- Reads a query or a form: each name with its first value.
---@param query string?
---@return table<string, string> values
function url.query(query)
  if query ~= nil then
    want.string(query, "query", 1, "query")
  end
  local values = {}
  for name, value in url.pairs(query) do
    if values[name] == nil then
      values[name] = value
    end
  end
  return values
end

return url
