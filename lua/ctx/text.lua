-- SPDX-License-Identifier: MIT
--- Internal: text that others read by the rules of a format: on the wire, in a log, in a report.
---
--- The law: what a program's locale says changes none of it. C's printf writes the decimal point of
--- the locale, and so do string.format, tostring and `..` for a number that is not an integer;
--- classes such as %w and %c ask the locale, too, and so do string.lower, string.upper and the
--- order of strings. So a number with a fraction becomes text by text.number or text.exact,
--- patterns name their characters, and text.lower, text.upper and text.sort fold and sort names.
local text = {}

-- -- Letters --------------------------------------------------------------------------------------

local LOWER, UPPER = {}, {}
for byte = ("A"):byte(), ("Z"):byte() do
  local upper, lower = string.char(byte), string.char(byte + 32)
  LOWER[upper], UPPER[lower] = lower, upper
end

--- With the letters of ASCII in lower case: a Turkish locale has another one for "I".
---@param raw string
---@return string
function text.lower(raw)
  return (raw:gsub("[A-Z]", LOWER))
end

---@param raw string
---@return string
function text.upper(raw)
  return (raw:gsub("[a-z]", UPPER))
end

--- Whether it comes first by its bytes.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local of_a, of_b = a:byte(i), b:byte(i)
    if of_a ~= of_b then
      return of_a < of_b
    end
  end
  return #a < #b
end

--- Sorts strings by their bytes.
---@param list string[]
function text.sort(list)
  table.sort(list, is_before)
end

-- -- Numbers --------------------------------------------------------------------------------------

--- The decimal point of a locale may have several bytes.
local function with_point(digits)
  return (digits:gsub("[^0-9A-Za-z+-]+", "."))
end

--- The decimal point of the program's locale at this moment.
---@return string
function text.point()
  return (("%.1f"):format(0.5):sub(2, -2))
end

--- The number by one of C's formats with a fraction (%e, %f, %g), with a decimal point.
---@param format string  such as "%.3f"
---@param value number
---@return string
function text.number(format, value)
  return with_point(format:format(value))
end

--- The shortest decimal text that reads back as this number.
---@param value number  a float, neither infinite nor NaN
---@return string
function text.exact(value)
  local short = ("%.15g"):format(value)
  return with_point(tonumber(short) == value and short or ("%.17g"):format(value))
end

-- -- UTF-8 ----------------------------------------------------------------------------------------

--- The text as UTF-8: each byte that belongs to no character is U+FFFD.
---@param raw string
---@return string
function text.utf8(raw)
  local _, bad = utf8.len(raw)
  if not bad then
    return raw
  end
  local parts, from = {}, 1
  while bad do
    parts[#parts + 1] = raw:sub(from, bad - 1)
    from = bad + 1
    _, bad = utf8.len(raw, from)
  end
  parts[#parts + 1] = raw:sub(from)
  return table.concat(parts, "\u{FFFD}")
end

--- The beginning of a text that is too long, without half a character at its end.
---@param whole string
---@param longest integer  bytes
---@return string
function text.cut(whole, longest)
  if #whole <= longest then
    return whole
  end
  local last = longest
  while last > longest - 3 and last > 0 and whole:find("^[\x80-\xBF]", last + 1) do
    last = last - 1
  end
  return whole:sub(1, last)
end

-- -- JSON -----------------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- The text as a string of JSON, which is UTF-8 (RFC 8259, 8.1).
---@param raw string
---@return string
function text.quote(raw)
  return '"' .. text.utf8(raw):gsub('[\0-\x1F"\\\x7F]', function(char)
    return ESCAPES[char] or ("\\u%04x"):format(char:byte())
  end) .. '"'
end

return text
