-- SPDX-License-Identifier: MIT
--- One connection of a server: what comes in, times what goes out.
---
--- It is driven by what luv reads, not by a task, so that an idle one holds no coroutine. One
--- request is answered at a time. Reading goes on meanwhile, which is how a client that leaves is
--- noticed: the body goes to the handler, and what comes behind it is kept for later. When that is
--- too much, reading stops, and the transport watches for the hang-up.
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local errors = require "ctx.errors"
local exchange = require "ctx.http.server.exchange"
local failure = require "ctx.http.failure"
local input = require "ctx.http.server.input"
local loop = require "ctx.loop"
local report = require "ctx.report"
local streams = require "ctx.uv.stream"
local transport = require "ctx.http.server.transport"
local uv_failure = require "ctx.uv.failure"
local watchdog = require "ctx.http.server.watchdog"
local wire = require "ctx.http.wire"

-- How long a client may take to read the last response before the connection is reset.
local LINGER_MS = 1000
-- A connection that has had something to do so recently may have its next request on the way:
-- it gets some time for that when the server shuts down.
local RECENT_MS, GRACE_MS = 1000, 100

---@alias ctx.http.Input
---| "idle"    # nothing of a request has come
---| "head"    # the first bytes of a head have come
---| "expect"  # a head has come, and the client waits for our 100 before it sends the body
---| "body"    # a head has come, and not all of the body
---| "behind"  # a request has come; bytes behind it are kept until it is answered
---| "over"    # nothing that comes is a request any more
---| "gone"    # the client has gone
---| "closed"  # the server has closed the connection

---@alias ctx.http.Output
---| "none"      # no request is being answered
---| "handler"   # a handler has the request
---| "refusal"   # the program's `failure` answers, and no handler
---| "linger"    # the last response is out; what comes is read and thrown away
---| "hijacked"  # the handler has the stream

-- The legal pairs. Each is reached by spec/http_states_spec.lua.
local PAIRS = {
  idle = { none = true },
  head = { none = true },
  expect = { handler = true },
  -- `failure` may read the body of the request that it refuses. Beside "none" the response was out
  -- first, and the rest of the body is read and thrown away for the next request's sake.
  body = { handler = true, refusal = true, none = true },
  -- Beside "none", what was kept waits for the task that reads it; so does what was read of the
  -- stream before the server got it.
  behind = { handler = true, refusal = true, none = true },
  -- A handler whose request's body makes no sense, or did not come in time, is told and may still
  -- answer. What is refused here has no head, or its answer is the last.
  over = { handler = true, refusal = true, linger = true, hijacked = true },
  -- The answer has no reader. The request's context has ended, but its handler has not.
  gone = { handler = true, refusal = true },
  -- The connection is the server's until the handler ends, too. Of a hijacked one it has ended: the
  -- stream lives for as long as the program likes.
  closed = { none = true, handler = true, refusal = true, hijacked = true },
}
-- Over, gone, closed: from there it never goes back.
local RANK = { idle = 0, head = 0, expect = 0, body = 0, behind = 0,
  over = 1, gone = 2, closed = 3 }

---@class ctx.http.Connection
---@field server ctx.http.Server
---@field ctx ctx.Context
---@field input ctx.http.Input        `become` alone changes it,
---@field output ctx.http.Output      and this
---@field request ctx.http.Request|false   the one that is being answered
---@field response ctx.http.Response|false  the answer
---@field why any                     why the client has gone; false: it has not
---@field roster ctx.roster.Roster?     of those that are turned away, if it is one
---@field transport ctx.http.Transport
---@field _exchange ctx.Task|false    sees to the last request, or to what came behind it
---@field _cancel ctx.Cancel
---@field _reader userdata            of ctx.http.wire
---@field _watchdog ctx.http.Watchdog
---@field _kept table|false           came behind the request that is being answered: strings, and
---                                   their `size`
---@field _discarded integer?         bytes of a body that nobody reads
---@field _since number               when it began to have nothing to do
---@field _left number                requests that it may still bring
---@field _old_at number?             from then on its next response is its last
---@field place integer|false        in the roster
local Connection = {}
local metatable = { __name = "ctx.http.Connection", __index = Connection }

local connection = { class = Connection, pairs = PAIRS }

metatable.__tostring = function(self)
  return ("ctx.http.Connection (%s, %s)"):format(self.input, self.output)
end

--- The only change of the state. An illegal one raises: then luv's callback or the task that did it
--- closes the connection and reports it.
---@param into ctx.http.Input
---@param out ctx.http.Output
function Connection:become(into, out)
  if not PAIRS[into][out] or RANK[into] < RANK[self.input] then
    error(("%s cannot become (%s, %s)"):format(tostring(self), into, out), 2)
  end
  self.input, self.output = into, out
end

--- For luv or a task to call: nothing leaves it, and a connection whose state is in doubt ends.
local function guarded(self, fn)
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

-- -- Reading --------------------------------------------------------------------------------------

--- Reads on, if there is any sense in that.
function Connection:resume()
  if not self.transport.reading and (RANK[self.input] == 0 or self.output == "linger") then
    local ok, said = self.transport:resume()
    if not ok then
      self:left(said)
    end
  end
end

--- Reads what was kept, or on. Not on this stack: a thousand requests in one packet must not be a
--- thousand calls deep.
function Connection:go_on()
  if self._kept then
    self._exchange = core.go(guarded(self, input.feed_kept))
  else
    self:resume()
  end
end

--- luv has read the end of the stream, or an error.
---@param err string?
function Connection:left(err)
  self:lost(errors.ended(causes.client_gone, err and uv_failure.of(nil, err, "read")))
end

-- -- A request, and what comes after its response -------------------------------------------------

--- The rest of the request's body makes no sense, or did not come in time. Its reader is told, and
--- the connection ends after the answer.
---@param status integer
---@param reason string
function Connection:give_up_body(status, reason)
  self:become("over", self.output)
  self.request._body:fail(failure.new(status, reason))
  self.transport:pause()
end

--- Whether the connection can serve another request after the one that is being answered.
---@return boolean
function Connection:may_go_on()
  local into = self.input
  if RANK[into] > 0 or self._left <= 0 or self.server._ending
    or self._old_at and core.now() >= self._old_at then
    return false
  elseif into ~= "body" then
    return into ~= "expect" -- what the client may never send cannot be waited for
  end
  local length = self.request.length
  return not (length and length > input.DISCARD)
end

--- On to the next request. Also when the server has begun to shut down since the head of the
--- response went out: that had promised to go on, and the client may have counted on it.
function Connection:next_request()
  self._reader:next()
  self._since = self._watchdog:set(self.server.limits.idle_timeout)
  self:become(self._kept and "behind" or "idle", "none")
  if self.server._ending then
    self:retire()
  end
  self:go_on()
end

--- The response is out, or will never be.
---@param keep_alive boolean
function Connection:answered(keep_alive)
  local into, out = self.input, self.output
  local is_coming = into == "body" or into == "expect"
  if is_coming then
    self.request._body:fail(causes.handler_returned) -- the rest goes to nobody
  end
  if out ~= "refusal" then
    self.server:_served()
  end
  self.request, self.response = false, false
  if into == "closed" then
    self:become("closed", out == "hijacked" and out or "none")
    return self.server:_forget(self)
  elseif into == "gone" or out == "hijacked" then
    return self:close()
  elseif not keep_alive or into == "over" or is_coming and self.ctx:err() then
    return self:linger()
  elseif is_coming then
    self:become("body", "none")
    self._discarded = 0
    self._watchdog:set(self.server.limits.read_timeout)
    return self:resume()
  end
  self:next_request()
end

--- Ends the connection after the last response. Bytes that are still on their way must be read, or
--- the reset that they cause would take the response away from the client (RFC 9112, 9.6).
function Connection:linger()
  if self.input == "closed" then
    return
  elseif self.input == "behind" and self.output == "handler" and not self._kept then
    return self:close() -- nothing is on its way
  end
  self._kept = false
  self:become("over", "linger")
  if not self.transport:finish() then
    return self:close()
  end
  self._watchdog:set(LINGER_MS)
  self:resume()
end

--- What is to do once it is gone or closed. There may be no memory for half of it: it can be
--- repeated.
local function let_go(self)
  local why = self.why or self.server._why or causes.server_shutdown
  self.transport:stop()
  self._watchdog:close()
  self._cancel(why)
  if has_exchange(self) then
    self.request._body:fail(why)
  elseif self.request then
    self:answered(false)
  else
    self.server:_forget(self)
  end
end

--- The client has closed the connection, or its side of it; or the network did.
---@param why any
function Connection:lost(why)
  if RANK[self.input] > 1 or self.output == "hijacked" then
    return
  end
  self.why = why
  if not has_exchange(self) then
    return self:close()
  end
  self:become("gone", self.output)
  let_go(self)
end

--- Closes it at once. A handler that still runs goes on, with its context cancelled.
function Connection:close()
  if self.input == "closed" then
    return
  end
  local out = self.output
  if out ~= "hijacked" then
    -- First: if what follows fails, no client waits for it.
    self.transport.stream:close(self.server._why)
    out = self.request and out or "none"
  end
  self:become("closed", out)
  let_go(self)
end

--- Ends what was left behind for lack of memory: by an exchange that has failed, or by close.
function Connection:bury()
  local task = self._exchange
  if self.input == "closed" then
    let_go(self)
  elseif self.request and not has_exchange(self) or task and task:status() == "failed" then
    self:close()
  else
    self._watchdog:look()
  end
end

-- -- For the exchange, the request and the server -------------------------------------------------

--- Writes for the response, which has asked whether it may; `cut`: nothing can be written any more.
---@async
---@param c ctx.Context  alive
---@param data string|string[]
---@param bytes integer  of the data
---@return true|nil ok
---@return any? err
---@return boolean? cut
function Connection:write(c, data, bytes)
  local stream = self.transport.stream
  local ok, err = streams.write(stream, c, data, bytes)
  if ok then
    return true
  elseif c:err() and not stream:is_closed() and errors.is(err, c:err()) then
    return nil, err, false
  end
  self:lost(errors.ended(causes.write_failed, err))
  return nil, err, true
end

--- The stream, with what was read and not taken.
---@param req ctx.http.Request
function Connection:hijack(req)
  if self.request ~= (req._original or req) then
    return nil, errors.new("hijack: the request is over")
  elseif RANK[self.input] > 1 then
    return nil, self.why or errors.new("hijack: the connection is closed")
  elseif self.output ~= "handler" then
    return nil, errors.new("hijack: the server has no handler for it, or no connection any more")
  elseif self.response.sent then
    return nil, errors.new("hijack: the response has begun")
  elseif self.input ~= "behind" then
    return nil, errors.new("hijack: read the body first")
  end
  self._watchdog:close()
  self.transport:give(self._kept)
  self._kept = false
  self.server:_forget(self)
  self:become("over", "hijacked") -- last: until then, what raises leaves the stream to us
  return self.transport.stream
end

--- The server shuts down: closes the connection if it has nothing to do, unless a request comes
--- very soon. Not at once in any case: what has arrived already is read in the loop's next turn.
function Connection:retire()
  local into = self.input
  if self.output ~= "none" or into == "closed" then
    return
  elseif into == "body" or into == "head" then
    if self.ctx:err() then
      self:linger() -- the server does not wait any longer, either
    end
    return
  end
  self._watchdog:set(core.now() - self._since < RECENT_MS and GRACE_MS or 1)
end

-- -- Making ---------------------------------------------------------------------------------------

--- A time has run out: which, the state tells.
local function bark(self)
  if RANK[self.input] > 1 then
    return
  elseif self.request then
    self:give_up_body(408, "the body did not come in time")
  elseif self.input == "head" then
    exchange.refuse(self, nil, "over", 408, "the head of the request did not come in time")
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
  -- All fields that each connection has, at once: they fit into 16 places, and none is nil, so that
  -- it needs no memory to set one.
  local self = setmetatable({
    server = server, ctx = c, input = "idle", output = "none", request = false, response = false,
    why = false, transport = false, place = false, _cancel = cancel, _watchdog = false,
    _exchange = false, _kept = false, _since = core.now(),
    _left = limits.max_requests_per_connection,
    _reader = wire.reader(limits.max_target, limits.max_head, limits.max_headers, limits.max_body),
  }, metatable)
  self._watchdog = watchdog.new(guarded(self, bark))
  local below, kept = transport.new(stream, limits.write_timeout, guarded(self, input.on_read),
    guarded(self, self.left))
  self.transport = below
  if limits.max_connection_age then
    self._old_at = core.now() + limits.max_connection_age
  end
  if kept then
    kept.size, self._kept = 0, kept
    self:become("behind", "none")
  end
  self._watchdog:set(limits.read_header_timeout)
  return self
end

return connection
