-- SPDX-License-Identifier: MIT
--- JSON in the bodies of requests and responses, by lua-cjson, loaded when it is first used.
local failure = require "ctx.http.failure"
local text = require "ctx.text"

local json = {}

local cjson, codec

--- Calls a function of lua-cjson, as pcall does. lua-cjson reads and writes the decimal point of
--- the locale, so it works in that of C. It looks for the point once only, when it is loaded or
--- makes a codec: so it is made to look here, and again for the program afterwards. With a point of
--- several bytes it would end the process.
local function call(fn, ...)
  local point = text.point()
  if point == "." then
    return pcall(fn, ...)
  end
  local before = os.setlocale(nil, "numeric")
  os.setlocale("C", "numeric")
  if cjson then
    cjson.new()
  end
  local results = table.pack(pcall(fn, ...))
  os.setlocale(before, "numeric")
  if cjson and #point == 1 then
    cjson.new()
  end
  return table.unpack(results, 1, results.n)
end

--- A codec of its own: what the program tells its cjson changes nothing here.
local function open_codec()
  local found, loaded = pcall(require, "cjson")
  if not found then
    error(loaded, 0)
  end
  cjson = loaded
  local made = cjson.new()
  made.decode_invalid_numbers(false)
  made.encode_invalid_numbers(false)
  -- As exact as this version can be: 2.1.0 takes no more than 14.
  local _ = pcall(made.encode_number_precision, 17) or pcall(made.encode_number_precision, 16)
  return made
end

--- Raises at the line that called the public function `name` if there is no codec.
---@param name string
function json.need(name)
  if not codec then
    local ok, made = call(open_codec)
    if not ok then
      error(name .. ": it needs lua-cjson, which cannot be loaded: " .. tostring(made), 3)
    end
    codec = made
  end
end

--- The value; or nil and an error with status 400. Behind json.need.
---@param body string
---@return any value
---@return any? err
function json.decode(body)
  if not utf8.len(body) then -- RFC 8259, 8.1
    return nil, failure.new(400, "the body is not JSON", "it is not UTF-8")
  end
  local ok, value = call(codec.decode, body)
  if ok then
    return value
  elseif value == "not enough memory" then
    error(value, 0)
  end
  return nil, failure.new(400, "the body is not JSON", value)
end

--- The text, which is UTF-8; or nil and what is wrong with the value. Behind json.need.
---@param value any
---@return string? encoded
---@return string? wrong
function json.encode(value)
  local ok, encoded = call(codec.encode, value)
  if not ok then
    return nil, encoded
  end
  return text.utf8(encoded)
end

return json
