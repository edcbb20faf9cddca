-- SPDX-License-Identifier: MIT
--- Replays what Go's own packages answered to random programs: one trace a line of a file in
--- spec/oracle/, {"seed": n, "ops": [...]}. Numbers in `id` start at 0; a node that lacks a field
--- had nothing there. Hours are far apart, so no deadline that lies ahead ever comes.
---
--- This is what all traces share; each spec adds the steps of its own package.
local cjson = require "cjson"
local ctx = require "ctx"
local errors = require "ctx.errors"
local testing = require "ctx.testing"

local oracle = {}

local HOUR = 3.6e6 -- ms
local KEYS = { "k0", "k1", "k2", "k3" }
local TOGETHER = 10 -- traces in one test

local sentinels = {
  [tostring(ctx.canceled)] = ctx.canceled,
  [tostring(ctx.deadline_exceeded)] = ctx.deadline_exceeded,
}

--- The traces of spec/oracle/<name>.jsonl.
function oracle.read(name)
  local folder = debug.getinfo(1, "S").source:match("^@(.*)support/oracle%.lua$")
  local traces = {}
  for line in io.lines(("%soracle/%s.jsonl"):format(folder, name)) do
    traces[#traces + 1] = cjson.decode(line)
  end
  return traces
end

--- Raises, unless both are the very same.
function oracle.expect(want, got, what)
  if not rawequal(want, got) then
    error(("%s: want %s, got %s"):format(what, tostring(want), tostring(got)), 0)
  end
end
local expect = oracle.expect

local function as_cause(text)
  return text and errors.new(text)
end

local function observe_node(replay, node)
  local c = replay.contexts[node.id]
  local name = ("context %d"):format(node.id)
  expect(sentinels[node.err], c:err(), name .. ": err")
  expect(node.err ~= nil, c:done(), name .. ": done")
  local cause = c:cause()
  if sentinels[node.cause] then
    expect(sentinels[node.cause], cause, name .. ": cause")
  else
    expect(node.cause, cause and tostring(cause), name .. ": cause")
  end
  local deadline = c:deadline()
  local hours = deadline and (deadline - replay.start) / HOUR
  expect(node.deadline_h, hours, name .. ": deadline in hours")
  for key, object in pairs(replay.keys) do
    expect(node.values and node.values[key], c:value(object), name .. ": value " .. key)
  end
end

local context_steps = {}

function context_steps.background(replay, op)
  replay.contexts[op.id] = ctx.background()
end

function context_steps.todo(replay, op)
  replay.contexts[op.id] = ctx.todo()
end

function context_steps.with_cancel(replay, op)
  replay.contexts[op.id], replay.cancels[op.id] = ctx.with_cancel(replay.contexts[op.parent])
end

function context_steps.with_deadline(replay, op)
  local at = replay.start + op.at_h * HOUR
  replay.contexts[op.id], replay.cancels[op.id] =
    ctx.with_deadline(replay.contexts[op.parent], at, as_cause(op.cause))
end

function context_steps.without_cancel(replay, op)
  replay.contexts[op.id] = ctx.without_cancel(replay.contexts[op.parent])
end

function context_steps.with_value(replay, op)
  local key = replay.keys[op.key]
  replay.contexts[op.id] = ctx.with_value(replay.contexts[op.parent], key, op.value)
end

function context_steps.cancel(replay, op)
  replay.cancels[op.id](as_cause(op.cause))
end

function context_steps.observe(replay, op)
  for _, node in ipairs(op.nodes) do
    observe_node(replay, node)
  end
end

--- A table of steps that knows those of contexts, to add others to. A step is called as
--- step(replay, op); step.after[op](replay, op), if there is one, when all that was ready has run.
function oracle.steps()
  return setmetatable({ after = {} }, { __index = context_steps })
end

--- Contexts and all else are found by the trace's own numbers.
local function new_replay(clock)
  local replay = { clock = clock, start = clock:now(), contexts = {}, cancels = {}, keys = {} }
  for _, name in ipairs(KEYS) do
    replay.keys[name] = ctx.key(name)
  end
  return replay
end

local function play_step(replay, steps, op)
  steps[op.op](replay, op)
  replay.clock:settle()
  if steps.after[op.op] then
    steps.after[op.op](replay, op)
  end
end

--- Plays one trace under a hand-moved clock. `steps.before_all` gets the replay before the first
--- step, `steps.after_all` when all contexts were cancelled in the end.
local function play(trace, steps)
  local clock <close> = testing.clock()
  clock:advance(24 * HOUR) -- so that no deadline of the trace lies before the clock's beginning
  local replay = new_replay(clock)
  steps.before_all(replay)
  for i, op in ipairs(trace.ops) do
    local ok, problem = pcall(play_step, replay, steps, op)
    if not ok then
      error(("seed %d, step %d (%s): %s"):format(trace.seed, i, op.op, tostring(problem)), 0)
    end
  end
  for _, cancel in pairs(replay.cancels) do
    cancel()
  end
  clock:settle()
  steps.after_all(replay)
end

--- Makes tests of the traces, several in each. To be called within a `describe`; `it` is its own.
function oracle.each(it, traces, steps)
  for first = 1, #traces, TOGETHER do
    local last = math.min(first + TOGETHER - 1, #traces)
    it(("seeds %d to %d"):format(traces[first].seed, traces[last].seed), function()
      for i = first, last do
        play(traces[i], steps)
      end
    end)
  end
end

--- How many traces, steps, and steps of each of the given kinds there are.
function oracle.count(traces, ...)
  local of, all = {}, 0
  for _, trace in ipairs(traces) do
    for _, op in ipairs(trace.ops) do
      all = all + 1
      of[op.op] = (of[op.op] or 0) + 1
    end
  end
  local counts = { #traces, all }
  for _, name in ipairs({ ... }) do
    counts[#counts + 1] = of[name] or 0
  end
  return counts
end

return oracle
