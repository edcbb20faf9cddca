-- SPDX-License-Identifier: MIT
--- Internal: values in the order in which they came.
---
--- Not a table with a first and a last index that both rise: beside 2^k - 1 values each new index
--- finds no free place in Lua's table, which is then built anew, with all of them. Here one list is
--- filled from its beginning while the other one is emptied; then they change places.
local fifo = {}

---@class ctx.fifo.Fifo
---@field count integer
---@field _coming any[]
---@field _arrived integer  values in _coming
---@field _going any[]
---@field _first integer    of those in _going that are left
---@field _last integer

--- An emptied list with room for more than that many is given to the collector.
local KEPT = 64

---@return ctx.fifo.Fifo
function fifo.new()
  return { count = 0, _coming = {}, _arrived = 0, _going = {}, _first = 1, _last = 0 }
end

---@param self ctx.fifo.Fifo
---@param value any  not nil
function fifo.push(self, value)
  if self.count == 0 and self._last <= KEPT then -- most often: it is the next to go, too
    self._going[1] = value
    self._first, self._last, self.count = 1, 1, 1
    return
  end
  local arrived = self._arrived + 1
  self._coming[arrived] = value
  self._arrived, self.count = arrived, self.count + 1
end

--- Sees to it that the next push needs no memory.
---@param self ctx.fifo.Fifo
function fifo.reserve(self)
  local arrived = self._arrived + 1
  self._coming[arrived] = self._coming[arrived] or false
  if self.count == 0 then
    self._going[1] = false
  end
end

local function turn_over(self)
  local emptied = self._last > KEPT and {} or self._going
  self._going, self._first, self._last = self._coming, 1, self._arrived
  self._coming, self._arrived = emptied, 0
end

--- The value that pop would take.
---@param self ctx.fifo.Fifo
---@return any value  nil when there is none
function fifo.peek(self)
  if self.count == 0 then
    return nil
  elseif self._first > self._last then
    turn_over(self)
  end
  return self._going[self._first]
end

---@param self ctx.fifo.Fifo
---@return any value  nil when there is none
function fifo.pop(self)
  local first = self._first
  if first > self._last then
    if self.count == 0 then
      return nil
    end
    turn_over(self)
    first = 1
  end
  local going = self._going
  local value = going[first]
  going[first] = nil
  self._first, self.count = first + 1, self.count - 1
  return value
end

return fifo
