-- SPDX-License-Identifier: MIT
-- The rows about tasks, by cqueues: one controller; conditions for the join and for the cancel.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local rows = require "bench.peers.lua.rows"

local Group = {}
Group.__index = Group

local function new_group()
  return setmetatable({ running = 0, over = condition.new(), stop = condition.new() }, Group)
end

local function finish(group, ok, err)
  if not ok and not group.first then
    group.first = err
    group.stop:signal()
  end
  group.running = group.running - 1
  if group.running == 0 then
    group.over:signal()
  end
end

local function run(group, fn, ...)
  finish(group, fn(...))
end

function Group:go(fn, ...)
  self.running = self.running + 1
  cqueues.running():wrap(run, self, fn, ...)
end

function Group:wait()
  while self.running > 0 do
    self.over:wait()
  end
  return self.first
end

function Group:failed()
  return self.first ~= nil
end

function Group:park()
  while not self.first do
    self.stop:wait()
  end
end

local function park_all(n)
  local stop, over = condition.new(), condition.new()
  local running, waiting = n, 0
  local function task()
    waiting = waiting + 1
    stop:wait()
    running = running - 1
    if running == 0 then
      over:signal()
    end
  end
  local controller = cqueues.running()
  for _ = 1, n do
    controller:wrap(task)
  end
  while waiting < n do
    cqueues.sleep(0)
  end
  return function()
    stop:signal()
    while running > 0 do
      over:wait()
    end
  end
end

rows({
  parked_tasks = 100000, -- a tenth of what the row says: it slows down with their number
  now_ns = function() return os.clock() * 1e9 end,
  run = function(main)
    local controller = cqueues.new()
    controller:wrap(main)
    assert(controller:loop())
  end,
  group = new_group,
  yield = function() cqueues.sleep(0) end,
  park_all = park_all,
}, ...)
