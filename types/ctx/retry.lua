-- SPDX-License-Identifier: MIT
---@meta ctx.retry

---Tries again, within the budget of a context.
---@class ctx.retry
---@field Stopped table  the class of errors that say why there were no more attempts
local retry = {}

---@class ctx.retry.Options
---@field attempts? number       at most; 3 by default
---@field timeout? number        ms for each attempt
---@field backoff? number|fun(attempt: integer, err: any): number
---@field factor? number         2 by default
---@field max_backoff? number    ms; 30 000 by default
---@field jitter? boolean        true by default
---@field random? fun(): number  from 0 to 1
---@field retryable? fun(err: any): boolean
---@field on_retry? fun(attempt: integer, err: any, delay: number)

---Wraps `last`, and what ended the context.
---@class ctx.retry.Stopped
---@field attempts integer
---@field reason "attempts"|"budget"|"done"
---@field last any
---@field delay number?  ms that were too long for the budget
---@field ended any?

---@async
---@param c ctx.Context
---@param options ctx.retry.Options?
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return any ...  what fn returned; or nil and an error
function retry.call(c, options, fn, ...) end

---Marks an error: another attempt will not help.
---@param err any
---@return any marked
function retry.permanent(err) end

return retry
