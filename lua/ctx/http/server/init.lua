-- SPDX-License-Identifier: MIT
--- An HTTP/1 server: listeners, the connections they brought, and how it all ends.
local accept = require "ctx.http.server.accept"
local causes = require "ctx.http.causes"
local core = require "ctx.core"
local errors = require "ctx.errors"
local failure = require "ctx.uv.failure"
local line = require "ctx.line"
local listener = require "ctx.uv.listener"
local loop = require "ctx.loop"
local owner = require "ctx.owner"
local want = require "ctx.want"
local roster = require "ctx.roster"
local settings = require "ctx.http.server.settings"
local stream_class = require "ctx.uv.stream"

local check, check_context = want.argument, want.context

local SERVE, SHUTDOWN = line.name("server:serve"), line.name("server:shutdown")

---@class ctx.http.Server
---@field handler fun(req: ctx.http.Request, res: ctx.http.Response): any, any
---@field limits ctx.http.ServerOptions  as given, or by default
---@field _log? fun(record: ctx.http.Record)
---@field _extract? fun(parent: ctx.Context, headers: table): ctx.Context, number?
---@field _listeners ctx.uv.Listener[]
---@field _takings ctx.http.Taking[]  a task each that accepts, or has accepted
---@field _starved integer           loop.starved when it last looked at its connections
---@field _connections ctx.roster.Roster
---@field _turned_away ctx.roster.Roster  one too many each: they are told so
---@field _in_flight integer
---@field _counts table
---@field _changed ctx.line.Gate     opens when a connection has ended
---@field _state "new"|"serving"|"draining"|"closed"
---@field _ending boolean           it is draining, or closed
---@field _has_served boolean       serve was called
---@field _base ctx.Context          what connections hang on
---@field _draining ctx.Context      done from the begin of the shutdown
---@field _cut any?                  what was left at the end, as an error
---@field _why any?                  the error that close was given
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
    _failure = options.failure, _listeners = {}, _takings = {},
    _starved = loop.starved, _connections = roster.new(),
    _turned_away = roster.new(), _in_flight = 0,
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
---@return any? err  of the system, with a `code`; or the server shuts down
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
    accept.start(self, found)
  end
  return found
end

--- Returns where the first listener listens: `{ ip, port, family }`, or the path of a pipe.
---@return ctx.uv.Address|string|nil address
---@return any? err  it does not listen
function Server:address()
  want.self(self, metatable, "address")
  local first = self._listeners[1]
  if not first then
    return nil, errors.new("address: the server does not listen")
  end
  return first:address()
end

--- What lists of tasks and reports call the tasks that serve.
function Server:_name()
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
  local made, guard = pcall(accept.guard)
  if not made then
    stream:close()
    error(guard, 0)
  end
  local taking <close> = guard
  taking.stream = stream
  accept.admit(self, taking)
end

--- A connection has ended, and so has its last request; or it is the server's no more.
function Server:_forget(conn)
  if (conn.roster or self._connections):remove(conn) and not conn.roster then
    self._changed:open()
  end
end

--- A listener can accept no more, or its task had no memory to.
function Server:_failed(err)
  self:_doubt()
  self._error = self._error or err
  self._drain(err)
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
  return { connections = self._connections.size, requests = self._in_flight, served = counts.served,
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
  return self._ending
end

--- Calls fn(conn) for each connection.
local function each_connection(self, fn)
  self._connections:each(fn)
  self._turned_away:each(fn)
end

local function retire(self)
  each_connection(self, function(conn) conn:retire() end)
end

local function begin_drain(self, cause)
  if self._ending then
    return
  end
  local was_serving = self._state == "serving"
  self._state, self._ending = "draining", true
  self._drain(cause)
  for _, each in ipairs(self._listeners) do
    accept.stop(self, each, was_serving)
  end
  retire(self)
end

--- Whether a task accepts. Looks at all: one may have had no memory to end well.
local function is_accepting(self)
  local found = false
  for _, each in ipairs(self._takings) do
    found = not each:is_over() or found
  end
  return found
end

--- Tasks may have had no memory to end well: looks at each, if there is a reason to.
function Server:_look()
  if self._starved ~= loop.starved then
    is_accepting(self)
    each_connection(self, function(conn) conn:bury() end)
    self._starved = loop.starved
  end
end

--- Something of a connection's had no memory to end well: what it left is looked for later.
function Server:_doubt()
  self._starved = -1
end

--- Whether there are connections, or may be one that a task has just accepted.
local function is_busy(self)
  self:_look()
  return self._state ~= "closed" and (self._connections.size > 0 or is_accepting(self))
end

--- That was all: nothing of it stays open.
local function finish(self)
  self:_look()
  self._state, self._ending = "closed", true
  self._cancel_base(self._why or causes.server_shutdown)
  for _, each in ipairs(self._listeners) do
    each:close(self._why or accept.ENDED)
  end
  each_connection(self, function(conn) conn:close() end)
  self._changed:open()
end

--- Cancels and closes what is left; what that was, as an error around `err`.
local function cut(self, err)
  local requests, connections = 0, self._connections.size
  each_connection(self, function(conn) requests = requests + (conn.request and 1 or 0) end)
  self._counts.cut = self._counts.cut + requests
  finish(self)
  if connections > 0 and not self._why then
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
---@return any? err  what was cut, when c ended first
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

--- Closes the server at once: cancels every request's context with `why`, or http.server_shutdown,
--- and closes every connection. With `why`, serve, shutdown and all that wait for a connection give
--- it as their error. It does not wait for handlers that still run. Calling it again does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Server:close(why)
  want.self(self, metatable, "close")
  local reason = failure.reason(why)
  if self._state == "closed" then
    return
  elseif why ~= nil then
    self._why = failure.closed("server", reason)
    self._cut, self._error = self._why, self._error or self._why
  end
  self._state, self._ending = "draining", true
  self._drain(self._why or causes.server_shutdown)
  cut(self, causes.server_shutdown)
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  return ("ctx.http.Server (%s, %d connections)"):format(self._state, self._connections.size)
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
---@return any? err  that of c, of a listener that failed, or what a shutdown has cut
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
      accept.start(self, each)
    end
  end
  self._has_served = true
  local scope <close> = self -- if the coroutine is closed, nobody would end what has begun
  local _ <close> = owner.claim(self:_name())
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
