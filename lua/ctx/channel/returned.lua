-- SPDX-License-Identifier: MIT
--- Internal: the values that came back to a channel, since their receivers did not take them: those
--- that were granted first come out first, however they came back.
---
--- A skew heap by the grant's number. Its nodes are the waiters that give the values back, which
--- have left their lines: so to give back needs no memory, and no value gets lost for lack of it.
local returned = {}

---@class ctx.channel.Returned
---@field count integer
---@field _root ctx.Waiter|false

---@return ctx.channel.Returned
function returned.new()
  return { count = 0, _root = false }
end

--- One heap of two. `before` and `after` of a node are the heaps below it; the two change places on
--- the way down, which keeps that short.
local function merge(one, other)
  local root, above = false, nil
  while one and other do
    if other.order < one.order then
      one, other = other, one
    end
    if above then above.before = one else root = one end
    above, one, one.after = one, one.after, one.before
  end
  if above then above.before = one or other else root = one or other end
  return root
end

--- The waiter has left all lines.
---@param self ctx.channel.Returned
---@param waiter ctx.Waiter  its value, and its order
function returned.push(self, waiter)
  waiter.before, waiter.after = false, false
  self._root = merge(self._root, waiter)
  self.count = self.count + 1
end

---@param self ctx.channel.Returned
---@return any value  nil when there is none
function returned.pop(self)
  local first = self._root
  if not first then
    return nil
  end
  self._root = merge(first.before, first.after)
  self.count = self.count - 1
  first.before, first.after = false, false
  return first.value
end

return returned
