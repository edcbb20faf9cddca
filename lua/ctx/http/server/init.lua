-- SPDX-License-Identifier: MIT
--- An HTTP/1 server: listeners, the connections they brought, and how it all ends.
local admission = require "ctx.http.server.admission"
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local errors = require "ctx.errors"
local line = require "ctx.line"
local listener = require "ctx.uv.listener"
local loop = require "ctx.loop"
local owner = require "ctx.owner"
local failure = require "ctx.uv.failure"
local want = require "ctx.want"
local report = require "ctx.report"
local roster = require "ctx.http.roster"
local settings = require "ctx.http.server.settings"
local stream_class = require "ctx.uv.stream"
local sweep = require "ctx.http.server.sweep"

local check, check_context = want.argument, want.context

local SERVE, SHUTDOWN = line.name("server:serve"), line.name("server:shutdown")
local BATCH = 64 -- connections that are accepted in one turn of the loop, if so many are there
-- A handshake that has begun gets so much time when the server shuts down. In that time no other
-- may begin: it would have to be lost in its turn. Their clients are not refused but ask again
-- after a second, so it is not much.
local HANDSHAKE_MS = 10
local ENDED = "the server shuts down" -- why a listener is closed

---@class ctx.http.Server
---@field handler fun(req: ctx.http.Request, res: ctx.http.Response): any, any
---@field limits ctx.http.ServerOptions  as given, or by default
---@field _log? fun(record: ctx.http.Record)
---@field _extract? fun(parent: ctx.Context, headers: table): ctx.Context, number?
---@field _listeners ctx.uv.Listener[]
---@field _accepting integer         tasks that accept from them
---@field _acceptors (ctx.Task|false)[]  these, and those that did
---@field _takings ctx.http.Taking[]  what each has taken that has no owner yet
---@field _starved integer           loop.starved when it last looked at its tasks
---@field _connections ctx.http.Roster
---@field _connected integer
---@field _turned_away integer
---@field _in_flight integer
---@field _counts table
---@field _changed ctx.Gate          opens when a connection has ended
---@field _state "new"|"serving"|"draining"|"closed"
---@field _ending boolean           it is draining, or closed
---@field _has_served boolean       serve was called
---@field _base ctx.Context          what connections hang on
---@field _draining ctx.Context      done from the begin of the shutdown
---@field _cut any?                  what was left at the end, as an error
local Server = {}
local metatable = { __name = "ctx.http.Server", __index = Server }

local server = { class = Server }

--- Makes a server, which does not listen yet.
---@param options ctx.http.ServerOptions
---@return ctx.http.Server server  to be closed
---@nodiscard
function server.new(options)
  options = want.options(options, "server", 1, settings.known)
  check(options.handler, "server", 1, "options.handler", "a function", options.handler)
  local self = setmetatable({
    handler = options.handler, limits = settings.limits(options), _log = options.access_log,
    _extract = settings.extractor(options), _on_error = options.on_error,
    _failure = options.failure, _listeners = {}, _accepting = 0,
    _acceptors = {}, _takings = {}, _starved = loop.starved, _connections = roster.new(),
    _connected = 0, _turned_away = 0, _in_flight = 0,
    _counts = { served = 0, refused = 0, cut = 0 }, _changed = line.gate("outside"),
    _state = "new", _ending = false, _has_served = false,
  }, metatable)
  self._base, self._cancel_base = core.with_cancel(core.background())
  self._draining, self._drain = core.with_cancel(self._base)
  loop.lookers[self] = self._look
  return self
end

-- -- Listening ------------------------------------------------------------------------------------

--- Listens on an address and a port, or where a table tells. The table is `{ host =, port = }`,
--- `{ pipe = path }`, or `{ fd = }` for a socket that was inherited; with `backlog`, `ipv6only`,
--- `nodelay` and, where libuv has it, `reuseport`. May be called for several. Connections wait in
--- the kernel until `serve`.
---@param where string|ctx.http.Where
---@param port? integer  0: any that is free
---@return ctx.uv.Listener|nil listener
---@return any? err
function Server:listen(where, port)
  want.self(self, metatable, "listen")
  check(listener.is_one_place(where), "listen", 1, "where",
    "an address, or a table with host and port, or pipe, or fd,", where)
  if type(where) == "table" then
    where = want.options(where, "listen", 1, settings.where)
    check(port == nil, "listen", 2, "port", "nothing beside a table", port)
  else
    port = want.port(port, "listen", 2)
  end
  if self._state ~= "new" and self._state ~= "serving" then
    return nil, errors.new("listen: the server shuts down")
  end
  local found, err = listener.at(where, port)
  if not found then
    return nil, err
  end
  self._listeners[#self._listeners + 1] = found
  if self._state == "serving" then
    self:_accept(found)
  end
  return found
end

--- Returns where the first listener listens: `{ ip, port, family }`, or the path of a pipe.
---@return ctx.uv.Address|string|nil address
---@return any? err
function Server:address()
  want.self(self, metatable, "address")
  local first = self._listeners[1]
  if not first then
    return nil, errors.new("address: the server does not listen")
  end
  return first:address()
end

--- What lists of tasks and reports call the tasks that serve.
local function name_of(self)
  local at = self:address()
  return "the HTTP server" .. (type(at) == "table" and (" on %s:%d"):format(at.ip, at.port)
    or type(at) == "string" and " on " .. at or "")
end

-- -- Connections ----------------------------------------------------------------------------------

--- Serves a stream that is connected already: one of socketpair's, or that another server accepted.
--- What was read of it and not taken comes first.
---@param stream ctx.uv.Stream
function Server:serve_stream(stream)
  want.self(self, metatable, "serve_stream")
  check(stream_class.is(stream), "serve_stream", 1, "stream", "a stream of ctx.uv", stream)
  local made, guard = pcall(admission.guard)
  if not made then
    stream:close()
    error(guard, 0)
  end
  local taking <close> = guard
  taking.stream = stream
  admission.admit(self, taking)
end

--- A connection has ended, and so has its last request; or it is the server's no more.
function Server:_forget(conn)
  if not self._connections:remove(conn) then
    return
  end
  if conn.turned_away then
    self._turned_away = self._turned_away - 1
  else
    self._connected = self._connected - 1
    self._changed:open()
  end
end

--- Ends when its listener is closed, and not before: a connection that came in the same turn would
--- be lost; or when all is cut, as there may have been no memory to close it.
local function accept_loop(self, from, takes)
  local _ <close> = owner.claim(name_of(self))
  local taking <close> = takes
  local pause = 5
  while true do
    local stream, err = from:accept(self._base)
    if stream then
      taking.stream, pause = stream, 5
      admission.admit(self, taking)
      sweep.some(self, from, BATCH, taking)
    elseif self._ending then
      return
    elseif errors.is(err, failure.codes.ECLOSED) or not (err.temporary and err:temporary()) then
      self._error = self._error or err
      self._drain(err)
      return
    else
      -- No descriptors, no memory: connections that end will free some.
      report.send("ctx.http: " .. tostring(err), "http")
      core.sleep(self._draining, pause)
      pause = math.min(pause * 2, 1000)
    end
  end
end

function Server:_accept(from)
  local place = #self._acceptors + 1
  local taking = admission.guard()
  self._takings[place], self._acceptors[place] = taking, false -- makes room
  self._acceptors[place] = core.go(function()
    local ok, err = pcall(accept_loop, self, from, taking)
    self._accepting = self._accepting - 1
    if not ok then
      self:_doubt()
      self._error = self._error or err
      self._drain(err)
    end
    self._changed:open()
  end)
  self._accepting = self._accepting + 1
end

-- -- Requests -------------------------------------------------------------------------------------

--- Counts a request in; false if there are too many.
function Server:_admit()
  if self._in_flight >= self.limits.max_requests then
    return false
  end
  self._in_flight = self._in_flight + 1
  return true
end

function Server:_served()
  self._in_flight = self._in_flight - 1
  self._counts.served = self._counts.served + 1
end

function Server:_refused()
  self._counts.refused = self._counts.refused + 1
end

--- Returns the numbers of connections and of requests: in flight, served, refused, cut.
---@return ctx.http.Stats stats
function Server:stats()
  want.self(self, metatable, "stats")
  self:_look()
  local counts = self._counts
  return { connections = self._connected, requests = self._in_flight, served = counts.served,
    refused = counts.refused, cut = counts.cut }
end

-- -- The end --------------------------------------------------------------------------------------

--- Returns a context that is done once the shutdown has begun.
---@return ctx.Context c
function Server:draining()
  want.self(self, metatable, "draining")
  return self._draining
end

--- Returns whether the shutdown has begun.
---@return boolean draining
function Server:is_draining()
  want.self(self, metatable, "is_draining")
  return self._state == "draining" or self._state == "closed"
end

--- Serves what has come already, and closes the listener: a moment later, as there may be
--- connections that clients take for established and the kernel does not yet.
local function stop_accepting(self, from, was_serving)
  local under_way = was_serving and sweep.last(self, from)
  if not under_way then
    return from:close(ENDED)
  end
  local soon, cancel = core.with_timeout(self._base, HANDSHAKE_MS)
  core.after_func(soon, function()
    cancel()
    local taking <close> = admission.guard()
    sweep.some(self, from, math.huge, taking)
    from:close(ENDED)
  end)
end

local function retire(self)
  self._connections:each(function(conn) conn:retire() end)
end

local function begin_drain(self, cause)
  if self._ending then
    return
  end
  local was_serving = self._state == "serving"
  self._state, self._ending = "draining", true
  self._drain(cause)
  for _, each in ipairs(self._listeners) do
    stop_accepting(self, each, was_serving)
  end
  retire(self)
end

--- Tasks may have had no memory to tell that they have ended: looks at each.
local function look_at_tasks(self)
  self._accepting = 0
  for place, task in ipairs(self._acceptors) do
    local over = not task or task:status() == "done" or task:status() == "failed"
    self._accepting = self._accepting + (over and 0 or 1)
    if over then
      self._takings[place]:close()
    end
  end
  self._connections:each(function(conn) conn:bury() end)
  self._starved = loop.starved
end

--- The same, if there is a reason to.
function Server:_look()
  if self._starved ~= loop.starved then
    look_at_tasks(self)
  end
end

--- Something of a connection's had no memory to end well: what it left is looked for later.
function Server:_doubt()
  self._starved = -1
end

--- Whether there are connections, or may be one that a task has just accepted.
local function is_busy(self)
  self:_look()
  return (self._connected > 0 or self._accepting > 0) and self._state ~= "closed"
end

--- That was all: nothing of it stays open.
local function finish(self)
  self:_look()
  self._state, self._ending = "closed", true
  self._cancel_base(causes.server_shutdown)
  for _, each in ipairs(self._listeners) do
    each:close(ENDED)
  end
  self._connections:each(function(conn) conn:close() end)
  self._changed:open()
end

--- Cancels and closes what is left; what that was, as an error around `err`.
local function cut(self, err)
  local requests, connections = 0, self._connected
  self._connections:each(function(conn) requests = requests + (conn.request and 1 or 0) end)
  self._counts.cut = self._counts.cut + requests
  finish(self)
  if connections > 0 then
    self._cut = errors.wrap(err, ("shutdown: %d requests on %d connections were cut")
      :format(requests, connections))
  end
end

--- Shuts the server down and loses no request. It takes no more connections, the last response of
--- each says so, idle ones are closed, and when all have ended it returns true. When `c` ends
--- first, the rest is cut: their contexts end with http.server_shutdown, their connections are
--- closed, and the error tells how many. Handlers learn of the begin by req:draining(). Another
--- call waits for the same result.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function Server:shutdown(c)
  want.self(self, metatable, "shutdown")
  check_context(c, "shutdown")
  core.check_wait(c, "server:shutdown")
  begin_drain(self, causes.server_shutdown)
  while is_busy(self) do
    local ok, err = self._changed:wait(c, SHUTDOWN)
    if not ok then
      cut(self, err)
    end
  end
  if self._cut then
    return nil, self._cut
  end
  finish(self)
  return true
end

--- Closes the server at once: cancels every request's context with http.server_shutdown, and closes
--- every connection. It does not wait for handlers that still run.
function Server:close()
  want.self(self, metatable, "close")
  if self._state == "closed" then
    return
  end
  self._state, self._ending = "draining", true
  self._drain(causes.server_shutdown)
  cut(self, causes.server_shutdown)
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  return ("ctx.http.Server (%s, %d connections)"):format(self._state, self._connected)
end

--- c has ended: what serve does then.
local function end_with(self, c)
  local drain = self.limits.drain_timeout
  if drain then
    local limit, cancel <close> = core.with_timeout(core.background(), drain)
    return self:shutdown(limit)
  end
  local err = c:ended()
  self._cancel_base(c:cause())
  begin_drain(self, err)
  retire(self)
  while is_busy(self) do
    self._changed:wait(nil, SERVE)
  end
  finish(self)
  return nil, err
end

--- Serves until the server is shut down or closed, and all has ended. It returns true, at once if
--- that was before. When `c` ends, so do the contexts of all requests, with its cause; serve waits
--- for their handlers and returns its error. With `drain_timeout` it shuts down instead, as under a
--- context of that time. A listener that fails ends it with that error.
---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function Server:serve(c)
  want.self(self, metatable, "serve")
  check_context(c, "serve")
  core.check_wait(nil, "server:serve") -- also when c has ended: it waits for what there is
  if self._has_served then
    error("serve: this server is " .. self._state .. "; a server serves once", 2)
  elseif self._state == "new" then
    if #self._listeners == 0 then
      error("serve: nothing to serve; call server:listen first", 2)
    end
    self._state = "serving"
    for _, each in ipairs(self._listeners) do
      self:_accept(each)
    end
  end
  self._has_served = true
  local scope <close> = self -- if the coroutine is closed, nobody would end what has begun
  local _ <close> = owner.claim(name_of(self))
  local over, cancel <close> = core.any(c, self._draining)
  over:wait()
  if self._state == "serving" and self._error then
    begin_drain(self, self._error)
  elseif c:err() and self._state == "serving" then
    return end_with(self, c)
  end
  while is_busy(self) or self._state ~= "closed" and not self._error do
    if not self._changed:wait(c, SERVE) then
      return end_with(self, c)
    end
  end
  finish(self)
  if self._error then
    return nil, self._error
  end
  return true
end

return server
