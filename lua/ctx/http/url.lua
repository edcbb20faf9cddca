-- SPDX-License-Identifier: MIT
--- The targets of requests (RFC 9112, 3.2) and what stands in them.
local want = require "ctx.want"

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

--- The path, the query and the host of a target in absolute-form, as a proxy gets it, or nil if
--- there is no host or a user in it (RFC 9110, 4.2); of OPTIONS * and of CONNECT, the target.
---@param target string
---@return string? path
---@return string? query
---@return string? host
function url.split(target)
  local host, path, query = target:match("^%a[%w+.-]*://([^/?]*)([^?]*)%??(.*)$")
  if not host then
    return target
  elseif host ~= "" and not host:find("@", 1, true) then
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

--- name → its first value.
---@param query string?
---@return table<string, string>
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
