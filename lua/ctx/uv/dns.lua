-- SPDX-License-Identifier: MIT
--- Names to addresses and back.
---
--- A lookup blocks one of the few threads that files and work also need, and cannot be stopped once
--- it runs. So fewer run at a time than there are threads; the others wait, with their contexts;
--- and a caller whose context ends leaves at once, while its thread finishes.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local threads = require "ctx.uv.threads"
local want = require "ctx.want"

local uv = host.uv

local dns = {}

--- How many lookups run at a time.
dns.LIMIT = math.max(1, threads.COUNT // 2)

--- Runs start(callback), which begins a lookup, under a permit that comes back with the callback,
--- and not before.
local function look_up(c, what, start)
  local permit <close>, err = threads.permit(c, "lookups", dns.LIMIT)
  if not permit then
    return nil, err
  end
  local found, first, second = threads.await(c, function(callback)
    local ok, request, refused = pcall(start, function(...)
      permit:release()
      callback(...)
    end)
    if not ok then -- it knows no such protocol
      return nil, "EINVAL: " .. (tostring(request):match("%((.*)%)$") or tostring(request))
    end
    permit.running = request ~= nil
    return request, refused
  end)
  if not found then
    return core.refused(nil, found == false and failure.of(c, first, what) or first)
  end
  return first, second
end

-- With a zero in front some take it for octal, and others for none.
local function is_octet(digits)
  return #digits < 4 and digits + 0 < 256 and (#digits == 1 or digits:byte() ~= 48)
end

--- Whether the text is a numeric address, with or without a zone.
---@param text string
---@return boolean
function dns.is_numeric(text)
  if text:find("\0", 1, true) then
    return false -- the system would take it for a shorter one
  end
  local a, b, e, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if a then
    return is_octet(a) and is_octet(b) and is_octet(e) and is_octet(d)
  end
  -- Nothing is asked of the network for this, and no thread is used.
  return text:find(":", 1, true) ~= nil
    and type(uv.getaddrinfo(text, nil, { numerichost = true, socktype = "stream" })) == "table"
end

---@class ctx.uv.AddressHints
---@field family? string    "inet" or "inet6"
---@field socktype? string  "stream" unless told otherwise; or "dgram", "raw", "rdm", "seqpacket"
---@field protocol? string|integer  by its name or number
---@field addrconfig? boolean
---@field v4mapped? boolean
---@field all? boolean
---@field numerichost? boolean
---@field passive? boolean
---@field numericserv? boolean
---@field canonname? boolean

local HINTS = want.options_of {
  family = want.one_of("inet", "inet6"),
  socktype = want.one_of("stream", "dgram", "raw", "rdm", "seqpacket"),
  protocol = want.either("the name or the number of a protocol", want.whole(0, 255), want.text),
  addrconfig = want.flag, v4mapped = want.flag, all = want.flag, numerichost = want.flag,
  passive = want.flag, numericserv = want.flag, canonname = want.flag,
}
local SERVICE = want.either("the name or the number of a service", want.port, want.text)

---@class ctx.uv.AddressInfo
---@field addr string
---@field family string
---@field port? integer
---@field socktype string
---@field protocol string
---@field canonname? string

--- Looks up the addresses of a name, in the resolver's order of preference.
---@async
---@param c ctx.Context
---@param name string?           nil, and a service: this machine
---@param service? string|integer
---@param hints? ctx.uv.AddressHints
---@return ctx.uv.AddressInfo[]|nil addresses
---@return any? err  of the system, with a `code`; or that of c
function dns.getaddrinfo(c, name, service, hints)
  want.context(c, "getaddrinfo")
  if name ~= nil or service == nil then
    want.string(name, "getaddrinfo", 2, "name")
  end
  service = service ~= nil and tostring(SERVICE(service, "getaddrinfo", 3, "service")) or nil
  hints = hints == nil and {} or HINTS(hints, "getaddrinfo", 4, "hints")
  hints.socktype = hints.socktype or "stream"
  core.check_wait(c, "uv.getaddrinfo")
  local what = "look up " .. tostring(name)
  if name and name:find("\0", 1, true) then
    return nil, failure.new("EAI_NONAME", what) -- the resolver would take it for a shorter one
  end
  local found, err = look_up(c, what, function(callback)
    return uv.getaddrinfo(name, service, hints, callback)
  end)
  return found, err
end

local IP = want.rule("a numeric address", function(value)
  return type(value) == "string" and dns.is_numeric(value)
end)

--- Looks up the name of an address, and that of its port.
---@async
---@param c ctx.Context
---@param address { ip: string?, port: integer? }  other fields do not matter
---@return string|nil name
---@return any service_or_err
function dns.getnameinfo(c, address)
  want.context(c, "getnameinfo")
  want.table(address, "getnameinfo", 2, "address")
  local ip, port = address.ip, address.port
  ip = ip == nil and "0.0.0.0" or IP(ip, "getnameinfo", 2, "address.ip")
  port = port == nil and 0 or want.port(port, "getnameinfo", 2, "address.port")
  core.check_wait(c, "uv.getnameinfo")
  local name, service = look_up(c, "name of " .. ip, function(callback)
    return uv.getnameinfo({ ip = ip, port = port }, callback)
  end)
  return name, service
end

return dns
