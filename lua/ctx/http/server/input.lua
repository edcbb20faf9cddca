-- SPDX-License-Identifier: MIT
--- Out of a connection's bytes, requests: each head starts a handler, or is refused; each body goes
--- to its request; what comes behind is kept until the response is out.
local body = require "ctx.http.server.body"
local causes = require "ctx.http.causes"
local exchange = require "ctx.http.server.exchange"
local failure = require "ctx.http.failure"
local fields = require "ctx.fields"
local request = require "ctx.http.server.request"
local response = require "ctx.http.server.response"
local written = require "ctx.text"

-- Bytes of further requests that are kept while one is answered.
local PENDING = 65536
-- Bytes of a body that no handler wanted, which are read for the sake of the connection.
local DISCARD = 262144

local input = { DISCARD = DISCARD }

--- Keeps what belongs to later requests.
local function keep(self, bytes)
  self._pending = self._pending or {}
  self._pending[#self._pending + 1] = bytes
  self._pending_size = self._pending_size + #bytes
  if self._pending_size > PENDING then
    self:pause()
  end
end

--- Writes a whole response at once; whether the connection can go on.
local function respond(self, req, status, headers, text, keep_alive)
  local bytes = response.whole(status, headers, text, keep_alive, req,
    self.server.limits.keep_alive_hint)
  local sent = self._handle:try_write(bytes)
  self._broken = self._broken or not keep_alive or sent ~= #bytes
  return not self._broken
end

--- Answers in place of a handler, and goes on or ends the connection. The server's own text is
--- written at once; for the program's, which may wait, there is a task.
---@param self ctx.http.Connection
---@param status integer
---@param reason string
---@param req ctx.http.Request?  nil: no head has been read
---@param keep_alive? boolean    the connection may go on
---@param retry_after? integer   seconds
function input.refuse(self, status, reason, req, keep_alive, retry_after)
  self.server:_refused()
  self._broken = self._broken or not keep_alive
  local headers = { ["retry-after"] = retry_after }
  if self.server._failure then
    self.request, self._exchange = req or request.none(self), nil
    self._refusing, self.request.keep_alive = true, keep_alive or false
    self._exchange = exchange.refuse(self, self.request, req, status, reason, headers)
  elseif respond(self, req, status, headers, reason .. "\n", keep_alive) then
    self:_next()
  else
    self:linger()
  end
end

--- Bytes that are not a request, or too many of them.
local function bad(self, status, reason)
  if self.request then
    -- The handler may answer, or not; nothing after that could be understood.
    self._broken = true
    self.request._body:fail(failure.new(status, reason))
    self:pause()
    return
  end
  self._broken = true
  if self._receiving then -- the answer is out already
    return self:linger()
  end
  input.refuse(self, status, reason)
end

--- The handler wants more of the body, or room for more of it has been made.
local function want(self)
  local timed = self._reading and not self._continue
  if self._continue then
    self._continue = false
    local bytes = "HTTP/1.1 100 Continue\r\n\r\n"
    -- After the head of the response it would be taken for a part of its body.
    if not self.response.sent and self._handle:try_write(bytes) ~= #bytes then
      return self:lost(causes.write_failed)
    end
  end
  if self._receiving and not timed then
    self._watchdog:set(self.server.limits.read_timeout)
  end
  self:resume()
end

--- Whether the client waits for a 100 before it sends the body, and whether it expects something
--- that nobody knows here. Its list may have empty members (RFC 9110, 5.6.1).
local function expectations(head)
  local continues, unknown = false, false
  for member in (head.minor > 0 and head._fields.expect or ""):gmatch("[^, \t][^,]*") do
    if written.lower(fields.trim(member)) == "100-continue" then
      continues = true
    else
      unknown = true
    end
  end
  return continues, unknown
end

--- Why this request gets no handler: a status and a reason, and whether to try again.
local function obstacle(self, makes_sense, unknown)
  if not makes_sense then
    return 400, "the request's target makes no sense"
  elseif unknown then
    return 417, "no expectation but 100-continue is known here"
  elseif not self.server:_admit() then
    return 503, "too many requests at once", 1
  end
end

--- OPTIONS * asks the server as a whole (RFC 9110, 9.3.7), which needs no handler for its answer.
local function answer_for_all(self, req, keep_alive)
  self.server:_refused()
  if respond(self, req, 200, nil, "", keep_alive and self:may_go_on()) then
    return self:_next()
  end
  self:linger()
end

--- A head is whole: starts the handler, or answers for it.
local function begin(self, head, done)
  -- There may be no chunk, but there is an end, and trailers.
  done = done and not head.chunked
  if head.method == "CONNECT" then
    head.keep_alive = false -- what comes behind it is no HTTP, and here nobody wants it
  end
  local read = not done and body.new(function() want(self) end) or body.empty
  local req, makes_sense = request.new(head, self, read)
  self._started, self._receiving = false, not done
  self._left = self._left - 1
  self._watchdog:clear()
  if head.method == "OPTIONS" and head.target == "*" then
    return answer_for_all(self, req, done and head.keep_alive)
  end
  local continues, unknown = expectations(head)
  local status, reason, retry_after = obstacle(self, makes_sense, unknown)
  if status then
    local go_on = done and head.keep_alive and retry_after and self:may_go_on()
    return input.refuse(self, status, reason, req, go_on, retry_after)
  end
  self.request, self._exchange = req, nil
  self._continue = not done and continues
  if not done and not self._continue then
    self._watchdog:set(self.server.limits.read_timeout)
  end
  self._exchange = exchange.start(self, req)
end

local function received(self)
  self._receiving = false
  self._continue = false
  self._watchdog:clear()
  local req = self.request
  if req then
    local trailers = self._reader:trailers()
    req._body:finish(trailers and fields.adopt(trailers))
  else
    self:_next()
  end
end

--- A piece of the body. Nobody takes one that came when the response was out.
local function body_bytes(self, bytes)
  self._watchdog:set(self.server.limits.read_timeout)
  if self.request then
    self._continue = false
    if not self.request._body:push(bytes) then
      -- It is the handler that is slow now, and not the client.
      self._watchdog:clear()
      self:pause()
    end
    return
  end
  self._discarded = self._discarded + #bytes
  if self._discarded > DISCARD then
    self:linger()
  end
end

local feed

--- What came behind a message: for after its response.
local function later(self, bytes)
  if self.request then
    return keep(self, bytes)
  end
  return feed(self, bytes)
end

--- Reads on in the bytes, as far as it may: not past the end of a request that has no answer yet.
function feed(self, bytes)
  local at, size = 1, #bytes
  repeat
    local stopped, head, piece, done = self._reader:feed(bytes, at)
    if not stopped then
      return bad(self, head, piece)
    end
    at = stopped
    if head then
      begin(self, head, done and not piece)
    end
    if piece and not self._lingering then
      body_bytes(self, piece)
    end
    if done and self._receiving and not self._lingering then
      received(self)
    end
    if self.closed or self._lingering then
      return
    elseif done and at <= size then
      return later(self, bytes:sub(at))
    end
  until at > size
  if not self.request and not self._receiving and not self._started and self._reader:began() then
    -- The first bytes of a head: it may not take for ever.
    self._started = true
    self._watchdog:set(self.server.limits.read_header_timeout)
    if self.ctx:err() then
      self:linger() -- and it would get no answer
    end
  end
end

--- What has come during the last request.
---@param self ctx.http.Connection
function input.feed_pending(self)
  local pending = self._pending
  self._pending, self._pending_size = nil, 0
  if pending and not self.closed and not self.gone and not self._lingering then
    feed(self, table.concat(pending))
    if self._pending_size <= PENDING then
      self:resume()
    end
  end
end

--- What luv has read: bytes, the end, or an error.
---@param self ctx.http.Connection
---@param err string?
---@param bytes string?
function input.on_read(self, err, bytes)
  if self.closed or self.hijacked then
    return
  elseif not bytes then
    return self:left(err)
  elseif self._lingering then
    return
  elseif self._pending or self.request and not self._receiving then
    return keep(self, bytes)
  end
  return feed(self, bytes)
end

return input
