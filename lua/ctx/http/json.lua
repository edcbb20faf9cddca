-- SPDX-License-Identifier: MIT
--- JSON in the bodies of requests and responses, by lua-cjson, loaded when it is first used.
local failure = require "ctx.http.failure"

local json = {}

local codec

--- A codec of its own: what the program tells its cjson changes nothing here.
local function open_codec(name)
  local ok, cjson = pcall(require, "cjson")
  if not ok then
    error(name .. ": it needs lua-cjson, which cannot be loaded: " .. tostring(cjson), 4)
  end
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
  codec = codec or open_codec(name)
end

--- The value; or nil and an error with status 400. Behind json.need.
---@param text string
---@return any value
---@return any? err
function json.decode(text)
  if not utf8.len(text) then -- RFC 8259, 8.1
    return nil, failure.new(400, "the body is not JSON", "it is not UTF-8")
  end
  local ok, value = pcall(codec.decode, text)
  if ok then
    return value
  elseif value == "not enough memory" then
    error(value, 0)
  end
  return nil, failure.new(400, "the body is not JSON", value)
end

--- The text; or nil and what is wrong with the value. Behind json.need.
---@param value any
---@return string? text
---@return string? wrong
function json.encode(value)
  local ok, text = pcall(codec.encode, value)
  if not ok then
    return nil, text
  end
  return text
end

return json
