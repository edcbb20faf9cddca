-- SPDX-License-Identifier: MIT
--- Datagrams. What arrives while nobody waits is kept, as far as there is room; the rest is lost in
--- the kernel, as datagrams are.
local core = require "ctx.core"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local inbox = require "ctx.uv.inbox"
local line = require "ctx.line"
local want = require "ctx.want"

local uv = host.uv

local RECV = line.name("udp:recv")

local KEPT = 64 -- datagrams, until luv is told to stop

---@class ctx.uv.Udp
---@field _handle userdata
---@field _inbox ctx.uv.Inbox  of datagrams
---@field _receiving boolean
---@field _on_receive fun(...)
---@field _family? string  of the names that it can send to; nil: of both
local Udp = {}
local metatable = { __name = "ctx.uv.Udp", __index = Udp }

local udp = { class = Udp }

local function on_receive(self, said, data, from, flags)
  if not said and not from then
    return -- luv says so that nothing more is here for now
  end
  local called = self._inbox:give({ said = said, data = data, from = from,
    partial = flags and flags.partial })
  if not called and self._inbox.count >= KEPT then
    self._receiving = false
    self._handle:recv_stop()
  end
end

local OPTIONS = { reuseaddr = want.flag, ipv6only = want.flag }

---@class ctx.uv.UdpOptions
---@field reuseaddr? boolean
---@field ipv6only? boolean

--- Makes a socket for datagrams, bound to an address of this machine; nothing here waits.
---@param address? string  numeric; nil or "*": all
---@param port? integer    0: any that is free
---@param options? ctx.uv.UdpOptions
---@return ctx.uv.Udp|nil socket
---@return any? err  of the system, with a `code`
function udp.udp(address, port, options)
  if address ~= nil then
    want.string(address, "udp", 1, "address")
  end
  port = port == nil and 0 or want.port(port, "udp", 2)
  options = want.options(options, "udp", 3, OPTIONS)
  local ip = (address == nil or address == "*") and "0.0.0.0"
    or address == "localhost" and "127.0.0.1" or address
  local what = ("bind %s:%d"):format(ip, port)
  if not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", what, "not a numeric address")
  end
  local scope <close> = host.owned()
  local handle = assert(uv.new_udp())
  scope.handle = handle
  local ok, said = handle:bind(ip, port, options)
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  local self = setmetatable({
    _handle = handle, _inbox = inbox.new(handle), _receiving = false,
  }, metatable)
  if not ip:find(":", 1, true) then
    self._family = "inet"
  elseif ip ~= "::" or options.ipv6only then
    self._family = "inet6"
  end
  self._on_receive = host.guarded(function(...)
    on_receive(self, ...)
  end)
  scope.handle = false
  return self
end

local function receive(self)
  if not self._receiving then
    local ok, said = self._handle:recv_start(self._on_receive)
    if not ok then
      return nil, said
    end
    self._receiving = true
  end
  return true
end

--- Waits for the next datagram, and returns it and where it came from: `{ ip, port, family }`, with
--- `partial = true` there if its end did not fit.
---@async
---@param c ctx.Context
---@return string|nil data
---@return any from_or_err
function Udp:recv(c)
  want.self(self, metatable, "recv")
  want.context(c, "recv")
  local got, err = self._inbox:take(c, RECV, "recv", receive, self)
  if not got then
    return nil, err
  end
  got.from.partial = got.partial
  return got.data, got.from
end

--- Sends what the kernel would not take at once.
local function send(self, c, data, ip, port)
  core.check_wait(c, "udp:send")
  -- A datagram that is queued cannot be called back; it goes as a whole or not at all.
  local ok, err = host.request(c, function(callback)
    return self._handle:send(data, ip, port, callback)
  end)
  if ok then
    return true
  elseif ok == false then
    return nil, self._inbox:fault("send") or failure.of(c, err, "send")
  end
  return nil, err
end

--- The numeric address of a name, of the socket's family.
local function address_of(self, c, name)
  if dns.is_numeric(name) then
    return name
  end
  local found, err = dns.getaddrinfo(c, name, nil, { socktype = "dgram", family = self._family })
  return found and found[1].addr, err
end

--- Sends one datagram. A name is looked up each time.
---@async
---@param c ctx.Context
---@param data string
---@param name? string    nil, and no port, when it is connected
---@param port? integer
---@return true|nil ok
---@return any? err  of the system, with a `code`; or that of c
function Udp:send(c, data, name, port)
  want.self(self, metatable, "send")
  want.context(c, "send")
  want.string(data, "send", 2, "data")
  if name ~= nil or port ~= nil then
    want.string(name, "send", 3, "name")
    port = want.port(port, "send", 4)
  end
  local err = c:ended() or self._inbox:fault("send")
  if not err and name then
    name, err = address_of(self, c, name)
    err = err or self._inbox:fault("send")
  end
  if err then
    return core.refused(nil, err)
  end
  local sent, said, code = self._handle:try_send(data, name, port)
  if sent then
    return true
  elseif code ~= "EAGAIN" then
    return core.refused(nil, failure.of(c, said, "send"))
  end
  local ok
  ok, err = send(self, c, data, name, port)
  return ok, err
end

--- Fixes the other side: `send` needs no address then, and only its datagrams are received.
---@param ip string  numeric
---@param port integer
---@return true|nil ok
---@return any? err  of the system, with a `code`
function Udp:connect(ip, port)
  want.self(self, metatable, "connect")
  want.string(ip, "connect", 1, "ip")
  port = want.port(port, "connect", 2)
  local err = self._inbox:fault("connect")
  if err then
    return nil, err
  elseif not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", "connect", "not a numeric address")
  end
  local ok, said = self._handle:connect(ip, port)
  if not ok then
    return nil, failure.of(nil, said, "connect")
  end
  return true
end

--- Returns the address of the socket: `{ ip, port, family }`.
---@return ctx.uv.Address|nil address
---@return any? err  of the system, with a `code`
function Udp:address()
  want.self(self, metatable, "address")
  local err = self._inbox:fault("address")
  if err then
    return nil, err
  end
  return host.address(self._handle, "getsockname", "address")
end

--- Closes the socket at once. Tasks that wait on it, and later calls, get the error `why`, or one
--- of code ECLOSED. Calling it again does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Udp:close(why)
  want.self(self, metatable, "close")
  self._inbox:close(failure.reason(why))
end

metatable.__close = function(self)
  self:close()
end

--- Returns luv's own handle.
---@return userdata handle
function Udp:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

return udp
