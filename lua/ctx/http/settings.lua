-- SPDX-License-Identifier: MIT
--- What a server can be told, and what holds when it is not.
local want = require "ctx.want"
local propagate = require "ctx.propagate"

local settings = {}

---@class ctx.http.ServerOptions
---@field handler fun(req: ctx.http.Request, res: ctx.http.Response): any, any
---@field read_header_timeout? number  ms for the head of a request; 10000
---@field read_timeout? number     ms without a byte of the body, 30000
---@field write_timeout? number    ms in which the client takes no byte of the response, 30000
---@field idle_timeout? number     ms between two requests, 120000
---@field request_timeout? number  the deadline of each request, in ms
---@field drain_timeout? number    ms that requests get when serve's context ends; else none
---@field max_target? integer      bytes, 8192
---@field max_head? integer        bytes of all header fields, 65536
---@field max_headers? integer     100
---@field max_body? integer        bytes, 16 MiB
---@field max_connections? integer
---@field max_requests? integer    in flight
---@field access_log? fun(record: ctx.http.Record)
---@field on_error? fun(err: any, req: ctx.http.Request, traceback: string?)
---@field propagate? boolean       take over the caller's deadline and trace; true
---@field deadline? ctx.propagate.Deadline|false  where the caller's deadline stands; grpc-timeout

local function is_ms(value)
  return want.is_ms(value) and value > 0
end

local function whole(value)
  return want.is_whole(value, 1)
end

local function is_function(value)
  return type(value) == "function"
end

-- In memory, all at once, for each connection.
local function in_memory(value)
  return whole(value) and value <= 2 ^ 30
end

local SIZE = { "a whole number from 1 to 2^30", in_memory }
local MS, WHOLE = { "a positive number of ms", is_ms }, { "a whole number of 1 or more", whole }
local TEXT = { "a string", function(value) return type(value) == "string" end }
local FLAG = { "a boolean", function(value) return type(value) == "boolean" end }
local PORT = { "a port, a whole number from 0 to 65535", function(value)
  return want.is_whole(value, 0) and value < 65536
end }
local DESCRIPTOR = { "a descriptor", function(value) return want.is_whole(value, 0) end }

---@type table<string, [string, fun(value: any): any]>
settings.known = {
  handler = { "a function", is_function },
  read_header_timeout = MS, read_timeout = MS, write_timeout = MS, idle_timeout = MS,
  request_timeout = MS, drain_timeout = MS,
  max_target = SIZE, max_head = SIZE, max_headers = SIZE, max_body = WHOLE,
  max_connections = WHOLE, max_requests = WHOLE,
  access_log = { "a function", is_function }, on_error = { "a function", is_function },
  propagate = FLAG,
  deadline = { "what propagate.deadline gives, or false", function(value)
    return value == false or type(value) == "table" and value._header
  end },
}

--- Where a server listens. What else ctx.uv would take for its streams, the server sees to.
---@type table<string, [string, fun(value: any): any]>
settings.where = {
  host = TEXT, port = PORT, pipe = TEXT, fd = DESCRIPTOR, backlog = WHOLE, reuseport = FLAG,
  ipv6only = FLAG, nodelay = FLAG,
}

local DEFAULTS = {
  read_header_timeout = 10000, read_timeout = 30000, write_timeout = 30000, idle_timeout = 120000,
  max_target = 8192, max_head = 65536, max_headers = 100, max_body = 16777216,
  max_connections = math.huge, max_requests = math.huge,
}

--- Each limit, as given or by default.
---@param options ctx.http.ServerOptions
---@return ctx.http.ServerOptions
function settings.limits(options)
  local limits = {}
  for _, each in ipairs { DEFAULTS, options } do
    for name, value in pairs(each) do
      limits[name] = value
    end
  end
  if limits.write_timeout == math.huge then
    limits.write_timeout = nil
  end
  return limits
end

--- What to take from a caller's headers; nil where there is none of it, which is cheap to see.
---@param options ctx.http.ServerOptions
---@return (fun(parent: ctx.Context, headers: table): ctx.Context, number?)?
function settings.extractor(options)
  if options.propagate == false then
    return nil
  end
  local deadline = options.deadline
  local name = deadline and deadline._header or "grpc-timeout"
  return function(parent, headers)
    if headers.traceparent or headers.baggage or headers[name] then
      return propagate.extract(parent, headers, deadline)
    end
    return parent
  end
end

return settings
