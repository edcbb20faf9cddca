-- SPDX-License-Identifier: MIT
--- Waiting for descriptors, and for changes of files.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local inbox = require "ctx.uv.inbox"
local line = require "ctx.line"
local paths = require "ctx.uv.path"
local want = require "ctx.want"

local uv = host.uv

local watch = {}

local POLL, NEXT = line.name("uv.poll"), line.name("watcher:next")

--- luv 1.44 keeps what it has begun of a handle that it then cannot make, and trips over it when
--- the state closes. So what cannot be polled must not get that far.
local function new_poll(fd)
  local stat, said = uv.fs_fstat(fd)
  if not stat then
    return nil, said
  elseif stat.type == "file" or stat.type == "directory" then
    return nil, "EPERM: a " .. stat.type .. " is always ready"
  end
  return uv.new_poll(fd)
end

local EVENTS = want.rule('"r", "w" or "rw", with or without "d"', function(value)
  return type(value) == "string" and ("r w rw d rd wd rwd "):find(value .. " ", 1, true) ~= nil
    and value:find("^%a+$") ~= nil
end, "events")

--- Begins to watch for the events; what luv answers goes to tell(err, events).
local function begin(handle, events, tell)
  local started, refused = handle:start(events, host.guarded(function(err, came)
    host.close(handle)
    tell(err, came)
  end))
  return started, refused
end

--- The error for what luv refused.
local function refusal(c, fd, said)
  if said:find("^EEXIST") then
    return failure.new("EEXIST", "poll",
      ("descriptor %d is polled already, or used by another of luv's handles"):format(fd))
  end
  return failure.of(c, said, "poll")
end

--- Waits until a socket or a pipe is ready for one of the events, and returns those.
---@async
---@param c ctx.Context
---@param fd integer       of a socket, a pipe or the like; it stays the caller's
---@param events? string   "r", "w" or "rw"; with "d" for the end of the peer; "r"
---@return string|nil ready
---@return any? err  of the system, with a `code`; or that of c
function watch.poll(c, fd, events)
  want.context(c, "poll")
  fd = want.descriptor(fd, "poll", 2)
  events = events == nil and "r" or EVENTS(events, "poll", 3)
  core.check_wait(c, POLL)
  local err = c:ended()
  if err then
    return nil, err
  end
  local scope <close> = host.owned()
  local handle, refused = new_poll(fd)
  if not handle then
    return core.refused(nil, refusal(c, fd, refused))
  end
  scope.handle = handle
  local gate, said, came = line.gate(handle), nil, nil
  local ok
  ok, refused = begin(handle, events, function(...)
    said, came = ...
    gate:open()
  end)
  if not ok then
    return core.refused(nil, refusal(c, fd, refused))
  end
  while not said and not came do
    if handle:is_closing() then
      return nil, failure.closed("poll", failure.ROBBED)
    end
    ok, err = gate:wait(c, POLL)
    if not ok then
      return nil, err
    end
  end
  if said then
    return nil, failure.of(c, said, "poll")
  end
  return came
end

-- -- Files ----------------------------------------------------------------------------------------

local KEPT = 1024 -- changes that nobody has asked for yet

---@class ctx.uv.Watcher
---@field _inbox ctx.uv.Inbox  of changes
local Watcher = {}
local metatable = { __name = "ctx.uv.Watcher", __index = Watcher }
watch.class = Watcher

---@class ctx.uv.Change
---@field name? string     of the file, within a directory that is watched
---@field rename boolean   it came, went or was renamed
---@field change boolean   its content or attributes changed
---@field lost? boolean    and others before this one, for which there was no room

local function on_change(self, said, name, events)
  if self._inbox.count >= KEPT then
    self._inbox:last().lost = true
  else
    self._inbox:give(said and { said = said }
      or { name = name, rename = events.rename or false, change = events.change or false })
  end
end

local OPTIONS = { recursive = want.flag }

--- Watches a file or a directory; changes from now on are kept until `next` asks for them.
---@param path string
---@param options? { recursive: boolean? }  where the system can
---@return ctx.uv.Watcher|nil watcher
---@return any? err  of the system, with a `code`
function watch.watch(path, options)
  want.string(path, "watch", 1, "path")
  options = want.options(options, "watch", 2, OPTIONS)
  local what = "watch " .. path
  local wrong = paths.fault(path, what)
  if wrong then
    return nil, wrong
  end
  local scope <close> = host.owned()
  scope.handle = assert(uv.new_fs_event())
  local self = setmetatable({ _inbox = inbox.new(scope.handle) }, metatable)
  local ok, said = scope.handle:start(path, options, host.guarded(function(...)
    on_change(self, ...)
  end))
  if not ok then
    return nil, failure.of(nil, said, what)
  end
  scope.handle = false
  return self
end

--- Waits for the next change, and returns it.
---@async
---@param c ctx.Context
---@return ctx.uv.Change|nil change
---@return any? err  of the system, with a `code`; or that of c
function Watcher:next(c)
  want.self(self, metatable, "next")
  want.context(c, "next")
  local change, err = self._inbox:take(c, NEXT, "watch")
  return change, err
end

--- Stops watching at once. Tasks that wait for a change, and later calls, get the error `why`, or
--- one of code ECLOSED. Calling it again does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Watcher:close(why)
  want.self(self, metatable, "close")
  self._inbox:close(failure.reason(why))
end

metatable.__close = function(self)
  self:close()
end

return watch
