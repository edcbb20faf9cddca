-- SPDX-License-Identifier: MIT
--- Internal: lines of coroutines that wait for one another, first come first served. Wait groups,
--- mutexes and channels are made of these.
---
--- Who must wait makes a waiter, looks once more whether it must, joins one line or several, and
--- parks. Who has something for a line grants it to the first there that can still take it. That
--- cannot go wrong, because
---
--- * to make a waiter may run finalizers, and these may give what it is to wait for; from the look
---   on nothing does, until C's queue knows of it;
--- * a waiter is granted one thing at most, and only while it is parked and its context lives: what
---   C's queue wakes, it wakes once, and never when its coroutine was closed;
--- * a waiter is a <close> variable: on every way out of the wait, an error, a closed or abandoned
---   coroutine included, it leaves its lines, and what it was granted and did not take goes back.
local core = require "ctx.core"

local line = {}

local queue_wait, queue_wake, queue_empty
do
  local queue = core.queue()
  queue_wait, queue_wake, queue_empty = queue.wait, queue.wake, queue.empty
end

-- C keeps pointers to the names of waits, for its reports, so they must never be collected.
local names = core.shared("ctx.line")

--- The name of a public function that waits, for reports and errors.
---@param what string
---@return string
function line.name(what)
  names[what] = what
  return what
end

---@class ctx.Line
---@field first ctx.LineEntry|false
---@field last ctx.LineEntry|false

--- A place in a line. A waiter that stands in one line only is its own entry.
---@class ctx.LineEntry
---@field waiter ctx.Waiter
---@field line ctx.Line|false      false: in none
---@field before ctx.LineEntry|false
---@field after ctx.LineEntry|false

---@return ctx.Line
function line.new()
  return { first = false, last = false }
end

local function leave(entry)
  local from = entry.line
  if not from then
    return
  end
  local before, after = entry.before, entry.after
  if before then before.after = after else from.first = after end
  if after then after.before = before else from.last = before end
  entry.line, entry.before, entry.after = false, false, false
end

--- Wakes the first in line and leaves `value` with it. Those that cannot take it any more are
--- dropped on the way, also those whose context has ended in this turn and who will hear of it
--- later: what came first counts. The line is read anew each time, since a wake may change it.
---@param from ctx.Line
---@param value any
---@return ctx.LineEntry? entry  whose it is now; nil when nobody waits
function line.grant(from, value)
  local entry = from.first
  while entry do
    leave(entry)
    local waiter = entry.waiter
    local c = waiter._c
    if not (c and c:err()) and queue_wake(waiter._queue) then
      waiter.granted, waiter.value = entry, value
      return entry
    end
    entry = from.first
  end
end

---@class ctx.Waiter : ctx.LineEntry
---@field granted ctx.LineEntry|false  the entry that was served, until it is taken
---@field value any                    what came with it
---@field order integer|false          a channel's: the number of the grant
---@field _entries ctx.LineEntry[]|false
local Waiter = {}
local metatable = { __name = "ctx.waiter", __index = Waiter }

-- Queues that nobody stands in. Each holds one coroutine at a time here, so few are needed.
local SPARES = 64
local spare = {}

--- Make it a <close> variable. It waits until c ends, or for ever without one; when it leaves
--- without having taken what it was granted, `give_back(owner, waiter)` is called.
---@param c ctx.Context?
---@param give_back? fun(owner: any, waiter: ctx.Waiter)
---@param owner? any
---@param entries? ctx.LineEntry[]  to stand in several lines
---@return ctx.Waiter
function line.waiter(c, give_back, owner, entries)
  -- Every field has its place from the start: a grant must not need memory.
  local waiter = {
    _c = c or false, _give_back = give_back or false, _owner = owner or false,
    _queue = table.remove(spare), _entries = entries or false,
    line = false, before = false, after = false, waiter = false, granted = false, value = false,
    order = false,
  }
  waiter.waiter = waiter
  waiter._queue = waiter._queue or core.queue()
  return setmetatable(waiter, metatable)
end

function metatable.__close(waiter)
  leave(waiter)
  if waiter._entries then
    for _, entry in ipairs(waiter._entries) do
      leave(entry)
    end
  end
  if waiter.granted and waiter._give_back then
    waiter._give_back(waiter._owner, waiter)
  end
  -- To ask also frees the record of a coroutine that is being closed.
  if queue_empty(waiter._queue) and #spare < SPARES then
    spare[#spare + 1] = waiter._queue
  end
end

--- Goes to the end of the line.
---@param to ctx.Line
---@param entry? ctx.LineEntry  one of its entries; by default the waiter itself
function Waiter:join(to, entry)
  entry = entry or self
  entry.waiter = self
  local last = to.last
  entry.line, entry.before, entry.after = to, last, false
  if last then last.after = entry else to.first = entry end
  to.last = entry
end

--- Parks until something is granted, or its context ends. What was granted stays so, even if the
--- context ends before the coroutine runs on.
---@async
---@param what string  from line.name
---@return true? granted
---@return any? err
function Waiter:wait(what)
  local _, err = queue_wait(self._queue, self._c or nil, what)
  if err == nil then
    return true
  end
  return nil, err
end

--- The same, but what was granted counts only if the context still lives; else it is given back.
---@async
---@param what string
---@return true? taken
---@return any? err
function Waiter:take(what)
  local _, err = queue_wait(self._queue, self._c or nil, what)
  err = err or line.ended(self._c)
  if err == nil then
    self.granted = false
    return true
  end
  return nil, err
end

--- What a wait returns when its context has ended; nil while it lives.
---@param c ctx.Context
---@return any? err
function line.ended(c)
  return c:ended()
end

return line
