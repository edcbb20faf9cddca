-- SPDX-License-Identifier: MIT
---@meta ctx.singleflight

---One flight for each key.
---@class ctx.singleflight
local singleflight = {}

---@class ctx.Singleflight
local Singleflight = {}

---@return ctx.Singleflight
function singleflight.new() end

---@async
---@param c ctx.Context  ends this caller's wait only
---@param key any        neither nil nor NaN
---@param fn fun(flight: ctx.Context, ...): any, any
---@param ... any
---@return any value
---@return any? err
---@return boolean shared
function Singleflight:call(c, key, fn, ...) end

---The next caller of this key starts a new flight.
---@param key any
function Singleflight:forget(key) end

return singleflight
