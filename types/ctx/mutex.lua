-- SPDX-License-Identifier: MIT
---@meta ctx.mutex

---A lock with a context, first come first served.
---@class ctx.mutex
local mutex = {}

---@class ctx.Mutex
local Mutex = {}

---The lock, for a scope: `local held <close>, err = m:hold(c)`
---@class ctx.Mutex.Held
local Held = {}

---@return ctx.Mutex
function mutex.new() end

---@async
---@param c ctx.Context
---@return true? ok
---@return any? err  when c ended first
function Mutex:lock(c) end

---@return boolean locked  it was free, and is locked now
function Mutex:try_lock() end

---Raises when it is not locked.
function Mutex:unlock() end

---@async
---@param c ctx.Context
---@return ctx.Mutex.Held? held  to be closed
---@return any? err              when c ended first
---@nodiscard
function Mutex:hold(c) end

---Before the scope ends; again, nothing.
function Held:unlock() end

return mutex
