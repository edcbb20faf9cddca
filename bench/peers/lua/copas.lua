-- SPDX-License-Identifier: MIT
-- The rows about tasks, by Copas: threads that sleep, and are woken.

local copas = require "copas"
local rows = require "bench.peers.lua.rows"

if not (copas.pauseforever and copas.wakeup) then
  io.stderr:write("this is ", copas._VERSION, ", where a thread can wait for a socket only: ",
    "no sleep, no wake-up, no join; Copas 4 is needed\n")
  os.exit(1)
end

local Group = {}
Group.__index = Group

local function new_group()
  return setmetatable({ running = 0, parked = {} }, Group)
end

local function wake_all(threads)
  for i = 1, #threads do
    copas.wakeup(threads[i])
  end
end

local function finish(group, ok, err)
  if not ok and not group.first then
    group.first = err
    wake_all(group.parked)
  end
  group.running = group.running - 1
  if group.running == 0 and group.waiter then
    copas.wakeup(group.waiter)
  end
end

local function run(group, fn, ...)
  finish(group, fn(...))
end

function Group:go(fn, ...)
  self.running = self.running + 1
  copas.addthread(run, self, fn, ...)
end

function Group:wait()
  while self.running > 0 do
    self.waiter = coroutine.running()
    copas.pauseforever()
  end
  return self.first
end

function Group:failed()
  return self.first ~= nil
end

function Group:park()
  while not self.first do
    self.parked[#self.parked + 1] = coroutine.running()
    copas.pauseforever()
  end
end

local function park_all(n)
  local parked, running, waiter = {}, n, nil
  local function task()
    parked[#parked + 1] = coroutine.running()
    copas.pauseforever()
    running = running - 1
    if running == 0 and waiter then
      copas.wakeup(waiter)
    end
  end
  for _ = 1, n do
    copas.addthread(task)
  end
  while #parked < n do
    copas.pause(0)
  end
  return function()
    wake_all(parked)
    waiter = coroutine.running()
    while running > 0 do
      copas.pauseforever()
    end
  end
end

rows({
  parked_tasks = 100000, -- a tenth of what the row says
  now_ns = function() return os.clock() * 1e9 end,
  run = function(main) copas.loop(main) end,
  group = new_group,
  yield = function() copas.pause(0) end,
  park_all = park_all,
}, ...)
