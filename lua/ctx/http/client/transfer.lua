-- SPDX-License-Identifier: MIT
--- Internal: one request and its response, as a task sees them: begin, wait for the head, read.
local core = require "ctx.core"
local failing = require "ctx.http.client.failing"
local failure = require "ctx.uv.failure"
local line = require "ctx.line"
local lookups = require "ctx.http.client.lookups"
local response = require "ctx.http.client.response"

local WAIT = line.name("http.request")
local LEAST_GZIP = 18 -- bytes, of its header and what it says at the end

---@class ctx.http.client.Transfer
---@field curl userdata?            of ctx.http.curl
---@field what string               method and URL, for errors
---@field _engine ctx.http.client.Engine
---@field _c ctx.Context            of the request
---@field _idle number?             ms
---@field _max_body integer
---@field _news integer             so many times something has changed
---@field _reader ctx.line.Gate     where the task waits that wants the response
---@field _writer ctx.line.Gate     where the task waits that feeds the body meanwhile
---@field _body fun(...)?           gives the request's body
---@field _length integer?          of that, if it was named
---@field _fed integer              bytes that it has given
---@field _stop_task fun(...)?      ends what its task does beside: give the body, wait to look up
---@field _feeder ctx.Task?         asks it, where the response is read meanwhile
---@field _raised boolean?          the error is what that function raised
---@field _options table            for ctx.http.curl
---@field _permit boolean?          it may look a name up, and that is not over
---@field _error any?               why it is over
---@field _rest string?             of the body, once it is over
---@field _over boolean
---@field _head table?             status, head and trailers, once it is over
local Transfer = {}
local metatable = { __name = "ctx.http.client.Transfer", __index = Transfer }

local transfer = { class = Transfer }

--- A transfer that has not begun; end it, whatever happens.
---@param engine ctx.http.client.Engine
---@param what string
---@param settings { idle?: number, max_body: integer }
---@return ctx.http.client.Transfer
function transfer.new(engine, what, settings)
  return setmetatable({
    what = what, _engine = engine, _idle = settings.idle, _max_body = settings.max_body,
    _news = 0, _reader = line.gate("outside"), _writer = line.gate("outside"), _over = false,
    _fed = 0,
  }, metatable)
end

-- -- What the engine calls ------------------------------------------------------------------------

--- Wakes the tasks that wait: for the response, and to feed.
local function wake(self)
  self._news = self._news + 1
  self._reader:open()
  self._writer:open()
end

--- What its task does beside is wanted no more: the body's function need not wait for a piece.
local function stop_task(self, why)
  if self._stop_task then
    self._stop_task(why)
  end
end

--- Whether the server has answered that it will not have the request.
local function is_refused(self)
  return (self.curl:head() or 0) >= 400
end

--- The lookup is over, or nobody waits for it any more.
local function give_back(self, is_over)
  if self._permit then
    self._permit = nil
    if is_over then
      lookups.release()
    else
      lookups.give_up()
    end
  end
end

function Transfer:changed()
  if self._permit and not self.curl:is_looking_up() then
    give_back(self, true)
  end
  if self._stop_task and (select(2, self.curl:state()) or is_refused(self)) then
    stop_task(self, "the request is over")
  end
  wake(self)
end

function Transfer:broken(err, exactly)
  self._error = self._error or exactly and err or failing.given_up(err, self.what)
  self._over = true
  give_back(self, false)
  stop_task(self, err)
  wake(self)
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
    give_back(self, not (self.curl and self.curl:is_looking_up()))
    self._engine:finish(self)
    stop_task(self, err or "the request is over")
    wake(self)
  end
end

--- Ends it because its context has ended, whose error comes before what that brought about.
function Transfer:end_with(c)
  if not self._over then
    local phase = self.curl and self:phase() or "resolving"
    self:finish(failing.ended(c:ended(), self.what, phase))
  end
end

--- Whether the server says that it has waited for a request, and so has not heard this one.
---@return boolean
function Transfer:is_unheard()
  return not self._over and self.curl:is_unheard()
end

--- An error if the body that libcurl has decoded is not whole: wherever it ends, libcurl takes it
--- for that. gzip says at its end how long it was (RFC 1952, 2.3.1); other codings do not.
local function check_decoded(self)
  local size, last, decoded = self.curl:encoded()
  if size == 0 or response.coding(self) ~= "gzip" or self.curl:head() == 206 then
    return nil
  elseif size < LEAST_GZIP or last ~= decoded & 0xFFFFFFFF then
    return failing.new("EOF", self.what, "reading body", "the compressed body ended too early")
  end
end

--- Ends what failed or is complete, as libcurl sees it, and keeps what of the body is left. What is
--- complete counts, though the context has ended meanwhile; an error gives way to that.
local function conclude(self)
  local curl = self.curl
  local err = failing.of(curl, self.what, self:phase(), self._max_body) or check_decoded(self)
  if not err then
    self._head = table.pack(curl:head())
    self._rest = curl:take()
  elseif self._c:err() then
    return self:end_with(self._c)
  end
  self:finish(err)
end

-- -- Waiting --------------------------------------------------------------------------------------

--- Waits at the gate for what comes after the news number `seen`, which counts even if c ends then.
local function await(self, c, gate, seen)
  local _ <close> = self._engine:hold()
  local _, err
  if self._news == seen then
    _, err = gate:wait(c, WAIT)
  end
  if self._news ~= seen or err == nil then
    return true
  end
  return nil, err
end

--- The same, and not longer than the idle time: each movement of bytes is news. What ends the wait
--- is an error without a phase.
local function wait(self, c, gate, seen)
  if not self._idle then
    return await(self, c, gate, seen)
  end
  local timed, cancel <close> = core.with_timeout(c, self._idle, failure.idle)
  return await(self, timed, gate, seen)
end

--- Whether it is done because it may not look a name up.
local function wants_lookup(self)
  return not self._options.may_look_up and select(5, self.curl:result()) == "lookup"
end

--- The same under the request's context. That it ends, or the idle time, ends the transfer; but not
--- one that was done in that turn: that is concluded.
local function wait_on(self, gate, seen)
  local c = self._c
  local ok, err = wait(self, c, gate, seen)
  if ok or self._over then
    return
  elseif not c:err() then
    self:finish(failing.ended(err, self.what, self:phase()))
  elseif not select(2, self.curl:state()) or wants_lookup(self) then
    self:end_with(c)
  end
end

--- Whether a task waits for the response, or for more of it.
---@return boolean
function Transfer:is_awaited()
  return self._reader.waiting > 0
end

-- -- Names ----------------------------------------------------------------------------------------

--- Waits until it may, as long as connecting may take, and begins again. Nothing has been sent so
--- far.
local function look_up(self)
  local ms = self._options.connect_ms
  local within, cancel <close> = core.with_timeout(self._c, ms > 0 and ms or math.huge)
  self._stop_task = cancel
  local ok = lookups.acquire(within)
  self._stop_task = nil
  if ok and self._over then
    return lookups.release()
  elseif not ok and self._c:err() then
    return self:end_with(self._c)
  elseif not ok then
    return self:finish(failing.new("ETIMEDOUT", self.what, "resolving"))
  end
  self._permit, self._options.may_look_up = true, true
  self._engine:finish(self)
  self.curl = nil
  self._engine:begin(self, self._options)
end

-- -- The request's body ---------------------------------------------------------------------------

--- Gives libcurl the next piece, or the end: what is longer than was said would be taken for the
--- next request, and what is shorter would be waited for.
local function give(self, chunk)
  self._fed = self._fed + #(chunk or "")
  local length = self._length
  if length and (self._fed > length or not chunk and self._fed < length) then
    local text = ("the body's function gave %d bytes, and its length was to be %d")
      :format(self._fed, length)
    return self:finish(failing.new("EINVAL", self.what, "sending the request", text))
  end
  self.curl:feed(chunk)
  self._engine:settle()
end

--- Nobody wants the rest of the body.
local function refuse(self)
  self.curl:refuse()
  self._engine:settle()
end

--- Asks the program for the next piece, and gives it to libcurl. The function's context ends with
--- the transfer, and when the server refuses the request: it may wait for pieces that nobody wants
--- any more.
local function feed(self)
  local c = self._c
  if is_refused(self) then
    return refuse(self)
  end
  local within, cancel <close> = core.with_cancel(c)
  self._stop_task = cancel
  local chunk, err = self._body(within)
  self._stop_task = nil
  if self._over then
    return
  elseif c:err() then
    return self:end_with(c)
  elseif is_refused(self) then
    return refuse(self)
  elseif chunk == nil and err ~= nil then
    if not select(2, self.curl:state()) then
      self:finish(failing.ended(err, self.what, "sending the request"))
    end
  elseif chunk == "" then
    core.sleep(c, 0) -- it would be asked again at once, and nothing else would be done
  elseif chunk ~= nil and type(chunk) ~= "string" then
    error(("the body's function returned a %s, not a string or nil"):format(type(chunk)), 0)
  else
    give(self, chunk)
  end
end

--- Feeds it all.
local function feed_all(self)
  while not self._over do
    local seen, _, done, wants, _, fed = self._news, self.curl:state()
    if fed or done and not wants_lookup(self) then
      return
    elseif wants then
      feed(self)
    else
      wait_on(self, self._writer, seen)
    end
  end
end

--- The same in a task of its own. An error that the function raises goes to those that wait.
local function run_feeder(self)
  local ok, raised = pcall(feed_all, self)
  if not ok and not self._over then
    self._raised = true
    self:finish(raised)
  end
end

-- -- The response ---------------------------------------------------------------------------------

--- Waits until it is over, or with `head` until the final response's head is there and the request
--- is sent, refused, or another task's to send.
local function proceed(self, head)
  while not self._over do
    local seen, there, done, wants, _, fed = self._news, self.curl:state()
    if there and head and (fed or self._feeder or is_refused(self)) then
      return true
    elseif done and wants_lookup(self) then
      look_up(self)
    elseif done then
      conclude(self)
    elseif wants and not self._feeder then
      feed(self)
    else
      wait_on(self, self._reader, seen)
    end
  end
  if self._raised then
    error(self._error, 0)
  elseif self._error then
    return nil, self._error
  end
  return true
end

--- Begins, and waits for the head.
---@async
---@param c ctx.Context
---@param options table            for ctx.http.curl
---@param body? fun(c: ctx.Context): string?, any
---@param meanwhile? boolean       the response may be read before all of the body is sent
---@return true|nil ok
---@return any? err
function Transfer:run(c, options, body, meanwhile)
  self._c, self._options, self._body, self._length = c, options, body, body and options.length
  self._engine:begin(self, options)
  if body and meanwhile then
    self._feeder = core.go(run_feeder, self)
  end
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
    local seen, _, done, _, size = self._news, self.curl:state()
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
      local ok, err = wait(self, c, self._reader, seen)
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
  return failing.ended(c:ended(), self.what, "reading body")
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
