-- SPDX-License-Identifier: MIT
--- The group of processes that a program leads: the program, and what it started.
---
--- As long as one of them is there, the system gives the number of the group to nobody else. When
--- the last has gone it may, and of that nothing tells us.
local host = require "ctx.uv.host"

local uv = host.uv

---@class ctx.uv.Group
---@field _id integer           the leader's, too
---@field _led boolean          the leader has not been reaped
---@field _members integer[]?   the members at the last look at all processes
local Group = { __name = "ctx.uv.Group" }
Group.__index = Group

local group = {}

---@param id integer
---@return ctx.uv.Group
function group.new(id)
  return setmetatable({ _id = id, _led = true }, Group)
end

--- The leader has been reaped.
function Group:orphan()
  self._led = false
end

--- Sends a signal to all of it, and answers as luv does.
---@param name string|integer
---@return integer|nil ok
---@return string? said
---@return string? code  ESRCH: the group is empty
function Group:signal(name)
  -- Once its leader has been reaped, a process with that number leads another group.
  if not self._led and select(3, uv.kill(self._id, 0)) ~= "ESRCH" then
    return nil, "ESRCH", "ESRCH"
  end
  return uv.kill(-self._id, name)
end

--- Whether the process is in the group, and does not only wait to be reaped.
local function is_member(self, pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then
    return false
  end
  local state, id = (file:read("a") or ""):match(".*%) (%a) %d+ (%d+)")
  file:close()
  return tonumber(id) == self._id and state ~= "Z" and state ~= "X"
end

--- All members; nil where the system does not tell.
local function find(self)
  local folder = uv.fs_stat("/proc/self/stat") and uv.fs_opendir("/proc", nil, 256)
  if not folder then
    return nil
  end
  local members = {}
  for entries in function() return uv.fs_readdir(folder) end do
    for _, entry in ipairs(entries) do
      local pid = math.tointeger(tonumber(entry.name))
      if pid and is_member(self, pid) then
        members[#members + 1] = pid
      end
    end
  end
  uv.fs_closedir(folder)
  return members
end

--- Whether no member is left. Those that only wait to be reaped do not count: in a container whose
--- first process does not reap, they would stay for ever.
---@return boolean
function Group:is_gone()
  if self._led then
    return false
  elseif select(3, self:signal(0)) == "ESRCH" then
    return true
  end
  -- A look at all processes takes time, so only when the known members have gone.
  for _, pid in ipairs(self._members or {}) do
    if is_member(self, pid) then
      return false
    end
  end
  self._members = find(self)
  return self._members ~= nil and #self._members == 0
end

return group
