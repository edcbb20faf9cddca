-- SPDX-License-Identifier: MIT
-- W7 and W8: groups of tasks, of one and of ten.

local ctx = require "ctx"
local errors = require "ctx.errors"
local errgroup = require "ctx.errgroup"
local meter = require "bench.lua.meter"

local GROUP_TASKS = 10
-- The task that fails: neither the first to run nor the last.
local FAILING = 5

local task_failed = errors.new("the task failed")
local yield = coroutine.yield

local function must_be(want, got)
  if got ~= want then
    error("the group ended with " .. tostring(got))
  end
end

-- With <close>, as the documents write it, though the wait leaves nothing for it to do.
local function group_of_one(root)
  local function task()
    return true
  end
  meter.per_op("W7", 1000000, function(n)
    for _ = 1, n do
      local group <close> = errgroup.with_context(root)
      group:go(task)
      must_be(true, group:wait())
    end
  end)
end

-- Fails after its turn, or says whether its group has meanwhile.
local function yielding(gctx, i)
  yield()
  if i == FAILING then
    return nil, task_failed
  end
  local err = gctx:err()
  return not err, err
end

local function start_closures(group, gctx)
  for i = 1, GROUP_TASKS do
    group:go(function()
      yield()
      if i == FAILING then
        return nil, task_failed
      end
      local err = gctx:err()
      return not err, err
    end)
  end
end

local function start_with_arguments(group, gctx)
  for i = 1, GROUP_TASKS do
    group:go(yielding, gctx, i)
  end
end

-- The other tasks wait until the failure cancels them.
local function start_parked(group, gctx)
  for i = 1, GROUP_TASKS do
    group:go(function()
      yield()
      if i == FAILING then
        return nil, task_failed
      end
      return nil, gctx:wait()
    end)
  end
end

local function fan_out(name, start)
  return { name, function()
    ctx.run(function(root)
      meter.per_op(name, 200000, function(n)
        for _ = 1, n do
          local group <close>, gctx = errgroup.with_context(root)
          start(group, gctx)
          local _, err = group:wait()
          must_be(task_failed, err)
        end
      end)
    end)
  end }
end

return {
  { "W7", function() ctx.run(group_of_one) end },
  fan_out("W8.closures", start_closures),
  fan_out("W8.args", start_with_arguments),
  fan_out("W8b", start_parked),
}
