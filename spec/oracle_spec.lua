-- SPDX-License-Identifier: MIT
-- Replays what Go's package context answered to 200 random programs (oracle/context.jsonl), one
-- JSON object a line: {"seed": n, "ops": [...]}. Numbers in `id` start at 0; a node that lacks a
-- field had nothing there. Hours are far apart, so no deadline that lies ahead ever comes.
local cjson = require "cjson"
local ctx = require "ctx"
local errors = require "ctx.errors"
local testing = require "ctx.testing"

local HOUR = 3.6e6 -- ms
local KEYS = { "k0", "k1", "k2", "k3" }

local sentinels = {
  [tostring(ctx.canceled)] = ctx.canceled,
  [tostring(ctx.deadline_exceeded)] = ctx.deadline_exceeded,
}

local function read_traces()
  local folder = debug.getinfo(1, "S").source:match("^@(.*)oracle_spec%.lua$")
  local traces = {}
  for line in io.lines(folder .. "oracle/context.jsonl") do
    traces[#traces + 1] = cjson.decode(line)
  end
  return traces
end

--- The state of one replay. Contexts and functions are found by the trace's own numbers.
local function new_replay(clock)
  local replay = {
    clock = clock, start = clock:now(), contexts = {}, cancels = {}, stops = {}, ran = {},
    keys = {},
  }
  for _, name in ipairs(KEYS) do
    replay.keys[name] = ctx.key(name)
  end
  return replay
end

local function expect(want, got, what)
  if not rawequal(want, got) then
    error(("%s: want %s, got %s"):format(what, tostring(want), tostring(got)), 0)
  end
end

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

local steps = {}

function steps.background(replay, op)
  replay.contexts[op.id] = ctx.background()
end

function steps.todo(replay, op)
  replay.contexts[op.id] = ctx.todo()
end

function steps.with_cancel(replay, op)
  replay.contexts[op.id], replay.cancels[op.id] = ctx.with_cancel(replay.contexts[op.parent])
end

function steps.with_deadline(replay, op)
  local at = replay.start + op.at_h * HOUR
  replay.contexts[op.id], replay.cancels[op.id] =
    ctx.with_deadline(replay.contexts[op.parent], at, as_cause(op.cause))
end

function steps.without_cancel(replay, op)
  replay.contexts[op.id] = ctx.without_cancel(replay.contexts[op.parent])
end

function steps.with_value(replay, op)
  local key = replay.keys[op.key]
  replay.contexts[op.id] = ctx.with_value(replay.contexts[op.parent], key, op.value)
end

function steps.cancel(replay, op)
  replay.cancels[op.id](as_cause(op.cause))
end

function steps.after_func(replay, op)
  replay.stops[op.id] = ctx.after_func(replay.contexts[op.ctx], function()
    replay.ran[op.id] = (replay.ran[op.id] or 0) + 1
  end)
end

function steps.stop(replay, op)
  expect(op.want, replay.stops[op.id](), ("stop of function %d"):format(op.id))
end

function steps.observe(replay, op)
  for _, node in ipairs(op.nodes) do
    observe_node(replay, node)
  end
  local want = {}
  for _, id in ipairs(op.ran or {}) do
    want[id] = 1
  end
  for id in pairs(replay.stops) do
    expect(want[id], replay.ran[id], ("calls of function %d"):format(id))
  end
end

local function play(trace)
  local clock <close> = testing.clock()
  clock:advance(24 * HOUR) -- so that no deadline of the trace lies before the clock's beginning
  local replay = new_replay(clock)
  for i, op in ipairs(trace.ops) do
    local ok, problem = pcall(steps[op.op], replay, op)
    if not ok then
      error(("seed %d, step %d (%s): %s"):format(trace.seed, i, op.op, tostring(problem)), 0)
    end
    clock:settle()
  end
  for _, cancel in pairs(replay.cancels) do
    cancel()
  end
  clock:settle()
end

describe("every step of Go's own traces gives Go's answer:", function()
  local traces = read_traces()

  it("all 200 traces are here", function()
    local count, observed = 0, 0
    for _, trace in ipairs(traces) do
      count = count + #trace.ops
      for _, op in ipairs(trace.ops) do
        observed = observed + (op.nodes and #op.nodes or 0)
      end
    end
    assert.same({ 200, 11862, 41068 }, { #traces, count, observed })
  end)

  for first = 1, #traces, 10 do
    local last = math.min(first + 9, #traces)
    it(("seeds %d to %d"):format(traces[first].seed, traces[last].seed), function()
      for i = first, last do
        play(traces[i])
      end
    end)
  end
end)
