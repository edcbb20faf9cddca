-- SPDX-License-Identifier: MIT
-- Every step of 200 random programs over Go's package context (oracle/context.jsonl).
local ctx = require "ctx"
local oracle = require "spec.support.oracle"

local expect = oracle.expect
local steps = oracle.steps()

function steps.before_all(replay)
  replay.stops, replay.ran = {}, {}
end

function steps.after_func(replay, op)
  replay.stops[op.id] = ctx.after_func(replay.contexts[op.ctx], function()
    replay.ran[op.id] = (replay.ran[op.id] or 0) + 1
  end)
end

function steps.stop(replay, op)
  expect(op.want, replay.stops[op.id](), ("stop of function %d"):format(op.id))
end

function steps.after.observe(replay, op)
  local want = {}
  for _, id in ipairs(op.ran or {}) do
    want[id] = 1
  end
  for id in pairs(replay.stops) do
    expect(want[id], replay.ran[id], ("calls of function %d"):format(id))
  end
end

function steps.after_all() end

describe("every step of Go's own traces of contexts gives Go's answer:", function()
  local traces = oracle.read("context")

  it("all 200 traces are here", function()
    local observed = 0
    for _, trace in ipairs(traces) do
      for _, op in ipairs(trace.ops) do
        observed = observed + (op.nodes and #op.nodes or 0)
      end
    end
    assert.same({ 200, 11862 }, oracle.count(traces))
    assert.equal(41068, observed)
  end)

  oracle.each(it, traces, steps)
end)
