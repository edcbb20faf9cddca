-- SPDX-License-Identifier: MIT
--- Waiting for descriptors, and for changes of files.
local core = require "ctx.core"
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local inbox = require "ctx.uv.inbox"
local known = require "ctx.uv.options"
local want = require "ctx.want"

local check, check_context = want.argument, want.context
local uv = host.uv

local watch = {}

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

local EVENTS = {}
for _, events in ipairs { "r", "w", "rw", "d", "rd", "wd", "rwd" } do
  EVENTS[events] = true
end

--- Waits until one of the events is there.
---@async
---@param c ctx.Context
---@param fd integer       of a socket, a pipe or the like; it stays the caller's
---@param events? string   "r", "w" or "rw"; with "d" for the end of the peer; "r"
---@return string|nil events  those that are
---@return any? err
function watch.poll(c, fd, events)
  check_context(c, "poll")
  check(math.type(fd) == "integer" and fd >= 0, "poll", 2, "fd", "a descriptor", fd)
  check(events == nil or EVENTS[events], "poll", 3, "events",
    '"r", "w" or "rw", with or without "d"', events)
  core.check_wait(c, "uv.poll")
  if c:err() then
    return nil, failure.ended(c)
  end
  local ok, found = ctx.await(c, function(resolve)
    local handle, said = new_poll(fd)
    if not handle then
      return resolve(false, said)
    end
    local started, refused = handle:start(events or "r", host.guarded(function(err, came)
      host.close(handle)
      resolve(not err, err or came)
    end))
    if not started then
      host.close(handle)
      resolve(false, refused)
    end
    return handle
  end)
  if ok then
    return found
  end
  return nil, ok == false and failure.of(c, found, "poll") or found
end

-- -- Files ----------------------------------------------------------------------------------------

local KEPT = 1024 -- changes that nobody has asked for yet

---@class ctx.uv.Watcher: ctx.uv.Inbox
local Watcher = { close = inbox.methods.close, _take = inbox.methods._take }
local metatable = { __name = "ctx.uv.Watcher", __index = Watcher, __close = Watcher.close }
watch.class = Watcher

---@class ctx.uv.Change
---@field name? string     of the file, within a directory that is watched
---@field rename boolean   it came, went or was renamed
---@field change boolean   its content or attributes changed
---@field lost? boolean    and others before this one, for which there was no room

local function on_change(self, said, name, events)
  local queue = self._queue
  if #queue >= KEPT then
    queue[#queue].lost = true
  else
    queue[#queue + 1] = said and { said = said }
      or { name = name, rename = events.rename or false, change = events.change or false }
  end
  self._gate:open()
end

--- Begins to watch a file or a directory; changes from now on are kept until `next` asks for them.
---@param path string
---@param options? { recursive: boolean? }  where the system can
---@return ctx.uv.Watcher|nil
---@return any? err
function watch.watch(path, options)
  check(type(path) == "string", "watch", 1, "path", "a string", path)
  options = options == nil and {} or options
  want.options(options, "watch", 2, known.watch)
  local handle = assert(uv.new_fs_event())
  local self = inbox.new(handle, metatable)
  local ok, said = handle:start(path, options, host.guarded(function(...)
    on_change(self, ...)
  end))
  if not ok then
    host.close(handle)
    return nil, failure.of(nil, said, "watch " .. path)
  end
  return self
end

--- The next change.
---@async
---@param c ctx.Context
---@return ctx.uv.Change|nil change
---@return any? err
function Watcher:next(c)
  want.self(self, metatable, "next")
  check_context(c, "next")
  return self:_take(c, "watch")
end

return watch
