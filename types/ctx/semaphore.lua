-- SPDX-License-Identifier: MIT
---@meta ctx.semaphore

---Weighted, first come first served.
---@class ctx.semaphore
local semaphore = {}

---@class ctx.Semaphore
local Semaphore = {}

---@param n integer
---@return ctx.Semaphore
---@nodiscard
function semaphore.new(n) end

---Waits as long as c lives. Raises if k is more than there are and c can never be done.
---@async
---@param c ctx.Context
---@param k? integer  1
---@return true? ok
---@return any? err  when c ended first
function Semaphore:acquire(c, k) end

---@param k? integer  1
---@return boolean acquired  false when units are short, and when anyone waits
function Semaphore:try_acquire(k) end

---Raises when fewer are held.
---@param k? integer  1
function Semaphore:release(k) end

---With fewer than are held, nobody gets any until enough has come back.
---@param n integer
function Semaphore:resize(n) end

---@return integer held
---@return integer n
function Semaphore:held() end

return semaphore
