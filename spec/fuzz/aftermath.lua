-- SPDX-License-Identifier: MIT
--- What must be true when a round is over: everything that was begun has ended, everything that was
--- held has been given back.
local core = require "ctx.core"
local ctx = require "ctx"
local luv = require "luv"
local loop = require "ctx.loop"

local aftermath = {}

local QUIET_MS = 8000 -- real time in which all must end once the round's contexts have
local STEP_MS = 5

local NOTHING = { "parked", "external", "watchers", "deadlines" }

--- Descriptors that are files, pipes or sockets: a luv loop has others, which stay. So has the one
--- that luv makes for each thread that works: a pipe with both its ends.
function aftermath.descriptors()
  local list, ends = {}, {}
  local folder = assert(luv.fs_opendir("/proc/self/fd", nil, 1000))
  repeat
    local some = luv.fs_readdir(folder)
    for _, entry in ipairs(some or {}) do
      local target = luv.fs_readlink("/proc/self/fd/" .. entry.name)
      if target and not target:find("^anon_inode") and not target:find("^/proc/") then
        list[entry.name .. " " .. target] = true
        ends[target] = (ends[target] or 0) + 1
      end
    end
  until not some
  luv.fs_closedir(folder)
  for descriptor in pairs(list) do
    local pipe = descriptor:match(" (pipe:.*)")
    if pipe and ends[pipe] == 2 then
      list[descriptor] = nil
    end
  end
  return list
end

--- luv's open handles but for those that the library keeps.
local function open_handles(play)
  local list = {}
  luv.walk(function(handle)
    local own = handle == loop.timer or handle == loop.idle or handle == loop.poll
      or handle == core.shared("ctx.signal").pipe or play.own[handle]
    if not own and not handle:is_closing() then
      list[#list + 1] = tostring(handle)
    end
  end)
  return list
end

--- What has not ended, as a text, or nil. `mine`: the tasks that may be there.
local function unfinished(play, mine)
  local counters = core.counters()
  for _, name in ipairs(NOTHING) do
    if counters[name] > 0 then
      return ("%d %s"):format(counters[name], name)
    end
  end
  if counters.tasks > mine then
    return ("%d tasks"):format(counters.tasks - mine)
  end
  local handles = open_handles(play)
  if handles[1] then
    return ("%d open handles of luv, such as %s"):format(#handles, handles[1])
  end
end

local function retire_all(play)
  local kept = play.kept
  play.kept = {}
  for class, list in pairs(kept) do
    for _, object in ipairs(list) do
      play:retire(class, object)
    end
  end
end

--- Where the first tasks wait.
function aftermath.stacks()
  local list = {}
  for _, task in ipairs(core.tasks()) do
    if #list < 6 then
      list[#list + 1] = ("a %s %s in %s\n%s"):format(task.kind, task.status, task.what,
        task.traceback)
    end
  end
  return table.concat(list, "\n")
end

--- Ends everything that the round has kept, and waits until it has ended; `pause(ms)` lets the loop
--- turn.
function aftermath.settle(play, pause, mine)
  local began = luv.hrtime()
  local left
  repeat
    retire_all(play)
    pause(STEP_MS)
    collectgarbage()
    left = unfinished(play, mine)
  until not left or (luv.hrtime() - began) / 1e6 > QUIET_MS
  if left then
    play:claim(false, "%s, %d ms after everything had been ended\n%s", left, QUIET_MS,
      aftermath.stacks())
  end
  play:claim(not play.retire_error, "letting go of a %s", play.retire_error)
end

--- After the run: the descriptors are those of before.
function aftermath.compare(play, before)
  local after, new = aftermath.descriptors(), {}
  for descriptor in pairs(after) do
    if not before[descriptor] then
      new[#new + 1] = descriptor
    end
  end
  play:claim(#new == 0, "%d new descriptors: %s", #new, table.concat(new, ", "))
  play:claim(ctx.counters().tasks == 0, "%d tasks after the run", ctx.counters().tasks)
end

return aftermath
