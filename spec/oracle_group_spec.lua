-- SPDX-License-Identifier: MIT
-- Every step of 120 random programs over Go's x/sync/errgroup (oracle/group.jsonl). A task with an
-- even number fails by returning its error, one with an odd number by raising it.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local oracle = require "spec.support.oracle"

local expect = oracle.expect
local steps = oracle.steps()

function steps.before_all(replay)
  replay.groups, replay.tasks, replay.waits = {}, {}, {}
end

function steps.group(replay, op)
  if op.parent then
    replay.groups[op.id], replay.contexts[op.ctx] =
      errgroup.with_context(replay.contexts[op.parent])
  else
    replay.groups[op.id] = errgroup.new()
  end
  if op.n then
    replay.groups[op.id]:set_limit(op.n)
  end
end

--- A task that waits to be told to finish.
local function new_task(replay, id)
  local gate, open = ctx.with_cancel(ctx.background())
  local task = { open = open }
  replay.tasks[id] = task
  return function()
    task.started = true
    gate:wait()
    task.over = true
    if task.err and id % 2 == 1 then
      error(task.err)
    end
    return not task.err, task.err
  end, task
end

function steps.go(replay, op)
  local body, task = new_task(replay, op.id)
  ctx.go(function()
    task.went = replay.groups[op.group]:go(body)
  end)
end

function steps.after.go(replay, op)
  expect(true, replay.tasks[op.id].went, ("go of task %d"):format(op.id))
  expect(true, replay.tasks[op.id].started, ("task %d has started"):format(op.id))
end

function steps.try_go(replay, op)
  local went = replay.groups[op.group]:try_go((new_task(replay, op.id)))
  expect(op.want, went, ("try_go of task %d"):format(op.id))
end

function steps.after.try_go(replay, op)
  expect(op.want or nil, replay.tasks[op.id].started, ("task %d has started"):format(op.id))
end

function steps.finish(replay, op)
  local task = replay.tasks[op.id]
  task.err = op.err and errors.new(op.err)
  task.open()
end

function steps.after.finish(replay, op)
  expect(true, replay.tasks[op.id].over, ("task %d is over"):format(op.id))
end

function steps.wait(replay, op)
  local answer = {}
  replay.waits[op] = answer
  ctx.go(function()
    answer.ok, answer.err = replay.groups[op.id]:wait()
    answer.came = true
  end)
end

function steps.after.wait(replay, op)
  local answer = replay.waits[op]
  local name = ("wait of group %d"):format(op.id)
  expect(true, answer.came, name .. " is over")
  expect(op.want == "" or nil, answer.ok, name)
  expect(op.want, answer.err and tostring(answer.err) or "", name .. ": error")
end

--- What the trace left running, and what that leaves: nothing.
function steps.after_all(replay)
  for _, task in pairs(replay.tasks) do
    task.open()
  end
  for id, g in pairs(replay.groups) do
    steps.wait(replay, { id = id })
  end
  replay.clock:settle()
  for _, answer in pairs(replay.waits) do
    expect(true, answer.came, "the last wait is over")
  end
end

describe("every step of Go's own traces of groups gives Go's answer:", function()
  local traces = oracle.read("group")

  it("all 120 traces are here", function()
    assert.same({ 120, 6091, 696, 1125, 730, 696, 1667 },
      oracle.count(traces, "group", "go", "try_go", "wait", "finish"))
  end)

  oracle.each(it, traces, steps)
end)
