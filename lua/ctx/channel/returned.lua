-- SPDX-License-Identifier: MIT
--- Internal: the values that came back to a channel, since their receivers did not take them: those
--- that were granted first come out first, however they came back.
---
--- A skew heap by the grant's number. Its nodes are the waiters that give the values back, which
--- have left their lines: so to give back needs no memory, and no value gets lost for lack of it.
local returned = {}

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

--- Adds the value of a waiter that has left all lines.
---@param heap ctx.line.Waiter|false  the first; false: there is none
---@param waiter ctx.line.Waiter
---@return ctx.line.Waiter heap
function returned.push(heap, waiter)
  waiter.before, waiter.after = false, false
  return merge(heap, waiter)
end

--- Takes the first.
---@param heap ctx.line.Waiter
---@return any value
---@return ctx.line.Waiter|false heap
function returned.pop(heap)
  local rest = merge(heap.before, heap.after)
  heap.before, heap.after = false, false
  return heap.value, rest
end

return returned
