-- SPDX-License-Identifier: MIT
---@meta ctx.waitgroup

---Waits until tasks are done, whatever becomes of each.
---@class ctx.waitgroup
local waitgroup = {}

---@class ctx.WaitGroup
local WaitGroup = {}

---With nothing to wait for.
---@return ctx.WaitGroup
function waitgroup.new() end

---Starts a task, and counts it until it ends, on whatever path.
---@param fn fun(...): ...
---@param ... any
---@return ctx.Task
function WaitGroup:go(fn, ...) end

---True when nothing is left; nil and an error when c ends first.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err
function WaitGroup:wait(c) end

---Counts n more (1 by default). Raises below zero, and before a wait that is over has returned.
---@param n? integer
function WaitGroup:add(n) end

---One less. Raises below zero.
function WaitGroup:done() end

return waitgroup
