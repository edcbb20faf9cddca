-- SPDX-License-Identifier: MIT
---@meta ctx.testing

---Tests of code that waits, without waiting, and a check that nothing is left behind.
---@class ctx.testing
local testing = {}

---Time, moved by hand.
---@class ctx.testing.Clock
local Clock = {}

---What there was.
---@class ctx.testing.Snapshot
local Snapshot = {}

---@class ctx.testing.Options
---@field name? string   how leaks call the test; by default where the function stands
---@field real? boolean  keep the real clock
---@field grace? number  ms that the hand-moved clock may move on after `fn`: 10 000
---@field patience? number  ms of real time to wait then for the next task to end: 2000

---Runs `fn(root, clock)` as `ctx.run` does, under a clock moved by hand; then raises if anything
---is left, which is given up.
---@param fn fun(root: ctx.Context, clock: ctx.testing.Clock): ...
---@param options? ctx.testing.Options
---@return any ...  what `fn` returned
function testing.run(fn, options) end

---Installs such a clock until it is closed: `local clock <close> = testing.clock()`
---@return ctx.testing.Clock
---@nodiscard
function testing.clock() end

---@return ctx.testing.Snapshot
---@nodiscard
function testing.snapshot() end

---The time in ms, which is `ctx.now()`.
---@return number ms
---@nodiscard
function Clock:now() end

---The ms since it was made.
---@return number ms
---@nodiscard
function Clock:elapsed() end

---Lets time pass, and everything that is due until then happen, in order.
---@async
---@param ms number
function Clock:advance(ms) end

---Runs everything that is ready; time stands still.
---@async
function Clock:settle() end

---Brings the real clock back. Calling it again does nothing.
function Clock:close() end

---A text for each thing that came since and is still there; tasks that are alike share one.
---@return string[]
---@nodiscard
function Snapshot:leaks() end

---Raises an error with the name and each leak, if there is any.
---@param name string
function Snapshot:check(name) end

return testing
