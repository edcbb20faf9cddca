-- SPDX-License-Identifier: MIT
--- What comes in on a connection: each head starts a handler, or is refused; each body goes to its
--- request; what comes behind is kept until the response is out.
local body = require "ctx.http.server.body"
local causes = require "ctx.http.causes"
local exchange = require "ctx.http.server.exchange"
local fields = require "ctx.fields"
local request = require "ctx.http.server.request"
local text = require "ctx.text"

-- Bytes of further requests that are kept while one is answered.
local KEPT = 65536
-- Bytes of a body that no handler wanted, which are read for the sake of the connection.
local DISCARD = 262144

local input = { DISCARD = DISCARD }

--- Keeps what belongs to later requests.
local function keep(self, bytes)
  local kept = self._kept or { size = 0 }
  self._kept = kept
  kept[#kept + 1] = bytes
  kept.size = kept.size + #bytes
  if kept.size > KEPT then
    self.transport:pause()
  end
end

--- Bytes that are not a request, or too many of them.
local function bad(self, status, reason)
  if self.request then
    self:give_up_body(status, reason)
  elseif self.input == "body" then
    self:linger() -- the answer is out already
  else
    exchange.refuse(self, nil, "over", status, reason)
  end
end

--- The handler wants more of the body, or room for more of it has been made.
local function want(self)
  local is_timed = self.transport.reading and self.input ~= "expect"
  if self.input == "expect" then
    self:become("body", self.output)
    -- After the head of the response it would be taken for a part of its body.
    if not self.response.sent and not self.transport:put("HTTP/1.1 100 Continue\r\n\r\n") then
      return self:lost(causes.write_failed)
    end
  end
  if self.input == "body" and not is_timed then
    self._watchdog:set(self.server.limits.read_timeout)
  end
  self:resume()
end

--- Whether the client waits for a 100 before it sends the body, and whether it expects something
--- that nobody knows here. Its list may have empty members (RFC 9110, 5.6.1).
local function expectations(head)
  local expect, continues, unknown = head._fields.expect, false, false
  if not expect or head.minor == 0 then
    return false, false
  end
  for member in expect:gmatch("[^, \t][^,]*") do
    if text.lower(fields.trim(member)) == "100-continue" then
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

--- A head is whole: starts the handler, or answers for it.
local function begin(self, head, done)
  -- There may be no chunk, but there is an end, and trailers.
  done = done and not head.chunked
  if head.method == "CONNECT" then
    head.keep_alive = false -- what comes behind it is no HTTP, and here nobody wants it
  end
  local read = not done and body.new(function() want(self) end) or body.empty
  local req, makes_sense = request.new(head, self, read)
  self._left = self._left - 1
  self._watchdog:clear()
  if head.method == "OPTIONS" and head.target == "*" then
    -- It asks the server as a whole (RFC 9110, 9.3.7), which needs no handler for its answer.
    self.server:_refused()
    return exchange.say(self, req, done and head.keep_alive and self:may_go_on(), 200, nil, "")
  end
  local continues, unknown = expectations(head)
  local status, reason, retry_after = obstacle(self, makes_sense, unknown)
  if status then
    local goes_on = done and head.keep_alive and retry_after and self:may_go_on()
    local into = not done and "body" or goes_on and "behind" or "over"
    return exchange.refuse(self, req, into, status, reason, retry_after)
  end
  self.request, self._exchange = req, false -- at once: the server has counted it
  self:become(done and "behind" or continues and "expect" or "body", "handler")
  if self.input == "body" then
    self._watchdog:set(self.server.limits.read_timeout)
  end
  self._exchange = exchange.start(self, req)
end

--- The end of a body.
local function received(self)
  local req = self.request
  self._watchdog:clear()
  if not req then
    return self:next_request()
  end
  self:become("behind", self.output)
  local trailers = self._reader:trailers()
  req._body:finish(trailers and fields.adopt(trailers))
end

--- A piece of the body. Nobody takes one that came when the response was out.
local function body_bytes(self, bytes)
  self._watchdog:set(self.server.limits.read_timeout)
  if self.request then
    self:become("body", self.output)
    if not self.request._body:push(bytes) then
      -- It is the handler that is slow now, and not the client.
      self._watchdog:clear()
      self.transport:pause()
    end
    return
  end
  self._discarded = self._discarded + #bytes
  if self._discarded > DISCARD then
    self:linger()
  end
end

-- Nothing more is read as a request.
local DEAF = { over = true, gone = true, closed = true }

--- Reads on in the bytes, as far as it may: not past the end of a request that has no answer yet.
local function feed(self, bytes)
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
    if piece and not DEAF[self.input] then
      body_bytes(self, piece)
    end
    if done and (self.input == "body" or self.input == "expect") then
      received(self)
    end
    if DEAF[self.input] then
      return
    elseif done and at <= size and self.request then
      return keep(self, bytes:sub(at))
    end
  until at > size
  if self.input == "idle" and self._reader:began() then
    -- The first bytes of a head: it may not take for ever.
    self:become("head", "none")
    self._watchdog:set(self.server.limits.read_header_timeout)
    if self.ctx:err() then
      self:linger() -- and it would get no answer
    end
  end
end

--- What has come during the last request.
---@param self ctx.http.Connection
function input.feed_kept(self)
  local kept = self._kept
  self._kept = false
  if kept and self.input == "behind" and self.output == "none" then
    self:become("idle", "none")
    feed(self, table.concat(kept))
    if not self._kept or self._kept.size <= KEPT then
      self:resume()
    end
  end
end

--- What luv has read: bytes, the end, or an error.
---@param self ctx.http.Connection
---@param err string?
---@param bytes string?
function input.on_read(self, err, bytes)
  if not bytes then
    self:left(err)
  elseif self.input == "behind" then
    keep(self, bytes)
  elseif not DEAF[self.input] then
    feed(self, bytes)
  end
end

return input
