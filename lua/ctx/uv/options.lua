-- SPDX-License-Identifier: MIT
--- What options the functions of ctx.uv take, and what they must be, as want.options wants it.
local dns = require "ctx.uv.dns"
local want = require "ctx.want"
local stream = require "ctx.uv.stream"

local options = {}

--- What is handed to the system, which ends it at a zero byte.
local function is_text(value)
  return type(value) == "number" or type(value) == "string" and not value:find("\0", 1, true)
end

local BOOLEAN = { "a boolean", function(value) return type(value) == "boolean" end }
local STRING = { "a string", function(value) return type(value) == "string" end }
local ID = { "a whole number", function(value) return want.is_whole(value, 0) end }
local MS = { "a time in ms", function(value) return want.is_ms(value) and value >= 0 end }
local BYTES = { "a number of bytes", function(value)
  return type(value) == "number" and value >= 0
end }

--- A table of `own` and what is in `base`.
local function with(base, own)
  for name, option in pairs(base) do
    own[name] = own[name] or option
  end
  return own
end

options.stream = {
  idle = { "a positive number", function(value) return type(value) == "number" and value > 0 end },
  high_water = BYTES,
  nodelay = BOOLEAN,
}

options.connect = with(options.stream, {
  bind = { "a numeric address", function(value)
    return type(value) == "string" and dns.is_numeric(value)
  end },
  family = { '"inet" or "inet6"', function(value) return value == "inet" or value == "inet6" end },
  min_share = MS,
  resolve = { "a function", function(value) return type(value) == "function" end },
})

options.listen = with(options.stream, {
  backlog = { "a whole number", function(value) return want.is_whole(value, 0) end },
  ipv6only = BOOLEAN,
  reuseport = BOOLEAN,
})

options.udp = { reuseaddr = BOOLEAN, ipv6only = BOOLEAN }
options.watch = { recursive = BOOLEAN }

-- -- Programs -------------------------------------------------------------------------------------

local function is_words(value)
  if type(value) ~= "table" then
    return false
  end
  for i = 1, #value do
    if not is_text(value[i]) then
      return false
    end
  end
  return next(value) == nil or #value > 0
end

local CHANNEL = { '"pipe", "inherit", a descriptor or a stream', function(value)
  return value == "pipe" or value == "inherit" or want.is_whole(value, 0) or stream.is(value)
end }

options.start = {
  args = { "a list of strings without zero bytes", is_words },
  env = { "a table", function(value) return type(value) == "table" end },
  cwd = { "a string without zero bytes", is_text }, uid = ID, gid = ID,
  stdin = CHANNEL, stdout = CHANNEL, stderr = CHANNEL,
  grace = MS,
}

options.spawn = with(options.start, { stdin = STRING, limit = BYTES, linger = MS })

return options
