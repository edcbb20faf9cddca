-- SPDX-License-Identifier: MIT
---@meta ctx.shutdown

---The end of a server in named phases: readiness off, delay, stop accepting, drain, cancel the
---root, wait for the workers, force.
---@class ctx.shutdown
local shutdown = {}

---@alias ctx.Shutdown.Name "readiness"|"delay"|"stop"|"drain"|"cancel"|"wait"|"force"

---@class ctx.Shutdown.Options
---@field delay? number     ms between readiness off and the end of accepting; 0
---@field grace? number     ms from the soft cancel to the hard one; 0
---@field timeouts? table<ctx.Shutdown.Name, number>  ms by phase
---@field signals? string[] that begin it: { "sigint", "sigterm" }; may be empty
---@field ready? boolean    true

---@class ctx.Shutdown.Hook
---@field name string
---@field state "done"|"failed"|"timed out"
---@field took number        ms
---@field err any?
---@field traceback string?  where it raised

---@class ctx.Shutdown.Phase
---@field name ctx.Shutdown.Name
---@field took number        ms
---@field timed_out boolean
---@field err any?           there was no memory for all of it
---@field hooks ctx.Shutdown.Hook[]

---@class ctx.Shutdown.Running
---@field name string?       of a worker: the place of its function
---@field owner string?      what it does, if a module started it
---@field what string        what it waits in
---@field spawned string?    under ctx.debug
---@field traceback string

---Prints as a text of some lines.
---@class ctx.Shutdown.Report
---@field cause any
---@field took number        ms
---@field clean boolean
---@field phases ctx.Shutdown.Phase[]|table<ctx.Shutdown.Name, ctx.Shutdown.Phase>
---@field failed { name: string, err: any }[]  workers
---@field running ctx.Shutdown.Running[]       when force came

---To be closed: `local s <close> = shutdown.new(root)`.
---@class ctx.Shutdown
local S = {}

---@param parent ctx.Context
---@param options? ctx.Shutdown.Options
---@return ctx.Shutdown
function shutdown.new(parent, options) end

---@return ctx.Context c  done after the drain and the grace
function S:context() end

---@return ctx.Context c  done before the drain
function S:stopping() end

---@return boolean
function S:ready() end

---@param ready boolean
function S:set_ready(ready) end

---@return ctx.Shutdown.Name|"over"|nil
function S:phase() end

---@param phase ctx.Shutdown.Name  not "delay"
---@param name string
---@param fn fun(c: ctx.Context): any, any
function S:on(phase, name, fn) end

---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return ctx.Task? task
---@return any? err
function S:go(fn, ...) end

---Begins; again does nothing.
---@param cause? any
function S:stop(cause) end

---@async
---@return ctx.Shutdown.Report? report
---@return any? err
function S:run() end

---@async
---@param c? ctx.Context
---@return ctx.Shutdown.Report? report
---@return any? err
function S:wait(c) end

return shutdown
