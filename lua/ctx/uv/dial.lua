-- SPDX-License-Identifier: MIT
--- Connecting: a name has several addresses, and one deadline covers them all.
local core = require "ctx.core"
local ctx = require "ctx"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local want = require "ctx.want"
local paths = require "ctx.uv.path"
local known = require "ctx.uv.options"
local stream = require "ctx.uv.stream"

local check, check_context = want.argument, want.context
local uv = host.uv

local dial = {}

--- No address gets less time than this while there is any: many short attempts would all fail where
--- one longer one succeeds.
local MIN_SHARE_MS = 2000

--- Waits until begin(callback) has connected the handle; closes it if that fails.
local function connect(c, handle, what, options, begin)
  local ok, err = ctx.await(c, function(resolve)
    local request, refused = begin(host.guarded(function(said)
      resolve(not said, said)
    end))
    if request == nil then
      resolve(false, refused)
    end
    return handle -- closing it is the only way to stop it
  end)
  if ok and not c:err() then
    return stream.new(handle, options)
  end
  host.close(handle)
  if ok then
    return nil, failure.ended(c)
  end
  return nil, ok == false and failure.of(c, err, what) or err
end

local function connect_tcp(c, address, port, options)
  local what = ("connect to %s:%d"):format(address, port)
  local handle = assert(uv.new_tcp())
  if options.bind then
    local ok, said = handle:bind(options.bind, 0)
    if not ok then
      host.close(handle)
      return nil, failure.of(c, said, what)
    end
  end
  local connected, err = connect(c, handle, what, options, function(callback)
    return handle:connect(address, port, callback)
  end)
  return connected, err
end

--- The part of the time left that the next of `left` addresses may take (C63).
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
  local ok = type(ip) == "string" and dns.is_numeric(ip)
    and math.type(port) == "integer" and port >= 0 and port < 65536
  return ok and ip, port
end

--- Tries the addresses in their order.
local function try_all(c, addresses, port, options, what)
  local failures = {}
  for i, address in ipairs(addresses) do
    local ip, at = parts_of(address, port)
    local turn, cancel <close> = ctx.with_timeout(c,
      share(c, #addresses - i + 1, options.min_share or MIN_SHARE_MS))
    local connected, err
    if ip then
      connected, err = connect_tcp(turn, ip, at, options)
    else
      err = failure.new("EINVAL", what, "the resolver gave what is no numeric address with a port")
    end
    if connected then
      return connected
    elseif c:err() then
      return nil, failure.ended(c)
    end
    failures[i] = turn:err() and failure.new("ETIMEDOUT", ("connect to %s"):format(ip)) or err
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

---@class ctx.uv.ConnectOptions: ctx.uv.StreamOptions
---@field bind? string       a numeric address of this machine to come from
---@field family? string     "inet" or "inet6" only
---@field min_share? number  ms that no address gets less than, while there are any; 2000
---@field resolve? fun(c: ctx.Context, host: string): (string|ctx.uv.AddressInfo)[]|nil, any
---                          instead of getaddrinfo

--- Connects to a host, trying each of its addresses until one answers. All is done by the deadline
--- of c, of which each address gets its fair share.
---@async
---@param c ctx.Context
---@param name string   a name or a numeric address
---@param port integer
---@param options? ctx.uv.ConnectOptions
---@return ctx.uv.Stream|nil socket  close it
---@return any? err                  is each of the attempts' errors; its code is the first one's
function dial.connect(c, name, port, options)
  check_context(c, "connect")
  check(type(name) == "string", "connect", 2, "host", "a string", name)
  check(math.type(port) == "integer" and port >= 0 and port < 65536, "connect", 3, "port",
    "a port number", port)
  options = options == nil and {} or options
  want.options(options, "connect", 4, known.connect)
  core.check_wait(c, "uv.connect")
  local what = ("connect to %s:%d"):format(name, port)
  if c:err() then
    return nil, failure.ended(c)
  end
  local addresses, err
  if options.resolve then
    addresses, err = options.resolve(c, name)
  elseif dns.is_numeric(name) then
    local family = name:find(":", 1, true) and "inet6" or "inet"
    addresses = family == (options.family or family) and { name } or {}
  else
    addresses, err = dns.getaddrinfo(c, name, nil, { family = options.family })
  end
  if not addresses then
    return nil, err
  elseif #addresses == 0 then
    return nil, failure.new("EAI_NODATA", what)
  end
  local connected
  connected, err = try_all(c, addresses, port, options, what)
  return connected, err
end

--- Connects to a pipe: a socket in the file system.
---@async
---@param c ctx.Context
---@param path string
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream|nil pipe
---@return any? err
function dial.connect_pipe(c, path, options)
  check_context(c, "connect_pipe")
  check(type(path) == "string", "connect_pipe", 2, "path", "a string", path)
  if options ~= nil then
    want.options(options, "connect_pipe", 3, known.stream)
  end
  core.check_wait(c, "uv.connect_pipe")
  if c:err() then
    return nil, failure.ended(c)
  end
  local what = "connect to " .. path
  local wrong = paths.pipe_fault(path, what)
  if wrong then
    return nil, wrong
  end
  local handle = assert(uv.new_pipe(false))
  local connected, err = connect(c, handle, what, options, function(callback)
    return handle:connect(path, callback)
  end)
  return connected, err
end

return dial
