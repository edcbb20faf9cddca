-- SPDX-License-Identifier: MIT
--- What must be true when a round is over: everything that was begun has ended, everything that was
--- held has been given back.
local core = require "ctx.core"
local ctx = require "ctx"
local handles = require "ctx.testing.handles"
local luv = require "luv"

local aftermath = {}

local QUIET_MS = 8000 -- real time in which all must end once the round's contexts have
local STEP_MS = 5

local NOTHING = { "parked", "external", "watchers", "deadlines" }

--- How many descriptors there are of each kind: "socket", "pipe", or the path of a file. A luv loop
--- has others, which stay; and each thread of luv's that works has a pipe with both its ends.
function aftermath.descriptors()
  local counts, ends = {}, {}
  local folder = assert(luv.fs_opendir("/proc/self/fd", nil, 1000))
  repeat
    local some = luv.fs_readdir(folder)
    for _, entry in ipairs(some or {}) do
      local target = luv.fs_readlink("/proc/self/fd/" .. entry.name) or ""
      local kind = target:match("^(%l+):%[") or target
      if kind == "pipe" then
        ends[target] = (ends[target] or 0) + 1
      elseif kind ~= "" and not kind:find("^anon_inode") and not kind:find("^/proc/") then
        counts[kind] = (counts[kind] or 0) + 1
      end
    end
  until not some
  luv.fs_closedir(folder)
  for _, count in pairs(ends) do
    counts.pipe = (counts.pipe or 0) + (count == 1 and 1 or 0)
  end
  return counts
end

--- luv's open handles but for those that the library and the round keep.
local function open_handles(play)
  local list = {}
  for _, handle in ipairs(handles.list()) do
    if not play.own[handle] then
      list[#list + 1] = handle
    end
  end
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
  local open = open_handles(play)
  if open[1] then
    return ("%d open handles of luv, such as %s"):format(#open, tostring(open[1]))
  end
end

--- Ends everything that the round has kept.
function aftermath.retire_all(play)
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

--- Does so, and waits until it has ended; `pause(ms)` lets the loop turn.
function aftermath.settle(play, pause, mine)
  local began = luv.hrtime()
  local left
  repeat
    aftermath.retire_all(play)
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

--- What there is more of than before, as a text, or nil.
local function more_descriptors(before)
  for kind, count in pairs(aftermath.descriptors()) do
    if count > (before[kind] or 0) then
      return ("%d descriptors that are a %s, %d before"):format(count, kind, before[kind] or 0)
    end
  end
end

--- After the run there are no more descriptors than before, once a client that keeps connections
--- has seen that they are closed.
function aftermath.compare(play, before)
  local began, more = luv.hrtime(), nil
  ctx.run(function(root)
    repeat
      more = more_descriptors(before)
      ctx.sleep(root, more and 50 or 0)
    until not more or (luv.hrtime() - began) / 1e6 > QUIET_MS
  end)
  play:claim(not more, "%s", more)
  play:claim(ctx.counters().tasks == 0, "%d tasks after the run", ctx.counters().tasks)
end

return aftermath
