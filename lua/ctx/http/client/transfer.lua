-- SPDX-License-Identifier: MIT
--- Internal: one request and its response, as a task sees them: begin, wait for the head, read.
local ctx = require "ctx"
local failing = require "ctx.http.client.failing"
local failure = require "ctx.uv.failure"

---@class ctx.http.Transfer
---@field curl userdata?            of ctx.http.curl
---@field what string               method and URL, for errors
---@field _engine ctx.http.Engine
---@field _c ctx.Context            of the request
---@field _idle number?             ms
---@field _max_body integer
---@field _news boolean             came while nobody waited
---@field _resolve fun(...)?        of the task that waits
---@field _body fun(...)?           gives the request's body
---@field _stop_body fun(...)?      ends the function that gives the body
---@field _error any?               why it is over
---@field _rest string?             of the body, once it is over
---@field _over boolean
---@field _head table?             status, head and trailers, once it is over
local Transfer = {}
local metatable = { __name = "ctx.http.Transfer", __index = Transfer }

local transfer = { class = Transfer }

--- A transfer that has not begun; end it, whatever happens.
---@param engine ctx.http.Engine
---@param what string
---@param settings { idle?: number, max_body: integer }
---@return ctx.http.Transfer
function transfer.new(engine, what, settings)
  return setmetatable({
    what = what, _engine = engine, _idle = settings.idle, _max_body = settings.max_body,
    _news = false, _over = false,
  }, metatable)
end

-- -- What the engine calls ------------------------------------------------------------------------

function Transfer:changed()
  local resolve = self._resolve
  if self._stop_body and select(2, self.curl:state()) then
    self._stop_body("the request is over")
  end
  if resolve then
    self._resolve = nil
    resolve(true)
  else
    self._news = true
  end
end

function Transfer:broken(err)
  self._error = self._error or failing.ended(err, self.what, "given up")
  self._over = true
  local resolve = self._resolve
  self._resolve = nil
  if self._stop_body then
    self._stop_body(err)
  end
  if resolve then
    resolve(true)
  end
end

-- -- Ends -----------------------------------------------------------------------------------------

function Transfer:phase()
  local phase = self.curl:phase()
  if phase == "resolving" and self._engine.limited then
    return "waiting for a connection"
  end
  return phase
end

--- Ends it: libcurl lets go of it in this call. Later reads give `err`.
function Transfer:finish(err)
  if not self._over then
    self._over = true
    self._error = err
    self._engine:finish(self)
    local resolve = self._resolve
    self._resolve = nil
    if resolve then
      resolve(true)
    end
  end
end

--- Ends it because its context has ended, whose error comes before what that brought about (C59).
function Transfer:end_with(c)
  if not self._over then
    local phase = self.curl and self:phase() or "resolving"
    self:finish(failing.ended(failure.ended(c), self.what, phase))
  end
end

--- Ends what failed or is complete, as libcurl sees it, and keeps what of the body is left. What is
--- complete counts, though the context has ended meanwhile (C57); an error gives way to that (C59).
local function conclude(self)
  local curl = self.curl
  local err = failing.of(curl, self.what, self:phase(), self._max_body)
  if not err then
    self._head = table.pack(curl:head())
    self._rest = curl:take()
  elseif self._c:err() then
    return self:end_with(self._c)
  end
  self:finish(err)
end

-- -- Waiting --------------------------------------------------------------------------------------

--- Waits under c for news. With an idle time, each movement of bytes is news.
local function wait(self, c)
  if self._news then
    self._news = false
    return true
  end
  local _ <close> = self._engine:hold()
  return ctx.await(c, function(resolve)
    self._resolve = resolve
    return function()
      if self._resolve == resolve then
        self._resolve = nil
      end
    end
  end)
end

--- The same within the idle time. What ends the wait is an error without a phase.
function Transfer:wait(c)
  if not self._idle then
    return wait(self, c)
  end
  local timed, cancel <close> = ctx.with_timeout(c, self._idle, failure.idle)
  return wait(self, timed)
end

-- -- The request's body ---------------------------------------------------------------------------

--- Asks the program for the next piece, and gives it to libcurl. The function's context ends with
--- the transfer, too: it may wait for pieces that nobody wants any more.
local function feed(self, c)
  if (self.curl:head() or 0) >= 400 then
    self.curl:refuse() -- nobody wants the rest
    return self._engine:settle()
  end
  local within, cancel <close> = ctx.with_cancel(c)
  self._stop_body = cancel
  local chunk, err = self._body(within)
  self._stop_body = nil
  if self._over then
    return
  elseif c:err() then
    return self:end_with(c)
  elseif chunk == nil and err ~= nil then
    if not select(2, self.curl:state()) then
      self:finish(failing.ended(err, self.what, "sending the request"))
    end
  elseif chunk ~= nil and type(chunk) ~= "string" then
    error(("the body's function returned a %s, not a string or nil"):format(type(chunk)), 0)
  else
    self.curl:feed(chunk)
    self._engine:settle()
  end
end

-- -- The response ---------------------------------------------------------------------------------

--- Waits until it is over, or with `head` until the final response's head is there and the request
--- is sent or refused.
local function proceed(self, head)
  local c = self._c
  while not self._over do
    local there, done, wants = self.curl:state()
    if there and head then
      return true
    elseif done then
      conclude(self)
    elseif wants then
      feed(self, c)
    else
      local ok, err = self:wait(c)
      if not ok and c:err() then
        self:end_with(c)
      elseif not ok and not self._over then
        self:finish(failing.ended(err, self.what, self:phase()))
      end
    end
  end
  if self._error then
    return nil, self._error
  end
  return true
end

--- Begins, and waits for the head.
---@async
---@param c ctx.Context
---@param options table            for ctx.http.curl
---@param body? fun(c: ctx.Context): string?, any
---@return true|nil ok
---@return any? err
function Transfer:run(c, options, body)
  self._c, self._body = c, body
  self._engine:begin(self, options)
  return proceed(self, true)
end

--- Waits for all of the body.
---@async
---@return true|nil ok
---@return any? err
function Transfer:complete()
  return proceed(self, false)
end

--- The next bytes of the body; nil alone at the end. `c` ends only the wait; that it is idle ends
--- the transfer.
---@async
---@param c ctx.Context
---@return string|nil chunk
---@return any? err
function Transfer:read(c)
  while true do
    if self._over then
      local rest = self._rest
      self._rest = nil
      if rest and rest ~= "" then
        return rest
      end
      return nil, self._error
    end
    local _, done, _, size = self.curl:state()
    if size > 0 and not done then
      local chunk = self.curl:take()
      self._engine:settle()
      return chunk
    elseif done then
      if size > 0 and select(1, self.curl:result()) ~= 0 then
        return (self.curl:take())
      end
      conclude(self)
    else
      local ok, err = self:wait(c)
      if not ok and not self._over then
        err = failing.ended(err, self.what, "reading body")
        if not c:err() then
          self:finish(err)
        end
        return nil, err
      end
    end
  end
end

--- The error of a read with a context that is done.
function Transfer:ended(c)
  return failing.ended(failure.ended(c), self.what, "reading body")
end

---@return boolean
function Transfer:is_over()
  return self._over
end

--- All that is left of a body that has come whole.
function Transfer:rest()
  local rest = self._rest or ""
  self._rest = nil
  return rest
end

--- The status, the head and the trailers that are there.
function Transfer:head()
  if self._head then
    return table.unpack(self._head)
  end
  return self.curl:head()
end

return transfer
