-- SPDX-License-Identifier: MIT
---@meta ctx.breaker

---Stops calling what keeps failing.
---@class ctx.breaker
---@field open ctx.Error  the error of a call that was not made
local breaker = {}

---@class ctx.Breaker
local Breaker = {}

---@class ctx.breaker.Permit
local Permit = {}

---@class ctx.breaker.Options
---@field name? string
---@field failures? integer  so many in a row open it
---@field rate? number       from 0 to 1: so large a part of the calls opens it
---@field window? number     ms over which that is counted
---@field minimum? integer   calls that there must be
---@field cooldown? number   ms that it stays open
---@field probes? integer    calls that must succeed then
---@field is_failure? fun(err: any): any
---@field on_change? fun(from: string, to: string)

---Closed.
---@param options? ctx.breaker.Options
---@return ctx.Breaker
function breaker.new(options) end

---@async
---@param c ctx.Context
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return any ...  what fn returned; or nil and an error, which is `breaker.open`
function Breaker:call(c, fn, ...) end

---@return ctx.breaker.Permit? permit  to be closed
---@return ctx.Error? err
---@nodiscard
function Breaker:allow() end

---@return "closed"|"open"|"half-open"
function Breaker:state() end

---@return number ms  until it lets a probe through; 0 when it is not open
function Breaker:retry_after() end

function Permit:succeed() end

function Permit:fail() end

return breaker
