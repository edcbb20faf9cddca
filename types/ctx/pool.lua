-- SPDX-License-Identifier: MIT
---@meta ctx.pool

---Workers for a stream of items: bounded concurrency, backpressure, drain.
---@class ctx.pool
---@field closed ctx.Error  the error of submit after drain
local pool = {}

---@class ctx.Pool.Options
---@field workers integer  items that are worked on at a time
---@field queue? integer   items that may wait for a worker; 0
---@field on_error? fun(err: any, item: any, traceback?: string)

---@class ctx.Pool.Failure
---@field item any
---@field err any
---@field traceback string?  where it raised

---To be closed: `local p <close> = pool.new(…)`.
---@class ctx.Pool
local P = {}

---@generic T
---@param c ctx.Context
---@param options ctx.Pool.Options
---@param fn fun(c: ctx.Context, item: T): any, any
---@return ctx.Pool
function pool.new(c, options, fn) end

---Waits for a place.
---@async
---@param c ctx.Context
---@param item any  not nil
---@return true? ok
---@return any? err
function P:submit(c, item) end

---@param item any  not nil
---@return boolean taken
function P:try_submit(item) end

---No more in; waits for the rest.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err
function P:drain(c) end

---@param cause? any
function P:cancel(cause) end

---@return ctx.Pool.Failure[] failures  100 at most
---@return integer count
function P:errors() end

---@return any[] items  taken, and never begun
function P:dropped() end

---@return { working: integer, queued: integer, done: integer, failed: integer }
function P:stats() end

return pool
