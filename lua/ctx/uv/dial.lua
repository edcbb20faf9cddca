-- SPDX-License-Identifier: MIT
--- Connecting: a name has several addresses, and one deadline covers them all.
local core = require "ctx.core"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local paths = require "ctx.uv.path"
local stream = require "ctx.uv.stream"
local want = require "ctx.want"

local uv = host.uv

local dial = {}

--- No address gets less time than this while there is any: many short attempts would all fail where
--- one longer one succeeds.
local MIN_SHARE_MS = 2000

--- Waits until begin(callback) has connected the handle that `scope` holds; else that closes it,
--- also when the coroutine is closed meanwhile.
local function connect(c, scope, what, options, begin)
  local handle = scope.handle
  local ok, err = host.request(c, begin, handle) -- closing it is the only way to stop it
  if ok == false then
    err = handle:is_closing() and not c:err() and failure.closed(what, failure.ROBBED)
      or failure.of(c, err, what)
  end
  err = err or c:ended()
  if not err and handle:is_closing() then
    err = failure.closed(what, failure.ROBBED)
  end
  if err then
    return nil, err
  end
  local made = stream.new(handle, options)
  scope.handle = false
  return made
end

local function connect_tcp(c, address, port, options)
  local what = ("connect to %s:%d"):format(address, port)
  local scope <close> = host.owned()
  scope.handle = assert(uv.new_tcp())
  if options.bind then
    local ok, said = scope.handle:bind(options.bind, 0)
    if not ok then
      return nil, failure.of(c, said, what)
    end
  end
  local connected, err = connect(c, scope, what, options, function(callback)
    return scope.handle:connect(address, port, callback)
  end)
  return connected, err
end

--- The part of the time left that the next of `left` addresses may take.
local function share(c, left, least)
  local remaining = c:remaining()
  return math.min(remaining, math.max(remaining / left, least))
end

--- The address and the port of one that was found; a resolver of the program's may give anything.
local function parts_of(address, port)
  local ip = address
  if type(address) == "table" then
    ip, port = address.addr, address.port or port
  end
  port = type(port) == "number" and math.tointeger(port)
  local ok = type(ip) == "string" and dns.is_numeric(ip) and port and port >= 0 and port < 65536
  return ok and ip, port
end

--- Tries one of the addresses, with `left` of them to go.
local function try(c, address, port, left, options, what)
  local ip, at = parts_of(address, port)
  if not ip then
    return nil, failure.new("EINVAL", what, "the resolver gave an address that is not numeric")
  elseif left == 1 then
    return connect_tcp(c, ip, at, options)
  end
  local turn, cancel <close> = core.with_timeout(c,
    share(c, left, options.min_share or MIN_SHARE_MS))
  local connected, err = connect_tcp(turn, ip, at, options)
  if not connected and turn:err() and not c:err() then
    err = failure.new("ETIMEDOUT", ("connect to %s"):format(ip))
  end
  return connected, err
end

--- Tries the addresses in their order.
local function try_all(c, addresses, port, options, what)
  local failures = {}
  for i, address in ipairs(addresses) do
    local connected, err = try(c, address, port, #addresses - i + 1, options, what)
    if connected then
      return connected
    end
    local ended = c:ended()
    if ended then
      return nil, ended
    end
    failures[i] = err
  end
  if #failures == 1 then
    return nil, failures[1]
  end
  local texts = {}
  for i, err in ipairs(failures) do
    texts[i] = tostring(err)
  end
  return nil, failure.new(failures[1].code, what, table.concat(texts, "; "),
    table.unpack(failures))
end

--- The addresses of the name; nil and an error if there is none.
local function addresses_of(c, name, options, what)
  local found, err
  if options.resolve then
    found, err = options.resolve(c, name)
  elseif dns.is_numeric(name) then
    local family = name:find(":", 1, true) and "inet6" or "inet"
    found = family == (options.family or family) and { name } or {}
  else
    found, err = dns.getaddrinfo(c, name, nil, { family = options.family })
  end
  if not found then
    return nil, err ~= nil and err or failure.new("EAI_NODATA", what)
  elseif type(found) ~= "table" then
    return nil, failure.new("EINVAL", what,
      ("the resolver gave a %s, which is not a list of addresses"):format(type(found)))
  end
  local list = {} -- of its own, read raw: what is counted is what is tried
  while rawget(found, #list + 1) ~= nil do
    list[#list + 1] = rawget(found, #list + 1)
  end
  if #list == 0 then
    return nil, failure.new("EAI_NODATA", what)
  end
  return list
end

local OPTIONS = stream.options {
  bind = want.rule("a numeric address", function(value)
    return type(value) == "string" and dns.is_numeric(value)
  end),
  family = want.one_of("inet", "inet6"), min_share = want.duration, resolve = want.fn,
}
local PIPE_OPTIONS = stream.options()

---@class ctx.uv.ConnectOptions: ctx.uv.StreamOptions
---@field bind? string       a numeric address of this machine to come from
---@field family? string     "inet" or "inet6" only
---@field min_share? number  ms that no address gets less than, while there are any; 2000
---@field resolve? fun(c: ctx.Context, host: string): (string|ctx.uv.AddressInfo)[]|nil, any
---                          instead of getaddrinfo

--- Connects to a host: tries each of its addresses until one answers, by the deadline of c, of
--- which each address gets its fair share.
---@async
---@param c ctx.Context
---@param name string   a name or a numeric address
---@param port integer
---@param options? ctx.uv.ConnectOptions
---@return ctx.uv.Stream|nil socket  close it
---@return any? err                  is each of the attempts' errors; its code is the first one's
function dial.connect(c, name, port, options)
  want.context(c, "connect")
  want.string(name, "connect", 2, "name")
  port = want.port(port, "connect", 3)
  options = want.options(options, "connect", 4, OPTIONS)
  core.check_wait(c, "uv.connect")
  local what = ("connect to %s:%d"):format(name, port)
  local err, addresses = c:ended(), nil
  if not err then
    addresses, err = addresses_of(c, name, options, what)
  end
  if not addresses then
    return core.refused(nil, err)
  end
  local connected
  connected, err = try_all(c, addresses, port, options, what)
  if not connected then
    return core.refused(nil, err)
  end
  return connected
end

--- Connects to a pipe: a socket in the file system.
---@async
---@param c ctx.Context
---@param path string
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream|nil pipe
---@return any? err  of the system, with a `code`; or that of c
function dial.connect_pipe(c, path, options)
  want.context(c, "connect_pipe")
  want.string(path, "connect_pipe", 2, "path")
  options = want.options(options, "connect_pipe", 3, PIPE_OPTIONS)
  core.check_wait(c, "uv.connect_pipe")
  local what = "connect to " .. path
  local wrong = c:ended() or paths.pipe_fault(path, what)
  if wrong then
    return core.refused(nil, wrong)
  end
  local scope <close> = host.owned()
  scope.handle = assert(uv.new_pipe(false))
  local connected, err = connect(c, scope, what, options, function(callback)
    return scope.handle:connect(path, callback)
  end)
  if not connected then
    return core.refused(nil, err)
  end
  return connected
end

return dial
