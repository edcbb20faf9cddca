-- SPDX-License-Identifier: MIT
--- Names to addresses and back.
---
--- A lookup blocks one of the few threads that files and work also need, and cannot be stopped once
--- it runs. So fewer run at a time than there are threads; the others wait, with their contexts;
--- and a caller whose context ends leaves at once, while its thread finishes (L16).
local core = require "ctx.core"
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local want = require "ctx.want"
local semaphore = require "ctx.semaphore"

local check, check_context = want.argument, want.context
local uv = host.uv

local dns = {}

local POOL = math.max(1, math.tointeger(tonumber(os.getenv("UV_THREADPOOL_SIZE"))) or 4)

--- How many lookups run at a time.
dns.LIMIT = math.max(1, POOL // 2)

-- The threads are the process's, so the permits are, too.
local shared = core.shared("ctx.uv.dns")
shared.permits = shared.permits or semaphore.new(dns.LIMIT)

--- A permit of a caller: its own until the lookup runs, and then the lookup's.
---@class ctx.uv.Permit
---@field held boolean
local Permit = {}
Permit.__index = Permit

function Permit:release()
  if self.held then
    shared.permits:release()
    self.held = false
  end
end

-- The last resort: there was no memory to leave a scope, or for luv to call back. So it must be a
-- metatable with this before the first permit is made.
Permit.__gc = Permit.release

--- Leaving the scope gives it back, unless a lookup has it.
Permit.__close = function(self)
  if not self.running then
    self:release()
  end
end

--- Runs start(callback), which begins a lookup, under a permit that comes back with the callback,
--- and not before. Who gives it back is made before it is taken: there may be no memory after.
local function look_up(c, what, start)
  local permit <close> = setmetatable({ held = false, running = false }, Permit)
  local err
  permit.held, err = shared.permits:acquire(c)
  if not permit.held then
    return nil, err
  end
  local found, first, second = ctx.await(c, function(resolve)
    local request, refused = start(host.guarded(function(said, ...)
      permit:release()
      if said then
        resolve(false, said)
      else
        resolve(true, ...)
      end
    end))
    permit.running = request ~= nil
    if not permit.running then
      resolve(false, refused)
    end
    return request
  end)
  if not found then
    return nil, found == false and failure.of(c, first, what) or first
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
---@field socktype? string  "stream" unless told otherwise
---@field protocol? string
---@field passive? boolean
---@field canonname? boolean

---@class ctx.uv.AddressInfo
---@field addr string
---@field family string
---@field port? integer
---@field socktype string
---@field protocol string
---@field canonname? string

--- The addresses of a name, in the resolver's order of preference.
---@async
---@param c ctx.Context
---@param name string?
---@param service string|integer|nil
---@param hints? ctx.uv.AddressHints
---@return ctx.uv.AddressInfo[]|nil addresses
---@return any? err
function dns.getaddrinfo(c, name, service, hints)
  check_context(c, "getaddrinfo")
  check(name == nil or type(name) == "string", "getaddrinfo", 2, "name", "a string", name)
  core.check_wait(c, "uv.getaddrinfo")
  local what = "look up " .. tostring(name)
  if name and name:find("\0", 1, true) then
    return nil, failure.new("EAI_NONAME", what) -- the resolver would take it for a shorter one
  end
  local full = { socktype = "stream" }
  for key, value in pairs(hints or {}) do
    full[key] = value
  end
  local found, err = look_up(c, what, function(callback)
    return uv.getaddrinfo(name, service and tostring(service), full, callback)
  end)
  return found, err
end

--- The name of an address, and that of its port.
---@async
---@param c ctx.Context
---@param address { ip: string?, port: integer?, family: string? }
---@return string|nil name
---@return any service_or_err
function dns.getnameinfo(c, address)
  check_context(c, "getnameinfo")
  check(type(address) == "table", "getnameinfo", 2, "address", "a table", address)
  core.check_wait(c, "uv.getnameinfo")
  local name, service = look_up(c, "name of " .. tostring(address.ip), function(callback)
    return uv.getnameinfo(address, callback)
  end)
  return name, service
end

return dns
