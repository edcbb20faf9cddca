-- SPDX-License-Identifier: MIT
--- How streams come to a server, and become connections if there may be one more.
---
--- Each listener has a task that accepts. luv hands out one or two streams in a turn of the loop.
--- That is too few for a busy server, whose turns are long; and when the listener is about to be
--- closed those that are left would be reset, though their clients have every reason to think that
--- they are served. So what the kernel has established already is taken here, within one call.
local connection = require "ctx.http.server.connection"
local core = require "ctx.core"
local exchange = require "ctx.http.server.exchange"
local host = require "ctx.uv.host"
local listener = require "ctx.uv.listener"
local owner = require "ctx.owner"
local report = require "ctx.report"
local wire = require "ctx.http.wire"

local TURNED_AWAY = 256 -- connections over the limit that are told so, and not just closed
local BATCH = 64 -- connections that are accepted in one turn of the loop, if so many are there
-- A handshake that has begun gets so much time when the server shuts down. In that time no other
-- may begin: it would have to be lost in its turn. Their clients are not refused but ask again
-- after a second, so it is not much.
local HANDSHAKE_MS = 10

local accept = { ENDED = "the server shuts down" } -- why a listener is closed

-- -- One stream -----------------------------------------------------------------------------------

---@class ctx.http.Taking
---@field stream ctx.uv.Stream|false  has no owner yet
---@field conn ctx.http.Connection|false  its owner, which is not ready
---@field task ctx.Task|false  accepts them from a listener
local Taking = { __name = "ctx.http.Taking" }
Taking.__index = Taking

--- Ends what it holds. Can be repeated: a call needs memory, too.
function Taking:close()
  if self.conn then
    self.conn:close()
  elseif self.stream then
    self.stream:close()
  end
  self.stream, self.conn = false, false
end

Taking.__close = Taking.close

--- A <close> variable for streams that have come, one after the other: set its field `stream`. It
--- is there before the first, so that none stays open for which there is no memory.
---@return ctx.http.Taking
function accept.guard()
  return setmetatable({ stream = false, conn = false, task = false }, Taking)
end

local function take_over(server, taking)
  local is_full = server._connections.size >= server.limits.max_connections
  if server._state == "closed" or taking.stream:is_closed()
    or is_full and server._turned_away.size >= TURNED_AWAY then
    return taking.stream:close()
  end
  local conn = connection.new(server, taking.stream, server._base)
  taking.conn = conn
  if is_full then
    conn.roster = server._turned_away
    conn.roster:add(conn)
    return exchange.refuse(conn, nil, "over", 503, "too many connections", 1)
  end
  server._connections:add(conn)
  conn:go_on() -- the server knows it by now: it may end at once
  if server._ending then
    conn:retire()
  end
end

--- The stream that the guard holds is the server's from here on.
---@param server ctx.http.Server
---@param taking ctx.http.Taking
function accept.admit(server, taking)
  take_over(server, taking)
  taking.stream, taking.conn = false, false
end

-- -- All that are there ---------------------------------------------------------------------------

local function next_of(from, fd)
  local stream = listener.held(from)
  if stream then
    return stream
  end
  local scope <close> = host.owned()
  scope.fd = wire.accept(fd) or false
  return scope.fd and listener.adopt(from, scope)
end

--- Takes so many at most; waits for none.
local function sweep(server, from, most, taking)
  local fd = not from:is_closed() and from:handle():fileno()
  for _ = 1, fd and most or 0 do
    taking.stream = next_of(from, fd) or false
    if not taking.stream then
      return
    end
    accept.admit(server, taking)
  end
end

local function sweep_all(server, from)
  local taking <close> = accept.guard()
  sweep(server, from, math.huge, taking)
end

--- Serves what has come already, and closes the listener: a moment later, as there may be
--- connections that clients take for established and the kernel does not yet.
---@param server ctx.http.Server
---@param from ctx.uv.Listener
---@param was_serving boolean
function accept.stop(server, from, was_serving)
  if was_serving then
    local fd = not from:is_closed() and from:handle():fileno()
    -- Another process that has the socket goes on with it, if it was inherited.
    local under_way = fd and not from.inherited and wire.deafen(fd)
    sweep_all(server, from)
    if under_way then
      local soon, cancel = core.with_timeout(server._base, HANDSHAKE_MS)
      core.after_func(soon, function()
        cancel()
        sweep_all(server, from)
        from:close(accept.ENDED)
      end)
      return
    end
  end
  from:close(accept.ENDED)
end

-- -- The task of a listener -----------------------------------------------------------------------

--- Ends when its listener is closed, and not before: a connection that came in the same turn would
--- be lost; or when all is cut, as there may have been no memory to close it.
local function accept_loop(server, from, takes)
  local _ <close> = owner.claim(server:_name())
  local taking <close> = takes
  local pause = 5
  while true do
    local stream, err = from:accept(server._base)
    if stream then
      taking.stream, pause = stream, 5
      accept.admit(server, taking)
      sweep(server, from, BATCH, taking)
    elseif server._ending then
      return
    elseif from:is_closed() or not (err.temporary and err:temporary()) then
      return server:_failed(err)
    else
      -- No descriptors, no memory: connections that end will free some.
      report.send("ctx.http: " .. tostring(err), "http")
      core.sleep(server._draining, pause)
      pause = math.min(pause * 2, 1000)
    end
  end
end

--- Starts the task, which the server knows from here on.
---@param server ctx.http.Server
---@param from ctx.uv.Listener
function accept.start(server, from)
  local taking = accept.guard()
  table.insert(server._takings, taking) -- first: the task could be lost
  taking.task = core.go(function()
    local ok, err = pcall(accept_loop, server, from, taking)
    if not ok then
      server:_failed(err)
    end
    server._changed:open()
  end)
end

--- Whether the task is over. It may have had no memory to close what it had taken.
---@return boolean
function Taking:is_over()
  local status = self.task and self.task:status()
  local is_over = not status or status == "done" or status == "failed"
  if is_over then
    self:close()
  end
  return is_over
end

return accept
