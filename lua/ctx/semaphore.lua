-- SPDX-License-Identifier: MIT
--- A weighted semaphore: at most n units are held at a time; waiters are served in order.
local core = require "ctx.core"

---@class ctx.semaphore
local semaphore = {}

-- All of it is made in C, and annotated in types/ctx/core.lua.
semaphore.new = core.semaphore

return semaphore
