-- SPDX-License-Identifier: MIT
--- A lock for what must stay true across a wait, first come first served.
---
---     local held <close>, err = m:hold(c)      -- unlocked when the scope is left
---     if not held then
---       return nil, err
---     end
---
--- Tasks change places only where they wait: between two waits nothing needs a lock.
local line = require "ctx.line"
local want = require "ctx.want"

---@class ctx.mutex
local mutex = {}

---@class ctx.mutex.Mutex
---@field _locked boolean
---@field _waiters ctx.line.Line
local Mutex = {}
local metatable = { __name = "ctx.mutex.Mutex", __index = Mutex }

local LOCK, HOLD = line.name("mutex:lock"), line.name("mutex:hold")

--- Makes a mutex, which is unlocked at first.
---@return ctx.mutex.Mutex m
function mutex.new()
  return setmetatable({ _locked = false, _waiters = line.new() }, metatable)
end

--- It stays locked from one holder to the next, so that no other task can take it. The waiter that
--- gets it may already have passed it on when this returns.
local function pass_on(self)
  if not line.grant(self._waiters) then
    self._locked = false
  end
end

--- The wait of lock and hold.
local function acquire(self, c, what)
  local err = c:ended()
  if err ~= nil then
    return nil, err
  elseif not self._locked then
    self._locked = true
    return true
  end
  local waiter <close> = line.waiter(c, pass_on, self)
  if not self._locked then
    self._locked = true
    return true
  end
  waiter:join(self._waiters)
  return waiter:take(what)
end

--- Waits for the lock as long as c lives. On a context that is done it fails also if the lock is
--- free; when the lock comes in the turn in which c ends, it goes on to the next. The lock is not
--- recursive.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err  when c ended first
function Mutex:lock(c)
  want.self(self, metatable, "lock")
  want.context(c, "lock")
  local ok, err = acquire(self, c, LOCK)
  return ok, err
end

--- Locks the mutex if it is free; returns whether it did.
---@return boolean locked
function Mutex:try_lock()
  want.self(self, metatable, "try_lock")
  local free = not self._locked
  self._locked = true
  return free
end

--- Unlocks the mutex, which goes to the first waiter. Any task may do so, not only the one that
--- locked it. Raises when it is not locked.
function Mutex:unlock()
  want.self(self, metatable, "unlock")
  if not self._locked then
    error("mutex:unlock: it is not locked", 2)
  end
  pass_on(self)
end

-- -- The lock as a scope ------------------------------------------------------------------------

---@class ctx.mutex.Held
---@field _mutex ctx.mutex.Mutex?
local Held = {}
local held_metatable = { __name = "ctx.mutex.Held", __index = Held }

--- Unlocks before the scope ends. Calling it again does nothing.
function Held:unlock()
  want.self(self, held_metatable, "unlock")
  local of = self._mutex
  self._mutex = nil
  if of then
    pass_on(of)
  end
end

held_metatable.__close = Held.unlock

--- Locks the mutex for a scope: `local held <close>, err = m:hold(c)`. It is unlocked on every way
--- out of the scope. When c ends first the result is nil, which <close> takes as well.
---@async
---@param c ctx.Context
---@return ctx.mutex.Held? held  to be closed
---@return any? err  when c ended first
---@nodiscard
function Mutex:hold(c)
  want.self(self, metatable, "hold")
  want.context(c, "hold")
  -- Made first: once the lock is ours, nothing may fail.
  local held = setmetatable({ _mutex = self }, held_metatable)
  local ok, err = acquire(self, c, HOLD)
  return ok and held, err
end

return mutex
