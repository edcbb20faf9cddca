-- SPDX-License-Identifier: MIT
--- Internal: drives a pool of libcurl's transfers by luv's handles.
---
--- libcurl wants descriptors watched and a timer; C writes down which, and `settle` hands that to
--- luv, then tells each transfer with news. Where C gathers the descriptors in one, that is
--- watched. The handles exist while there are transfers or kept connections, and a second longer;
--- they keep the loop alive only while a task waits for a transfer. A connection that its server
--- has closed is closed soon, whether or not another request comes; without connections there are
--- no descriptors.
---
--- A handle's callback must not be what keeps a client that nobody has any more: it finds the
--- engine by a weak table, and holds the pool, whose descriptors it watches. A finalizer ends the
--- client's connections. Its handles it leaves to the next engine that has something to do, or to
--- a callback that finds no engine: luv 1.44 does not survive a state that is closed while handles
--- are being closed.
local core = require "ctx.core"
local curl = require "ctx.http.curl"
local errors = require "ctx.errors"
local host = require "ctx.uv.host"
local loop = require "ctx.loop"
local roster = require "ctx.roster"

local uv = host.uv

---@class ctx.http.client.Engine
---@field _pool userdata
---@field _options table             of the pool
---@field _live ctx.roster.Roster      the transfers under way
---@field _running integer           how many
---@field _waiting integer           tasks that wait for one
---@field _polls table<integer, userdata>
---@field _timer userdata?
---@field _sweeper userdata?         a timer, while spoiled connections are open
---@field _poker userdata?           a timer, while there are transfers over HTTP/2
---@field _on_timer fun()?           its callback, as long as the timer is the same
---@field _weak table                has the engine, for callbacks
---@field _held table                closing it ends a wait
---@field limited boolean            a transfer may have to wait for others' connections
local Engine = { __name = "ctx.http.client.Engine" }
Engine.__index = Engine

local shared = core.shared("ctx.http.engine")
shared.orphans = shared.orphans or {} -- lists of handles, each with their pool

local engine = {}

local READ, WRITE, ERROR = 1, 2, 4
local EVENTS = { "r", "w", "rw" }
local POKE_MS = 100
local SWEEP_MS = 1000 -- libcurl looks for dead connections no more often

---@param options { max_idle?: integer, max_per_host?: integer, max_total?: integer }
---@return ctx.http.client.Engine
function engine.new(options)
  host.ignore_sigpipe()
  local self = setmetatable({
    _pool = curl.pool(options), _options = options, _live = roster.new(), _running = 0,
    _waiting = 0, _polls = {}, limited = (options.max_per_host or options.max_total) ~= nil,
  }, Engine)
  self._weak = setmetatable({ engine = self }, { __mode = "v" })
  self._held = setmetatable({}, { __close = function()
    self:_let_go()
  end })
  return self
end

Engine.__gc = function(self)
  if self._pool then
    local handles = { pool = self._pool }
    for _, name in ipairs { "_timer", "_sweeper" } do
      handles[#handles + 1] = self[name]
    end
    for _, poll in pairs(self._polls) do
      handles[#handles + 1] = poll
    end
    self._pool:abandon()
    shared.orphans[#shared.orphans + 1] = handles
  end
end

local function close_orphans()
  local orphans = shared.orphans
  shared.orphans = {}
  for _, handles in ipairs(orphans) do
    for _, handle in ipairs(handles) do
      host.close(handle)
    end
    handles.pool:close()
  end
end

-- -- What keeps the loop alive --------------------------------------------------------------------

local function set_ref(self, handle)
  if self._waiting > 0 then handle:ref() else handle:unref() end
end

local function set_refs(self)
  for _, poll in pairs(self._polls) do
    set_ref(self, poll)
  end
  if self._timer then
    set_ref(self, self._timer)
  end
end

--- A task waits for a transfer, until what this returns is closed.
function Engine:hold()
  self._waiting = self._waiting + 1
  if self._waiting == 1 then
    set_refs(self)
  end
  return self._held
end

function Engine:_let_go()
  self._waiting = self._waiting - 1
  if self._waiting == 0 then
    set_refs(self)
  end
end

-- -- Luv's handles --------------------------------------------------------------------------------

--- Whether someone closed the handles under us, as programs do that end with uv.walk.
local function is_robbed(self)
  return not self._timer or self._timer:is_closing()
end

local function stop_watching(self, fd)
  local poll = self._polls[fd]
  if poll then
    self._polls[fd] = nil
    host.close(poll)
  end
end

--- Without transfers and connections there is nothing to watch.
local function rest(self)
  for fd in pairs(self._polls) do
    stop_watching(self, fd)
  end
  for _, name in ipairs { "_timer", "_sweeper" } do
    if self[name] then
      host.close(self[name])
      self[name] = nil
    end
  end
end

--- Ends all transfers: the pool cannot go on. Later ones get a new pool. `exactly`: with `err`
--- itself, and not with what says of each which request it was.
local function break_down(self, err, exactly)
  local live, pool = self._live, self._pool
  local ended = {}
  live:each(function(transfer)
    live:remove(transfer)
    ended[#ended + 1] = transfer
  end)
  self._running = 0
  rest(self)
  pool:close()
  self._pool = curl.pool(self._options)
  for _, transfer in ipairs(ended) do
    transfer:broken(err, exactly)
  end
end

local function step(self, fd, events)
  local ok, said = self._pool:action(fd, events)
  if ok then
    self:settle()
  else
    break_down(self, errors.new(said))
  end
end

--- A function for luv to call back, with the engine. What it raises, when out of memory say, ends
--- the transfers: nobody would hear of their events again. Without an engine the handle is of no
--- use.
local function callback(self, handle, fn)
  local weak, pool = self._weak, self._pool
  return host.guarded(function(...)
    local owner = weak.engine
    if not owner or owner._pool ~= pool then
      host.close(handle)
      return close_orphans()
    end
    local ok, err = pcall(fn, owner, ...)
    if not ok then
      break_down(owner, err)
    end
  end)
end

local function watch(self, fd, want, renewed)
  local poll = self._polls[fd]
  if poll and (renewed or want == 0 or poll:is_closing()) then
    stop_watching(self, fd)
    poll = nil
  end
  if want == 0 then
    return
  elseif not poll then
    local scope <close> = loop.owned()
    poll = assert(uv.new_poll(fd))
    scope.handle = poll
    loop.standing[poll] = true
    set_ref(self, poll)
    self._polls[fd] = poll
    scope.handle = false
  end
  local on_event
  on_event = callback(self, poll, function(owner, said, events)
    if owner._polls[fd] ~= poll then
      return
    end
    local bits = said and ERROR or 0
    if events and events:find("r", 1, true) then bits = bits | READ end
    if events and events:find("w", 1, true) then bits = bits | WRITE end
    step(owner, fd, bits)
    if said and owner._polls[fd] == poll and not poll:is_closing() then
      poll:start(EVENTS[want], on_event) -- libuv has stopped it
    end
  end)
  poll:start(EVENTS[want], on_event)
end

local function on_timer(owner)
  step(owner, -1, 0)
end

local function arm(self, ms)
  local timer = self._timer
  if ms < 0 then
    timer:stop()
    return
  end
  uv.update_time()
  self._on_timer = self._on_timer or callback(self, timer, on_timer)
  timer:start(ms, 0, self._on_timer)
end

--- A timer, in the scope until its engine has it.
local function new_timer(scope)
  local timer = assert(uv.new_timer())
  scope.handle, loop.standing[timer] = timer, true
  return timer
end

--- Ten times a second, beside transfers over HTTP/2: see pool:poke.
local function poke(owner)
  if not owner._pool:frames() then
    host.close(owner._poker)
    owner._poker = nil
    return
  end
  local ok, said = owner._pool:poke()
  if ok then
    owner:settle()
  else
    break_down(owner, errors.new(said))
  end
end

--- Has libcurl close the connections that are not used again; and closes everything if that was
--- all.
local function sweep(owner)
  host.close(owner._sweeper)
  owner._sweeper = nil
  local ok, said = true, nil
  if select(2, owner._pool:kept()) > 0 then
    ok, said = owner._pool:sweep()
  end
  if not ok then
    break_down(owner, errors.new(said))
  elseif owner:_is_at_rest() then
    rest(owner)
    owner._pool:rest()
  else
    owner:settle()
  end
end

--- Sees to it that a timer of this name calls fn after so many ms, and again as often.
local function call_later(self, name, ms, again, fn)
  if not self[name] or self[name]:is_closing() then
    local scope <close> = loop.owned()
    local timer = new_timer(scope)
    uv.update_time()
    timer:start(ms, again, callback(self, timer, fn))
    timer:unref()
    self[name] = timer -- only now: before, it would pass for one that runs
    scope.handle = false
  end
end

function Engine:_is_at_rest()
  local idle, spoiled = self._pool:kept()
  return self._running + idle + spoiled == 0
end

--- The handles that there are always, besides one for each descriptor.
local function open_handles(self)
  if shared.orphans[1] then
    close_orphans()
  end
  local scope <close> = loop.owned()
  local timer = new_timer(scope)
  set_ref(self, timer)
  self._timer, self._on_timer = timer, nil
  scope.handle = false
  self._pool:again()
  local fd = self._pool:fd()
  if fd then
    watch(self, fd, READ, true)
  end
end

--- Does what libcurl has asked for since the last time, and tells the transfers with news.
function Engine:settle()
  local pool = self._pool
  local idle, spoiled = pool:kept()
  local at_rest = self._running + idle + spoiled == 0
  if is_robbed(self) and not at_rest then
    open_handles(self)
  end
  if spoiled > 0 or at_rest and self._timer then
    call_later(self, "_sweeper", SWEEP_MS, 0, sweep)
  end
  local fd, want, renewed = pool:socket()
  while fd do
    watch(self, fd, want, renewed)
    fd, want, renewed = pool:socket()
  end
  local ms = pool:timeout()
  if ms and not is_robbed(self) then
    arm(self, ms)
  end
  local transfer = pool:event()
  while transfer do
    transfer:changed()
    transfer = pool:event()
  end
end

-- -- Transfers ------------------------------------------------------------------------------------

--- Begins a transfer, which is owner.curl then. `owner:changed()` is called when it has news,
--- `owner:broken(err)` if it cannot go on. Whatever happens, `finish` must be called.
---@param owner table
---@param options table
function Engine:begin(owner, options)
  if not self._pool then
    error("the client is closed", 0)
  end
  self._live:add(owner)
  self._running = self._running + 1
  owner.curl = self._pool:transfer(owner, options)
  local ok, said = self._pool:add(owner.curl)
  if ok then
    if self._pool:frames() then
      call_later(self, "_poker", POKE_MS, POKE_MS, poke)
    end
    step(self, -1, 0)
  else
    break_down(self, errors.new(said))
  end
end

--- Ends a transfer, wherever it is; its connection goes with it unless all is through.
function Engine:finish(owner)
  if self._live:remove(owner) then
    self._running = self._running - 1
    if owner.curl then
      owner.curl:close()
    end
    self:settle()
  end
end

--- Ends all transfers with this error, and closes the connections.
---@param err any
---@param exactly? boolean
function Engine:close(err, exactly)
  if not self._pool then
    return
  end
  break_down(self, err, exactly)
  self._pool:close()
  self._pool = nil
end

return engine
