-- SPDX-License-Identifier: MIT
--- What c:why() answers: which context ended, by whom, from where.
local core = require "ctx.core"
local errors = require "ctx.errors"
local tasks = require "ctx.tasks"
local text = require "ctx.text"

local shared = core.shared("ctx.why")

---@class ctx.Why
---@field err ctx.errors.Error  the sentinel
---@field cause any         as c:cause()
---@field path string       the context that ended by itself, as tostring shows it
---@field name? string      its name, if c:name(…) gave it one
---@field by? string        where its cancel was called, "file:line"; only under ctx.debug(true)
---@field budget_ms? number what its deadline was when it was made; only under ctx.debug(true)
local Why = shared.metatable or { __name = "ctx.Why" }
shared.metatable = Why

--- "context deadline exceeded: checkout, 500 ms, ctx.background.with_timeout(0 ms left)"
function Why:__tostring()
  local parts = { self.name }
  if self.err == errors.deadline_exceeded and self.budget_ms then
    parts[#parts + 1] = text.number("%g", self.budget_ms) .. " ms"
  end
  if self.by then
    parts[#parts + 1] = "cancelled at " .. self.by
  end
  if not rawequal(self.cause, self.err) then
    parts[#parts + 1] = "because " .. errors.describe(self.cause)
  end
  parts[#parts + 1] = self.path
  return tostring(self.err) .. ": " .. table.concat(parts, ", ")
end

core.hook("why", function(err, cause, origin, by, budget_ms, name)
  local cancelled = err == errors.canceled
  return setmetatable({
    err = err,
    cause = cause,
    path = tostring(origin),
    name = name,
    by = cancelled and tasks.place(by) or nil,
    budget_ms = budget_ms,
  }, Why)
end)
