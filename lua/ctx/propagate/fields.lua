-- SPDX-License-Identifier: MIT
--- Internal: a table of headers, whose values are strings, or lists of them when a header came more
--- than once.
local fields = {}

--- The one value of a header that may come once only; nil otherwise.
---@param value any
---@return string?
function fields.single(value)
  if type(value) == "table" and #value == 1 then
    value = value[1]
  end
  if type(value) ~= "string" then
    return nil
  end
  if value:find("^[ \t]") or value:find("[ \t]$") then
    return value:match("^[ \t]*(.-)[ \t]*$")
  end
  return value
end

--- The value of a header that is a list, and may come in several pieces; nil if it did not come.
---@param value any
---@return string?
function fields.joined(value)
  if type(value) == "table" then
    for _, piece in ipairs(value) do
      if type(piece) ~= "string" then
        return nil
      end
    end
    return value[1] and table.concat(value, ",")
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
      names[name:lower()] = true
    end
  end
  return names
end

return fields
