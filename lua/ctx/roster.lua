-- SPDX-License-Identifier: MIT
--- Internal: a set of objects that come and go beside many that stay.
---
--- An array in which each object knows its place, and the last one moves into a free place. A table
--- with the objects as keys would be built anew for each that comes when nearly all its nodes are
--- taken: with 16 381 idle connections each new one cost a millisecond.

---@class ctx.roster.Placed
---@field place integer|false  its place in the roster

---@class ctx.roster.Roster
---@field [integer] ctx.roster.Placed
---@field size integer
local Roster = { __name = "ctx.roster.Roster" }
Roster.__index = Roster

local roster = {}

---@return ctx.roster.Roster
function roster.new()
  return setmetatable({ size = 0 }, Roster)
end

---@param object ctx.roster.Placed  not in a roster
function Roster:add(object)
  local size = self.size + 1
  self[size] = object -- first what may run out of memory
  object.place = size
  self.size = size
end

---@param object ctx.roster.Placed
---@return boolean removed  false: it was not there
function Roster:remove(object)
  local place, size = object.place, self.size
  if not place then
    return false
  end
  local last = self[size]
  self[place], last.place = last, place
  self[size], self.size, object.place = nil, size - 1, false
  return true
end

--- Calls fn(object) for each, which may remove that one.
---@param fn fun(object: table)
function Roster:each(fn)
  for i = self.size, 1, -1 do
    fn(self[i])
  end
end

return roster
