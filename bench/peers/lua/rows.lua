-- SPDX-License-Identifier: MIT
-- The rows of bench/rows.lua that are about tasks, for libraries of Lua coroutines. Each gives its
-- own way of doing the same, in the Lua that it runs by (5.1 for one of them):
--
--   now_ns()              the processor time of the process
--   parked_tasks          how many W9 takes
--   run(main)             runs main as a task of the library, to its end
--   group()               a group: group:go(fn, ...), group:wait() → the first error or nil,
--                         group:failed() whether it has failed, group:park() until it has
--   yield()               lets the others have a turn
--   park_all(n)           parks n tasks on one thing; once all wait, returns a function that lets
--                         all go on, and waits until they are over
--
-- The program's own command line is list, or ROW [SCALE].

local GROUP_TASKS = 10
local FAILING = 5

local scale = 1
local peer -- the library, as above

local function scaled(n)
  return math.max(1, math.floor(n * scale))
end

local function show(name, spent_ns, ops, ...)
  print(table.concat({ name, ("%.2f"):format(spent_ns / ops), ... }, " "))
end

-- 0 where there is no /proc. The page size is Linux's on all that this is likely to run on.
local function resident_bytes()
  local statm = io.open("/proc/self/statm")
  if not statm then
    return 0
  end
  local pages = statm:read("*a"):match("^%d+ (%d+)")
  statm:close()
  return pages * 4096
end

local function memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024, resident_bytes()
end

local function must_be(want, got)
  if want ~= got then
    error("the group ended with " .. tostring(got))
  end
end

-- ---- W7 and W8 ----------------------------------------------------------------------------------

local function per_op(name, n, work)
  n = scaled(n)
  work(math.max(1, math.floor(n / 10)))
  local start = peer.now_ns()
  work(n)
  show(name, peer.now_ns() - start, n)
end

local function group_of_one()
  local function task()
    return true
  end
  per_op("W7", 100000, function(n)
    for _ = 1, n do
      local group = peer.group()
      group:go(task)
      must_be(nil, group:wait())
    end
  end)
end

local function fan_out(name, start)
  return { name, function()
    per_op(name, 10000, function(n)
      for _ = 1, n do
        local group = peer.group()
        for i = 1, GROUP_TASKS do
          start(group, i)
        end
        must_be("failed", group:wait())
      end
    end)
  end }
end

local function yielding(group, i)
  peer.yield()
  if i == FAILING then
    return nil, "failed"
  end
  return not group:failed(), "canceled"
end

local function start_closure(group, i)
  group:go(function()
    peer.yield()
    if i == FAILING then
      return nil, "failed"
    end
    return not group:failed(), "canceled"
  end)
end

local function start_with_arguments(group, i)
  group:go(yielding, group, i)
end

local function start_parked(group, i)
  group:go(function()
    peer.yield()
    if i == FAILING then
      return nil, "failed"
    end
    group:park()
    return nil, "canceled"
  end)
end

-- ---- W9 ----------------------------------------------------------------------------------------

local function parked()
  local n = scaled(peer.parked_tasks)
  local live, resident = memory()
  local start = peer.now_ns()
  local drain = peer.park_all(n)
  local spent = peer.now_ns() - start
  local live_after, resident_after = memory()
  show("W9.park", spent, n, math.floor((live_after - live) / n),
    math.floor((resident_after - resident) / n))
  start = peer.now_ns()
  drain()
  show("W9.drain", peer.now_ns() - start, n)
end

local all = {
  { "W7", group_of_one },
  fan_out("W8.closures", start_closure),
  fan_out("W8.args", start_with_arguments),
  fan_out("W8b", start_parked),
  { "W9", parked },
}

return function(library, name, scale_text)
  peer, scale = library, tonumber(scale_text) or 1
  for _, row in ipairs(all) do
    if name == "list" then
      print(row[1])
    elseif name == row[1] then
      return peer.run(row[2])
    end
  end
  if name ~= "list" then
    error("no row " .. tostring(name), 0)
  end
end
