-- SPDX-License-Identifier: MIT
--- Internal: the values that came back to a channel, since their receivers did not take them: those
--- that were granted first come out first, however they came back. A heap by the grant's number.
local returned = {}

---@class ctx.channel.Returned
---@field count integer
---@field _values any[]
---@field _orders integer[]

---@return ctx.channel.Returned
function returned.new()
  return { count = 0, _values = {}, _orders = {} }
end

---@param self ctx.channel.Returned
---@param value any
---@param order integer
function returned.push(self, value, order)
  local values, orders, place = self._values, self._orders, self.count + 1
  values[place], orders[place] = value, order -- here it may run out of memory, and not below
  self.count = place
  while place > 1 and orders[place // 2] > order do
    local above = place // 2
    values[place], orders[place] = values[above], orders[above]
    place = above
  end
  values[place], orders[place] = value, order
end

--- Puts the value at the first place, or as far below as those that go before it.
local function sink(self, value, order)
  local values, orders, count, place = self._values, self._orders, self.count, 1
  while 2 * place <= count do
    local below = 2 * place
    if below < count and orders[below + 1] < orders[below] then
      below = below + 1
    end
    if orders[below] >= order then
      break
    end
    values[place], orders[place] = values[below], orders[below]
    place = below
  end
  values[place], orders[place] = value, order
end

---@param self ctx.channel.Returned
---@return any value  nil when there is none
function returned.pop(self)
  local values, orders, count = self._values, self._orders, self.count
  local first, last, order = values[1], values[count], orders[count]
  if count > 0 then
    values[count], orders[count] = nil, nil
    self.count = count - 1
    if count > 1 then
      sink(self, last, order)
    end
  end
  return first
end

return returned
