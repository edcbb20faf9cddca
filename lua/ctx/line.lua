-- SPDX-License-Identifier: MIT
--- Internal: how coroutines wait for what others bring, and are woken. Whatever is neither a single
--- request of luv's (ctx.await) nor a context is waited for here, in one of two shapes:
---
--- * a gate lets all waiters go on when it opens, and they look again for what they want;
--- * a line grants to one waiter at a time, first come first served, what is then its own. Wait
---   groups, mutexes and channels are made of lines. A wait in a line costs 2.7 times one at a
---   gate, as its waiter must be able to give back.
---
--- To wait in a line: make a waiter, look again whether the wait is needed, join one line or
--- several, and park. To give something to a line: grant it to the first waiter that can still take
--- it. This is safe, because
---
--- * to make a waiter may run finalizers, and these may give what it is to wait for; from the look
---   on nothing does, until C's queue knows of it;
--- * a waiter is granted one thing at most, and only while it is parked and its context lives: what
---   C's queue wakes, it wakes once, and never when its coroutine was closed;
--- * a waiter is a <close> variable: on every way out of the wait, an error, a closed or abandoned
---   coroutine included, it leaves its lines, and what it was granted and did not take goes back.
---
--- Both may have a handle of luv's. It keeps the loop alive while somebody waits, and only then: it
--- is referenced with the first waiter, and a <close> takes that back with the last one.
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

-- -- Gates ----------------------------------------------------------------------------------------

---@class ctx.line.Gate
---@field waiting integer          so many are in a wait
---@field _queue userdata          C's
---@field _outside boolean
---@field _handle userdata|false   luv's
local Gate = {}
local gate_metatable = { __name = "ctx.line.Gate", __index = Gate }

--- A new gate. Other tasks open it; or, with "outside" or a handle of luv's, something that luv
--- brings, and then a hand-moved clock does not take these waits for an idle program. Waiters for
--- something outside may be woken though nothing came, to see that others have closed a handle.
---@param opener? "outside"|userdata
---@return ctx.line.Gate
function line.gate(opener)
  return setmetatable({
    waiting = 0, _queue = core.queue(), _outside = opener ~= nil,
    _handle = type(opener) == "userdata" and opener or false,
  }, gate_metatable)
end

--- Waits until the gate opens. Then look again: that somebody opened it is all that true says.
---@async
---@param c ctx.Context?
---@param what string      from line.name
---@return true? opened
---@return any? err        c has ended, even if the gate opened before
function Gate:wait(c, what)
  local _ <close> = self -- the count's and the handle's
  local waiting, handle = self.waiting + 1, self._handle
  self.waiting = waiting
  if handle and waiting == 1 and not handle:is_closing() then
    handle:ref()
  end
  local _, err = queue_wait(self._queue, c, what, self._outside)
  if err == nil and c then
    err = c:ended()
  end
  if err == nil then
    return true
  end
  return nil, err
end

function gate_metatable.__close(self, err)
  local waiting, handle = self.waiting - 1, self._handle
  self.waiting = waiting
  if handle and waiting == 0 and not handle:is_closing() then
    handle:unref()
  end
  if err ~= nil then
    queue_empty(self._queue) -- which forgets one that was about to wait, and could not
  end
end

--- Lets all go on that wait now.
---@return boolean any
function Gate:open()
  if self.waiting == 0 or not queue_wake(self._queue) then
    return false
  end
  while queue_wake(self._queue) do end
  return true
end

-- -- Lines ----------------------------------------------------------------------------------------

---@class ctx.line.Line
---@field first ctx.line.Entry|false
---@field last ctx.line.Entry|false
---@field handle userdata|false  luv's

--- A place in a line. A waiter that stands in one line only is its own entry.
---@class ctx.line.Entry
---@field waiter ctx.line.Waiter
---@field line ctx.line.Line|false  false: in none
---@field before ctx.line.Entry|false
---@field after ctx.line.Entry|false

---@param handle? userdata  luv's, that brings what is waited for
---@return ctx.line.Line
function line.new(handle)
  return { first = false, last = false, handle = handle or false }
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
  local handle = from.handle
  if handle and not from.first and not handle:is_closing() then
    handle:unref()
  end
end

--- Takes the entry out of its line, and wakes its waiter, unless that can take nothing any more.
--- What is granted is with the waiter before it is woken: to wake it may run finalizers, and one of
--- them may close its coroutine. Then it has given back by now what it was granted.
local function serve(entry, value, order)
  local waiter = entry.waiter
  local c = waiter._c
  local can_take = not (waiter.granted or waiter._left or c and c:err()) -- calls may need memory
  leave(entry)
  if not can_take then
    return false
  end
  waiter.granted, waiter.value, waiter.order, waiter._waking = entry, value, order or false, true
  local woken = queue_wake(waiter._queue)
  waiter._waking = false
  if woken or waiter._left then
    return true
  end
  waiter.granted, waiter.value = false, false
  return false
end

--- Wakes the first waiter of the line and leaves `value` with it. Waiters that cannot take it any
--- more are dropped on the way, also those whose context has ended in this turn: the earlier event
--- counts. The line is read again each time, since a wake may change it. The waiter may give the
--- value back while this runs.
---@param from ctx.line.Line
---@param value any
---@param order? integer  a channel's
---@return ctx.line.Entry? entry  whose it is now; nil when nobody waits
function line.grant(from, value, order)
  local entry = from.first
  while entry do
    if serve(entry, value, order) then
      return entry
    end
    entry = from.first
  end
end

---@class ctx.line.Waiter : ctx.line.Entry
---@field granted ctx.line.Entry|false  the entry that was served, until it is taken
---@field value any                    what came with it
---@field order integer|false          a channel's: the number of the grant
---@field _entries ctx.line.Entry[]|false
---@field _waking boolean              its queue is being used
---@field _left boolean                its scope is over, and its queue may be another's
local Waiter = {}
local metatable = { __name = "ctx.line.Waiter", __index = Waiter }

-- Queues that are empty. Each holds one coroutine at a time here, so few are needed.
local SPARES = 64
local spare = {}

--- Make it a <close> variable. It waits until c ends, or for ever without one; when it leaves
--- without having taken what it was granted, `give_back(owner, waiter)` is called.
---@param c ctx.Context?
---@param give_back? fun(owner: any, waiter: ctx.line.Waiter)
---@param owner? any
---@param entries? ctx.line.Entry[]  to stand in several lines
---@return ctx.line.Waiter
function line.waiter(c, give_back, owner, entries)
  -- Every field has its place from the start: a grant must not need memory.
  local waiter = {
    _c = c or false, _give_back = give_back or false, _owner = owner or false,
    _queue = table.remove(spare), _entries = entries or false,
    line = false, before = false, after = false, waiter = false, granted = false, value = false,
    order = false, _waking = false, _left = false,
  }
  waiter.waiter = waiter
  waiter._queue = waiter._queue or core.queue()
  return setmetatable(waiter, metatable)
end

function metatable.__close(waiter)
  waiter._left = true
  leave(waiter)
  if waiter._entries then
    for _, entry in ipairs(waiter._entries) do
      leave(entry)
    end
  end
  if waiter.granted and waiter._give_back then
    waiter._give_back(waiter._owner, waiter)
  end
  waiter._c = false -- whatever keeps the waiter keeps no context
  -- To ask also frees the record of a coroutine that is being closed.
  if queue_empty(waiter._queue) and not waiter._waking and #spare < SPARES then
    spare[#spare + 1] = waiter._queue
  end
end

--- Goes to the end of the line.
---@param to ctx.line.Line
---@param entry? ctx.line.Entry  one of its entries; by default the waiter itself
function Waiter:join(to, entry)
  entry = entry or self
  entry.waiter = self
  local last = to.last
  entry.line, entry.before, entry.after = to, last, false
  if last then last.after = entry else to.first = entry end
  to.last = entry
  local handle = to.handle
  if handle and not last and not handle:is_closing() then
    handle:ref()
  end
end

--- Grants it `value` out of its turn.
---@param value any
---@return boolean granted
function Waiter:serve(value)
  return serve(self, value)
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
---@param outside? boolean  it is luv that brings it: the waiter may be woken with nothing granted
---@return boolean? taken    false: woken with nothing granted
---@return any? err
function Waiter:take(what, outside)
  local _, err = queue_wait(self._queue, self._c or nil, what, outside)
  if err == nil and self._c then
    err = self._c:ended()
  end
  if err == nil then
    local granted = self.granted ~= false
    self.granted = false
    return granted
  end
  return nil, err
end

return line
