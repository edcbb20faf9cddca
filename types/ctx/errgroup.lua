-- SPDX-License-Identifier: MIT
---@meta ctx.errgroup

---Tasks that fail and stop together.
---@class ctx.errgroup
local errgroup = {}

---Leaving its scope cancels its context and waits for its tasks: `local g <close>, gctx = …`
---@class ctx.Group
local Group = {}

---A group whose context, derived from c, is done with the first failure, and when a wait is over.
---@param c ctx.Context
---@return ctx.Group g
---@return ctx.Context gctx
---@nodiscard
function errgroup.with_context(c) end

---A group without a context: a failure is kept, and stops nobody.
---@return ctx.Group g
---@nodiscard
function errgroup.new() end

---Runs all functions at once and collects what they return under their names. On a context that
---is done it starts none.
---@async
---@param c ctx.Context
---@param functions table<any, fun(gctx: ctx.Context): any, any>
---@return table? results
---@return any? err  begins with the name of the first that failed
function errgroup.collect(c, functions) end

---Starts a task; at the limit waits for a place.
---@async
---@param fn fun(...): any, any
---@param ... any
---@return true? ok
---@return any? err  when the group's context ended before there was a place
function Group:go(fn, ...) end

---@param fn fun(...): any, any
---@param ... any
---@return boolean started  false at the limit
function Group:try_go(fn, ...) end

---At most n tasks at a time; negative: no limit. Raises while any runs or waits to begin.
---@param n integer
function Group:set_limit(n) end

---Waits until all tasks have ended; cancels the group's context.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err  the first error, by time; c's, if that ended before
function Group:wait(c) end

---All errors so far, by time.
---@return any[]
function Group:errors() end

return errgroup
