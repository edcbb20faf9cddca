-- SPDX-License-Identifier: MIT
--- Contexts that signals end.
---
---     ctx.run(function(root)
---       local c, stop <close> = signal.notify(root, "sigint", "sigterm")
---       serve(c)                       -- until ^C
---       print(c:cause())               --> interrupt signal received
---     end)
---
--- The first signal ends c, and the second has its default action: it kills a program whose
--- clean-up does not end. `stop` restores the default actions, too.
---
--- Loading this module makes the process ignore SIGPIPE, which would kill it when a peer or a
--- terminal has gone. Then a write fails with an error instead.
local core = require "ctx.core"
local errors = require "ctx.errors"
local loop = require "ctx.loop"
local roster = require "ctx.roster"
local text = require "ctx.text"
local want = require "ctx.want"

local uv = loop.uv

-- One per Lua state: signals belong to the process, and a second instance of this module must not
-- listen beside the first.
---@class ctx.signal.Entry
---@field name string
---@field handle userdata    luv's
---@field listeners ctx.roster.Roster
---@type { entries: table<string, ctx.signal.Entry>?, pipe: userdata? }
local shared = core.shared("ctx.signal")
shared.entries = shared.entries or {}

---@class ctx.signal
local signal = {}

-- -- One handle a signal --------------------------------------------------------------------------

--- What Go calls them; others go by their own name.
local TEXTS = {
  sighup = "hangup", sigint = "interrupt", sigquit = "quit", sigterm = "terminated",
  sigusr1 = "user defined signal 1", sigusr2 = "user defined signal 2",
}

local function cause_of(name)
  local cause = errors.new((TEXTS[name] or name) .. " signal received")
  cause.signal = name ---@diagnostic disable-line: inject-field
  return cause
end

--- libuv restores the default action with the last of its handles for a signal.
local function close(entry)
  if shared.entries[entry.name] == entry then
    shared.entries[entry.name] = nil
    loop.close(entry.handle)
  end
end

--- Runs in luv's callback, where nothing may raise: all that could has been made before.
local function arrived(entry)
  close(entry)
  local heard = false
  for _, listener in ipairs(entry.listeners) do
    local stop = listener.stop
    if not stop.arrived then
      heard, stop.arrived = true, true
      stop.cancel(listener.cause)
    end
  end
  -- For every listener this is the second signal, after another one: it is sent again, now with its
  -- default action.
  if not heard then
    uv.kill(uv.os_getpid(), entry.name)
  end
end

local function entry_of(name)
  local entry = shared.entries[name]
  if entry and not entry.handle:is_closing() then
    return entry
  end
  local scope <close> = loop.owned()
  scope.handle = assert(uv.new_signal())
  entry = { name = name, handle = scope.handle, listeners = roster.new() }
  -- Once: the system itself restores the default action when the signal comes. So there is no time
  -- in between when the second could get lost, and it kills a program that never saw the first.
  uv.signal_start_oneshot(entry.handle, name, function() arrived(entry) end)
  loop.waker(entry.handle)
  shared.entries[name] = entry -- only now: before, it would pass for one whose handle runs
  scope.handle = false
  return entry
end

-- -- Contexts -------------------------------------------------------------------------------------

--- Ends the context and brings the default actions back, by a call or by `<close>`.
---@class ctx.signal.Stop
---@field private cancel ctx.Cancel
---@field private listeners ctx.signal.Listener[]
---@field private arrived boolean?  one of the signals came
---@overload fun(cause?: any)
local Stop = { __name = "ctx.signal.Stop" }

--- What waits for one signal.
---@class ctx.signal.Listener : ctx.roster.Placed
---@field stop ctx.signal.Stop
---@field cause ctx.errors.Error
---@field entry ctx.signal.Entry|false

local function release(self)
  for i, listener in ipairs(self.listeners) do
    local entry = listener.entry
    if entry then
      entry.listeners:remove(listener)
      if entry.listeners.size == 0 then
        close(entry)
      end
    end
    self.listeners[i] = nil
  end
end

--- Ends the context, with this cause if one is given, and brings the default actions back at once.
function Stop:__call(cause)
  release(self)
  self.cancel(cause)
end

--- Leaving the scope does the same; an error that leaves it is the cause.
Stop.__close = Stop.__call

--- Returns the name in luv's spelling, if it is that of a signal that can be caught; else nil.
---@param name any
---@return string? name
function signal.known(name)
  name = type(name) == "string" and text.lower(name)
  local catchable = name and name ~= "sigkill" and name ~= "sigstop" and name:find("^sig")
  return catchable and uv.constants[text.upper(name)] and name or nil
end

local NAME = want.rule('the name of a signal that can be caught, such as "sigterm",', function(name)
  name = signal.known(name)
  return name ~= nil, name
end, "signal")

--- The names, each once. Raises at the line that called what called this.
local function names_of(...)
  local names, seen = {}, {}
  for i = 1, math.max(select("#", ...), 1) do
    local name = NAME((select(i, ...)), "notify", i + 1, "signal", 1)
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

--- Listens for the names until c is done.
local function listen(stop, names, c)
  for i, name in ipairs(names) do
    local listener = { stop = stop, cause = cause_of(name), entry = false, place = false }
    stop.listeners[i] = listener -- first: it closes what entry_of has opened
    listener.entry = entry_of(name)
    listener.entry.listeners:add(listener)
  end
  core.after_func(c, function()
    -- After a signal the others stay, to be deadly: a handle that is closed just when its signal
    -- comes would lose it.
    if not stop.arrived then
      release(stop)
    end
  end)
end

--- Derives a context from parent that is done when one of these signals arrives, when parent is,
--- or by stop. Its cause then prints as "interrupt signal received", and `cause.signal` is
--- "sigint". A signal ends all contexts that wait for it. The second signal kills.
---
--- The handles keep luv's loop alive only while some task waits. A done parent registers nothing.
---@param parent ctx.Context
---@param name string  as in luv: "sigint", "sigterm", …
---@param ... string   more of them
---@return ctx.Context c
---@return ctx.signal.Stop stop  to be called or closed, as a cancel
function signal.notify(parent, name, ...)
  want.context(parent, "notify", 1, "parent")
  local names = names_of(name, ...)
  local c, cancel = core.with_cancel(parent)
  c:name("signal.notify(" .. table.concat(names, ", ") .. ")")
  local stop = setmetatable({ cancel = cancel, listeners = {} }, Stop)
  if not c:done() then
    local ok, err = pcall(listen, stop, names, c)
    if not ok then -- no memory: signals must not go where nobody hears them
      stop(err)
      error(err, 0)
    end
  end
  return c, stop
end

--- Makes the process ignore SIGPIPE. Loading this module has done it; this is for programs that
--- have closed all of luv's handles since.
function signal.ignore_sigpipe()
  if not shared.pipe or shared.pipe:is_closing() then
    local scope <close> = loop.owned()
    local pipe = assert(uv.new_signal())
    scope.handle = pipe
    pipe:start("sigpipe", function() end)
    pipe:unref()
    shared.pipe = pipe
    scope.handle = false
  end
end

signal.ignore_sigpipe()

return signal
