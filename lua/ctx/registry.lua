-- SPDX-License-Identifier: MIT
--- Internal: values by keys that come and go.
---
--- A Lua table uses the place of a key that was removed for another one only once it has been built
--- anew, and is built anew when no place is left: with 2^k - 1 keys that is at each new one. Here a
--- key that is removed keeps its place, until there are more such than keys; then the rest moves
--- into a new table. So each change costs the same on average, at any number.
local registry = {}

---@class ctx.registry.Registry
---@field count integer
---@field _removed integer
---@field _entries table<any, any>  false: removed

--- So many removed keys are no reason to move.
local FEW = 32

---@return ctx.registry.Registry
function registry.new()
  return { count = 0, _removed = 0, _entries = {} }
end

---@param self ctx.registry.Registry
---@param key any  not nil
---@return any value  nil when there is none
function registry.get(self, key)
  return self._entries[key] or nil
end

---@param self ctx.registry.Registry
---@param key any
---@param value any  neither nil nor false
function registry.set(self, key, value)
  local entries = self._entries
  local before = entries[key]
  entries[key] = value
  if not before then
    self.count = self.count + 1
    self._removed = self._removed - (before == false and 1 or 0)
  end
end

local function move(self)
  local entries = {}
  for key, value in next, self._entries do
    entries[key] = value or nil
  end
  self._entries, self._removed = entries, 0
end

---@param self ctx.registry.Registry
---@param key any
function registry.remove(self, key)
  if not self._entries[key] then
    return
  end
  self._entries[key] = false
  self.count, self._removed = self.count - 1, self._removed + 1
  if self.count == 0 or self._removed > self.count + FEW then
    pcall(move, self) -- without memory they stay for a while
  end
end

return registry
