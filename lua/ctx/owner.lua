-- SPDX-License-Identifier: MIT
--- Internal: what a task does, and for whom, as reports name it: "the worker my.lua:5".
---
--- The law: a task that a module starts, or that serves one of its objects, says so with its first
--- line. The traceback of its error then ends with that, which names the caller's function also
--- when it left by a tail call. So do the lists of tasks that are left.
local core = require "ctx.core"

local owner = {}

local owners = core.owners

local Claim = {}

--- False, not nil: one task after the other uses a thread, and its place in the table with it.
function Claim:__close()
  owners[self.co] = self.before
end

--- Make it a <close> variable: until then the running coroutine belongs to `text`.
---@param text string
function owner.claim(text)
  local co = coroutine.running()
  local claim = setmetatable({ co = co, before = owners[co] or false }, Claim)
  owners[co] = text
  return claim
end

return owner
