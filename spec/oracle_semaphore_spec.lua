-- SPDX-License-Identifier: MIT
-- Every step of 60 random programs over Go's x/sync/semaphore (oracle/semaphore.jsonl). One thing
-- is not as in Go: to acquire more than the size with a context that can never be done raises,
-- where Go waits for ever.
local ctx = require "ctx"
local errors = require "ctx.errors"
local oracle = require "spec.support.oracle"
local semaphore = require "ctx.semaphore"

local expect = oracle.expect
local steps = oracle.steps()

function steps.before_all(replay)
  replay.acquires = {}
end

function steps.semaphore(replay, op)
  replay.semaphore, replay.size = semaphore.new(op.n), op.n
end

--- In the trace a request that we refuse waits for ever.
local function refuse(replay, op, c)
  local ok, message = pcall(replay.semaphore.acquire, replay.semaphore, c, op.n)
  expect(false, ok, "more than the size, without end")
  expect(true, message:find("wait for ever", 1, true) ~= nil, message)
end

function steps.acquire(replay, op)
  local c = replay.contexts[op.ctx]
  local acquire = { n = op.n, state = "waiting" }
  replay.acquires[op.id] = acquire
  if op.n > replay.size and rawequal(c, ctx.background()) then
    return refuse(replay, op, c)
  end
  ctx.go(function()
    local ok, err = replay.semaphore:acquire(c, op.n)
    acquire.state, acquire.err = ok and "held" or "failed", err
  end)
end

function steps.try_acquire(replay, op)
  local went = replay.semaphore:try_acquire(op.n)
  expect(op.want, went, "try_acquire")
  if op.id then
    replay.acquires[op.id] = { n = op.n, state = went and "held" or "failed" }
  end
end

local function release(replay, acquire)
  replay.semaphore:release(acquire.n)
  acquire.state = "released"
end

function steps.release(replay, op)
  release(replay, replay.acquires[op.id])
end

local function compare(replay, op)
  local held = 0
  for _, grant in ipairs(op.grants or {}) do
    local name = ("acquire %d"):format(grant.id)
    local acquire = replay.acquires[grant.id]
    expect(grant.state, acquire.state, name)
    expect(grant.err, acquire.err and tostring(acquire.err), name .. ": error")
    expect(grant.err ~= nil, errors.is(acquire.err, ctx.canceled), name .. ": canceled")
    held = held + (grant.state == "held" and acquire.n or 0)
  end
  if op.grants then
    expect(held, (replay.semaphore:held()), "units held")
  end
end

steps.after.acquire, steps.after.release, steps.after.cancel = compare, compare, compare

--- Gives back what the trace left: one that still waits gets it and gives it back, too.
function steps.after_all(replay)
  local released
  repeat
    released = false
    for _, acquire in pairs(replay.acquires) do
      if acquire.state == "held" then
        release(replay, acquire)
        released = true
      end
    end
    replay.clock:settle()
  until not released
  expect(0, (replay.semaphore:held()), "units held in the end")
end

describe("every step of Go's own traces of semaphores gives Go's answer:", function()
  local traces = oracle.read("semaphore")

  it("all 60 traces are here", function()
    assert.same({ 60, 2116, 639, 229, 378, 237 },
      oracle.count(traces, "acquire", "try_acquire", "release", "cancel"))
  end)

  oracle.each(it, traces, steps)
end)
