-- SPDX-License-Identifier: MIT
-- The rows about tasks, by Tarantool's fibers. They have a join and a cancel each, and no groups.

local clock = require "clock"
local fiber = require "fiber"
local rows = require "bench.peers.lua.rows"

local Group = {}
Group.__index = Group

local function new_group()
  return setmetatable({ fibers = {} }, Group)
end

local function finish(group, ok, err)
  if not ok and not group.first then
    group.first = err
    for _, sibling in ipairs(group.fibers) do
      if sibling:status() ~= "dead" and sibling ~= fiber.self() then
        sibling:cancel()
      end
    end
  end
end

local function run(group, fn, ...)
  finish(group, fn(...))
end

function Group:go(fn, ...)
  local new = fiber.new(run, self, fn, ...)
  new:set_joinable(true)
  self.fibers[#self.fibers + 1] = new
end

function Group:wait()
  for _, task in ipairs(self.fibers) do
    task:join()
  end
  return self.first
end

function Group:failed()
  return self.first ~= nil
end

-- Until the cancel, which raises here and ends the fiber.
function Group:park()
  fiber.sleep(1000)
end

local function park_all(n)
  local stop = fiber.cond()
  local fibers, waiting = {}, 0
  local function task()
    waiting = waiting + 1
    stop:wait()
  end
  for i = 1, n do
    fibers[i] = fiber.new(task)
    fibers[i]:set_joinable(true)
  end
  while waiting < n do
    fiber.yield()
  end
  return function()
    stop:broadcast()
    for _, parked in ipairs(fibers) do
      parked:join()
    end
  end
end

rows({
  parked_tasks = 10000, -- each fiber maps a stack, and Linux ends a process with too many maps
  now_ns = function() return tonumber(clock.proc64()) end,
  run = function(main) main() end,
  group = new_group,
  yield = fiber.yield,
  park_all = park_all,
}, ...)
os.exit(0) -- the database that it is would go on
