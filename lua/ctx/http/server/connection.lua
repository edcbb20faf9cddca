-- SPDX-License-Identifier: MIT
--- One connection of a server: bytes in, one request after the other out to its handler.
---
--- It is driven by what luv reads, not by a task, so that an idle one holds no coroutine. One
--- request is answered at a time. Reading goes on meanwhile, which is how a client that leaves is
--- noticed: the body goes to the handler, and what comes after it is kept for later. When that is
--- too much, reading stops, and another descriptor tells of the hangup.
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local errors = require "ctx.errors"
local failure = require "ctx.http.failure"
local hangup = require "ctx.http.server.hangup"
local input = require "ctx.http.server.input"
local loop = require "ctx.loop"
local report = require "ctx.report"
local streams = require "ctx.uv.stream"
local uv_failure = require "ctx.uv.failure"
local watchdog = require "ctx.http.server.watchdog"
local wire = require "ctx.http.wire"

-- How long a client may take to read the last response before the connection is reset.
local LINGER_MS = 1000
-- A connection that has had something to do so recently may have its next request on the way:
-- it gets some time for that when the server shuts down.
local RECENT_MS, GRACE_MS = 1000, 100
-- How long a TCP peer may say nothing before the kernel asks whether it is still there.
local KEEPALIVE_S = 15

---@class ctx.http.Connection
---@field server ctx.http.Server
---@field stream ctx.uv.Stream
---@field ctx ctx.Context
---@field request ctx.http.Request?   the one that is being answered
---@field response ctx.http.Response?  the answer
---@field _exchange ctx.Task?         sees to the last request, or to what came behind it
---@field gone any?                   why the client is not there any more
---@field closed boolean
---@field hijacked boolean
---@field turned_away boolean?        one too many: the server does not count it
---@field _cancel ctx.Cancel
---@field _handle userdata
---@field _reader userdata            of ctx.http.wire
---@field _watchdog ctx.http.Watchdog
---@field _pending string[]?          came after the message that is being answered
---@field _pending_size integer
---@field _receiving boolean          the body of the request is not over
---@field _continue boolean           the client waits for our 100 before it sends the body
---@field _broken boolean             what comes cannot be understood, or did not come in time
---@field _discarded integer?         bytes of a body that nobody reads
---@field _since number               when it began to have nothing to do
---@field _peer any                   where the other side is, once that was asked
---@field _started boolean            bytes of the next head have come
---@field _reading boolean
---@field _refusing boolean           the request is answered without a handler
---@field _left number                requests that it may still bring
---@field _old_at number|false            from then on its next response is its last
---@field _place integer|false        in the server's roster
---@field _lingering boolean
---@field _hangup ctx.http.Hangup?    watches for the hangup while nothing is read
local Connection = {}
local metatable = { __name = "ctx.http.Connection", __index = Connection }

local connection = {}

--- For luv or a task to call: nothing leaves it, and a connection whose state is in doubt ends.
function Connection:_guarded(fn)
  return function(...)
    if loop.over then
      return
    end
    local ok, err = pcall(fn, self, ...)
    if not ok then
      self.server:_doubt()
      core.look_again()
      self:close()
      report.send("ctx.http: " .. report.describe(err), "http")
    end
  end
end

--- Whether a task sees to the request. One that had no memory to begin, or to end well, does not.
local function has_exchange(self)
  local status = self.request and self._exchange and self._exchange:status()
  return status and status ~= "done" and status ~= "failed"
end

-- -- Reading, and noticing that the client has gone -----------------------------------------------

local function unwatch(self)
  if self._hangup then
    self._hangup:close()
    self._hangup = nil
  end
end

--- Reads no more for now.
function Connection:pause()
  if self._reading then
    self._reading = false
    self._handle:read_stop()
    self._hangup = hangup.watch(self._handle, self._on_hangup)
  end
end

--- Reads on, if there is any sense in that.
function Connection:resume()
  local over = self.closed or self.gone or self.hijacked or self._broken and not self._lingering
  if not self._reading and not over then
    unwatch(self)
    self._reading = true
    local ok, said = self._handle:read_start(self._on_read)
    if not ok then
      self:left(said)
    end
  end
end

--- The client has closed the connection, or its side of it; or the network did.
---@param why any
function Connection:lost(why)
  if self.gone or self.closed then
    return
  end
  self.gone = why
  if self._reading then
    self._reading = false
    self._handle:read_stop()
  end
  unwatch(self)
  self._cancel(why)
  if has_exchange(self) then
    self.request._body:fail(why)
  else
    self:close()
  end
end

--- luv has read the end of the stream, or an error.
---@param err string?
function Connection:left(err)
  local cause = causes.client_gone
  self:lost(err and errors.ended(cause, uv_failure.of(nil, err, "read")) or cause)
end

-- -- After a response -----------------------------------------------------------------------------

--- Whether the connection can serve another request after the one that is being answered.
---@return boolean
function Connection:may_go_on()
  if self.gone or self._broken or self._left <= 0 or self.server._ending
    or self._old_at and core.now() >= self._old_at then
    return false
  elseif not self._receiving then
    return true
  end
  -- What the client may never send cannot be waited for, and much is not worth it.
  local length = self.request.length
  return not self._continue and not (length and length > input.DISCARD)
end

--- On to the next request. Also when the server has begun to shut down since the head of the
--- response went out: that had promised to go on, and the client may have counted on it.
function Connection:_next()
  self._reader:next()
  self._since = self._watchdog:set(self.server.limits.idle_timeout)
  if self.server._ending then
    self:retire()
  end
  if self._pending then
    -- Not from here: a thousand requests in one packet must not be a thousand calls deep.
    self._exchange = core.go(self:_guarded(input.feed_pending))
  else
    self:resume()
  end
end

--- The response is out, or will never be.
---@param keep_alive boolean
function Connection:answered(keep_alive)
  if self._receiving then
    self.request._body:fail(causes.handler_returned) -- the rest goes to nobody
  end
  self.request, self.response = nil, nil
  if self._refusing then
    self._refusing = false
  else
    self.server:_served()
  end
  if self.closed then
    return self.server:_forget(self)
  elseif self.hijacked or self.gone then
    return self:close()
  elseif not keep_alive or self._receiving and self.ctx:err() then
    return self:linger()
  elseif self._receiving then
    self._discarded = 0
    self._watchdog:set(self.server.limits.read_timeout)
    return self:resume()
  end
  self:_next()
end

--- Ends the connection after the last response. Bytes that are still on their way must be read, or
--- the reset that they cause would take the response away from the client (RFC 9112, 9.6).
function Connection:linger()
  if self.closed then
    return
  elseif not (self._receiving or self._pending or self._started or self._broken) then
    return self:close()
  end
  self._lingering = true
  self._pending = nil
  if not self._handle:shutdown() then
    return self:close()
  end
  self._watchdog:set(LINGER_MS)
  self:resume()
end

--- What is to do once it is closed. There may be no memory for half of it: it can be repeated.
local function let_go(self)
  unwatch(self)
  self._watchdog:close()
  self._cancel(self.gone or causes.server_shutdown)
  if has_exchange(self) then
    self.request._body:fail(self.gone or causes.server_shutdown)
  elseif self.request then
    self:answered(false)
  else
    self.server:_forget(self)
  end
end

--- Closes it at once. A handler that still runs goes on, with its context cancelled.
function Connection:close()
  if self.closed then
    return
  elseif not self.hijacked then
    self.stream:close() -- first: whatever fails behind this, the client does not wait
  end
  self.closed = true
  let_go(self)
end

-- -- For the exchange, the request and the server -------------------------------------------------

--- Ends what was left behind for lack of memory: by an exchange that has failed, or by close.
function Connection:bury()
  local task = self._exchange
  if self.closed then
    let_go(self)
  elseif self.request and not has_exchange(self) or task and task:status() == "failed" then
    self:close()
  else
    self._watchdog:look()
  end
end

--- Writes for the response, which has asked whether it may; `cut`: nothing can be written any more.
---@async
---@param c ctx.Context  alive
---@param data string|string[]
---@param bytes integer  of the data
---@return true|nil ok
---@return any? err
---@return boolean? cut
function Connection:write(c, data, bytes)
  local stream = self.stream
  local ok, err = streams.write(stream, c, data, bytes)
  if ok then
    return true
  elseif c:err() and not stream:is_closed() and errors.is(err, c:err()) then
    return nil, err, false
  end
  self:lost(errors.ended(causes.write_failed, err))
  return nil, err, true
end

--- Where the other side is, or was: of one that has gone the system knows nothing any more.
function Connection:peer()
  if self._peer == nil then
    self._peer = self.stream:peer()
  end
  return self._peer
end

--- The stream, with what was read and not taken.
---@param req ctx.http.Request
function Connection:hijack(req)
  if self.request ~= (req._original or req) then
    return nil, errors.new("hijack: the request is over")
  elseif self.gone or self.closed then
    return nil, self.gone or errors.new("hijack: the connection is closed")
  elseif self.hijacked then
    return nil, errors.new("hijack: it is done")
  elseif self.response.sent then
    return nil, errors.new("hijack: the response has begun")
  elseif self._receiving then
    return nil, errors.new("hijack: read the body first")
  end
  self._watchdog:close()
  unwatch(self)
  if self._reading then
    self._reading = false
    self._handle:read_stop()
  end
  self._handle:unref()
  for _, bytes in ipairs(self._pending or {}) do
    streams.unread(self.stream, bytes)
  end
  self._pending = nil
  self.stream:set_idle(nil)
  self.server:_forget(self)
  self.hijacked = true -- last: until then, what raises leaves the stream to us
  return self.stream
end

--- The server shuts down: closes the connection if it has nothing to do, unless a request comes
--- very soon. Not at once in any case: what has arrived already is read in the loop's next turn.
function Connection:retire()
  if self.closed or self.request or self._lingering then
    return
  elseif self._receiving or self._started then
    if self.ctx:err() then
      self:linger() -- the server does not wait any longer, either
    end
    return
  end
  self._watchdog:set(core.now() - self._since < RECENT_MS and GRACE_MS or 1)
end

--- Reads. The server must know the connection by now: it may end at once.
function Connection:start()
  self:resume()
  if self._pending then
    self._exchange = core.go(self:_guarded(input.feed_pending))
  end
end

--- One connection too many, which the server has counted as turned away: says so, and closes it.
function Connection:turn_away()
  self._broken = true
  input.refuse(self, 503, "too many connections", nil, false, 1)
end

-- -- Making ---------------------------------------------------------------------------------------

--- A time has run out: which, the state tells.
local function bark(self)
  local req = self.request
  if self.closed then
    return
  elseif req then
    -- The body did not come; its reader is told, and the connection ends after the answer.
    self._broken = true
    req._body:fail(failure.new(408, "the body did not come in time"))
  elseif self._started and not self._lingering then
    input.refuse(self, 408, "the head of the request did not come in time")
  else
    self:close()
  end
end

--- Takes over a stream, with what was read of it and not taken.
---@param server ctx.http.Server
---@param stream ctx.uv.Stream
---@param base ctx.Context
---@return ctx.http.Connection
function connection.new(server, stream, base)
  local limits = server.limits
  local c, cancel = core.with_cancel(base)
  local self = setmetatable({
    server = server, stream = stream, ctx = c, closed = false, hijacked = false,
    _cancel = cancel, _handle = stream:handle(), _pending_size = 0, _receiving = false,
    _continue = false, _broken = false, _started = false, _reading = false, _lingering = false,
    _since = core.now(), _pending = streams.hand_over(stream),
    _left = limits.max_requests_per_connection,
    _old_at = limits.max_connection_age and core.now() + limits.max_connection_age or false,
    _refusing = false, _place = false,
    _reader = wire.reader(limits.max_target, limits.max_head, limits.max_headers, limits.max_body),
  }, metatable)
  self._watchdog = watchdog.new(self:_guarded(bark))
  self._on_read = self:_guarded(input.on_read)
  self._on_hangup = self:_guarded(self.left)
  stream:set_idle(limits.write_timeout)
  if self._handle.keepalive then
    self._handle:keepalive(true, KEEPALIVE_S)
  end
  self._handle:ref()
  self._watchdog:set(limits.read_header_timeout)
  return self
end

return connection
