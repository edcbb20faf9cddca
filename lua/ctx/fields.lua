-- SPDX-License-Identifier: MIT
--- Internal: a table of headers, whose values are strings, or lists of them when a header came more
--- than once.
local fields = {}

--- The text without the blanks around it. Not by one pattern, as is usual: that tries each run of
--- blanks within to its end from each of its places, which for a header of them takes seconds.
---@param text string
---@return string
function fields.trim(text)
  local from = text:find("[^ \t]")
  return from and text:match("^.*[^ \t]", from) or ""
end

--- The one value of a header that may come once only; nil otherwise.
---@param value any
---@return string?
function fields.single(value)
  if type(value) == "table" and #value == 1 then
    value = value[1]
  end
  return type(value) == "string" and fields.trim(value) or nil
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
