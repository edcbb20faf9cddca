-- SPDX-License-Identifier: MIT
--- Datagrams. What arrives while nobody waits is kept, as far as there is room; the rest is lost in
--- the kernel, as datagrams are.
local core = require "ctx.core"
local ctx = require "ctx"
local dns = require "ctx.uv.dns"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local inbox = require "ctx.uv.inbox"
local known = require "ctx.uv.options"
local want = require "ctx.want"

local check, check_context = want.argument, want.context
local uv = host.uv

local KEPT = 64 -- datagrams, until luv is told to stop

---@class ctx.uv.Udp: ctx.uv.Inbox
---@field _receiving boolean
---@field _on_receive fun(...)
---@field _family? string  of the names that it can send to; nil: of both
local Udp = { close = inbox.methods.close, _take = inbox.methods._take }
local metatable = { __name = "ctx.uv.Udp", __index = Udp, __close = Udp.close }

local udp = { class = Udp }

local function on_receive(self, said, data, from, flags)
  if not said and not from then
    return -- luv's way to say that there is nothing more for now
  end
  local queue = self._queue
  queue[#queue + 1] = { said = said, data = data, from = from, partial = flags and flags.partial }
  if not self._gate:open() and #queue >= KEPT then
    self._receiving = false
    self._handle:recv_stop()
  end
end

local function is_port(value)
  return math.type(value) == "integer" and value >= 0 and value < 65536
end

---@class ctx.uv.UdpOptions
---@field reuseaddr? boolean
---@field ipv6only? boolean

--- A socket for datagrams, bound to an address of this machine; nothing here waits.
---@param address? string  numeric; nil or "*": all
---@param port? integer    0: any that is free
---@param options? ctx.uv.UdpOptions
---@return ctx.uv.Udp|nil
---@return any? err
function udp.udp(address, port, options)
  check(address == nil or type(address) == "string", "udp", 1, "address", "a string", address)
  check(port == nil or is_port(port), "udp", 2, "port", "a port number", port)
  if options ~= nil then
    want.options(options, "udp", 3, known.udp)
  end
  local ip = (address == nil or address == "*") and "0.0.0.0"
    or address == "localhost" and "127.0.0.1" or address
  local what = ("bind %s:%d"):format(ip, port or 0)
  if not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", what, "not a numeric address")
  end
  local handle = assert(uv.new_udp())
  local ok, said = handle:bind(ip, port or 0, options)
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, what)
  end
  local self = inbox.new(handle, metatable)
  self._receiving = false
  if not ip:find(":", 1, true) then
    self._family = "inet"
  elseif ip ~= "::" or options and options.ipv6only then
    self._family = "inet6"
  end
  self._on_receive = host.guarded(function(...)
    on_receive(self, ...)
  end)
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

--- The next datagram and where it came from: `{ ip, port, family }`, with `partial = true` there if
--- its end did not fit.
---@async
---@param c ctx.Context
---@return string|nil data
---@return any from_or_err
function Udp:recv(c)
  want.self(self, metatable, "recv")
  check_context(c, "recv")
  local got, err = self:_take(c, "recv", receive)
  if not got then
    return nil, err
  end
  got.from.partial = got.partial
  return got.data, got.from
end

--- Sends what the kernel would not take at once.
local function send(self, c, data, ip, port)
  core.check_wait(c, "udp:send")
  local ok, err = ctx.await(c, function(resolve)
    local request, refused = self._handle:send(data, ip, port, host.guarded(function(said)
      resolve(not said, said)
    end))
    if not request then
      resolve(false, refused)
    end
    -- A datagram that is queued cannot be called back; it goes as a whole or not at all.
  end)
  if ok then
    return true
  elseif ok == false and self._closed then
    return nil, failure.closed("send", self._closed)
  end
  return nil, ok == false and failure.of(c, err, "send") or err
end

--- Sends one datagram. A name is looked up each time.
---@async
---@param c ctx.Context
---@param data string
---@param name? string    nil, and no port, when it is connected
---@param port? integer
---@return true|nil ok
---@return any? err
function Udp:send(c, data, name, port)
  want.self(self, metatable, "send")
  check_context(c, "send")
  check(type(data) == "string", "send", 2, "data", "a string", data)
  check(name == nil or type(name) == "string", "send", 3, "host", "a string", name)
  check((port == nil) == (name == nil) and (port == nil or is_port(port)), "send",
    4, "port", "a port number for a host", port)
  if c:err() then
    return nil, failure.ended(c)
  elseif name and not dns.is_numeric(name) then
    local found, err = dns.getaddrinfo(c, name, nil,
      { socktype = "dgram", family = self._family })
    if not found then
      return nil, err
    end
    name = found[1].addr
  end
  if self._closed then
    return nil, failure.closed("send", self._closed)
  end
  local sent, said, code = self._handle:try_send(data, name, port)
  if sent then
    return true
  elseif code ~= "EAGAIN" then
    return nil, failure.of(c, said, "send")
  end
  local ok, err = send(self, c, data, name, port)
  return ok, err
end

--- Fixes the other side: send needs no address then, and only its datagrams are received.
---@param ip string  numeric
---@param port integer
---@return true|nil ok
---@return any? err
function Udp:connect(ip, port)
  want.self(self, metatable, "connect")
  check(type(ip) == "string", "connect", 1, "ip", "a string", ip)
  check(is_port(port), "connect", 2, "port", "a port number", port)
  if self._closed then
    return nil, failure.closed("connect", self._closed)
  elseif not dns.is_numeric(ip) then
    return nil, failure.new("EINVAL", "connect", "not a numeric address")
  end
  local ok, said = self._handle:connect(ip, port)
  if not ok then
    return nil, failure.of(nil, said, "connect")
  end
  return true
end

--- Where it is: `{ ip, port, family }`.
function Udp:address()
  want.self(self, metatable, "address")
  if self._closed then
    return nil, failure.closed("address", self._closed)
  end
  return self._handle:getsockname()
end

--- luv's own handle.
function Udp:handle()
  want.self(self, metatable, "handle")
  return self._handle
end

return udp
