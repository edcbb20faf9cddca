-- SPDX-License-Identifier: MIT
--- What a server can be told, and what holds when it is not.
local want = require "ctx.want"
local deadlines = require "ctx.propagate.deadline"
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
---@field max_requests_per_connection? integer  then the response is the connection's last
---@field max_connection_age? number  ms, after which a response is the connection's last
---@field failure? fun(req: ctx.http.Request?, res: ctx.http.Response, status: integer,
---  message: string, err: any)
---@field failure_timeout? number  ms that it has, 1000
---@field access_log? fun(record: ctx.http.Record)
---@field on_error? fun(err: any, req: ctx.http.Request, traceback: string?, where: string)
---@field propagate? boolean       take over the caller's deadline and trace; true
---@field deadline? ctx.propagate.Deadline|false  where the caller's deadline stands; grpc-timeout

---@class ctx.http.Stats
---@field connections integer
---@field requests integer  in flight
---@field served integer
---@field refused integer   without a handler
---@field cut integer       by a shutdown

---@class ctx.http.Where
---@field host? string
---@field port? integer
---@field pipe? string     a path, instead of these two
---@field fd? integer      a socket that was inherited
---@field backlog? integer
---@field reuseport? boolean  several processes on one port
---@field ipv6only? boolean
---@field nodelay? boolean

-- In memory, all at once, for each connection.
local SIZE = want.rule("a whole number from 1 to 2^30", want.whole(1, 1 << 30)[2])
local MS = want.positive_ms

--- A number of something, or math.huge for any.
local COUNT = want.either("a whole number of 1 or more, or math.huge", want.count,
  want.one_of(math.huge))

---@type table<string, ctx.want.Rule>
settings.known = {
  handler = want.fn,
  read_header_timeout = MS, read_timeout = MS, write_timeout = MS, idle_timeout = MS,
  request_timeout = MS, drain_timeout = MS, failure_timeout = MS, max_connection_age = MS,
  max_target = SIZE, max_head = SIZE, max_headers = SIZE, max_body = want.count,
  max_connections = COUNT, max_requests = COUNT, max_requests_per_connection = COUNT,
  access_log = want.fn, on_error = want.fn, failure = want.fn,
  propagate = want.flag,
  deadline = want.rule("what propagate.deadline gives, or false", function(value)
    return value == false or deadlines.header(value) ~= nil
  end),
}

--- Where a server listens. What else ctx.uv would take for its streams, the server sees to.
---@type table<string, ctx.want.Rule>
settings.where = {
  host = want.text, port = want.port, pipe = want.text, fd = want.descriptor, backlog = want.count,
  reuseport = want.flag, ipv6only = want.flag, nodelay = want.flag,
}

local DEFAULTS = {
  read_header_timeout = 10000, read_timeout = 30000, write_timeout = 30000, idle_timeout = 120000,
  max_target = 8192, max_head = 65536, max_headers = 100, max_body = 16777216,
  failure_timeout = 1000,
  max_connections = math.huge, max_requests = math.huge, max_requests_per_connection = math.huge,
}

--- How many whole seconds a client may rely on a connection that is idle: one less than the server
--- keeps it, as a request may be on its way. nil: there is nothing to say.
local function hint(idle_timeout)
  local seconds = idle_timeout < 2 ^ 40 and math.tointeger(idle_timeout // 1000) or 0
  return seconds > 1 and seconds - 1 or nil
end

--- Each limit, as given or by default; beside them `keep_alive_hint`, in seconds.
---@param options ctx.http.ServerOptions
---@return ctx.http.ServerOptions
function settings.limits(options)
  local limits = {}
  for _, each in ipairs { DEFAULTS, options } do
    for name, value in pairs(each) do
      limits[name] = value
    end
  end
  if limits.max_connection_age == math.huge then
    limits.max_connection_age = nil
  end
  limits.keep_alive_hint = hint(limits.idle_timeout)
  return limits
end

--- The function that takes deadline and trace from a caller's headers; nil if that is off.
---@param options ctx.http.ServerOptions
---@return (fun(parent: ctx.Context, headers: table): ctx.Context, number?)?
function settings.extractor(options)
  if options.propagate == false then
    return nil
  end
  local deadline = options.deadline
  local name = deadlines.header(deadline) or "grpc-timeout"
  return function(parent, headers)
    if headers.traceparent or headers.baggage or headers[name] then
      return propagate.extract(parent, headers, deadline)
    end
    return parent
  end
end

return settings
