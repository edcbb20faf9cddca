-- SPDX-License-Identifier: MIT
-- Random programs over trees of contexts, against a model that knows no tricks (support/model.lua).
-- Contexts are asked at random only, since asking is what makes a lazy implementation look; some
-- are dropped on the way, held by nothing but what was derived from them. CTX_SEED=n repeats one.
local ctx = require "ctx"
local errors = require "ctx.errors"
local model = require "spec.support.model"
local random = require "spec.support.random"
local testing = require "ctx.testing"

local STEPS = 120
local KEYS = { "k1", "k2", "k3" }

local Run = {}
Run.__index = Run

--- `ties`: deadlines coincide often. Else each is at a time of its own, and there are `any`s: which
--- of two sources that end in the same instant comes first is not a promise.
local function new_run(seed, clock)
  local run = setmetatable({
    draw = random(seed), clock = clock, model = model.new(clock:now()),
    ties = seed % 2 == 0, contexts = {}, calls = {}, taken = {}, count = 0,
  }, Run)
  run:add(run.model:derive({}), ctx.background())
  run:add(run.model:derive({}), ctx.todo())
  return run
end

function Run:add(node, c, cancel)
  local number = #self.contexts + 1
  self.contexts[number] = { node = node, c = c, cancel = cancel, number = number }
end

--- An entry whose context is still held.
function Run:pick()
  while true do
    local entry = self.contexts[self.draw(#self.contexts)]
    if entry.c then
      return entry
    end
  end
end

function Run:some_cause()
  self.count = self.count + 1
  local kind = self.draw(3)
  return kind == 1 and "cause " .. self.count or kind == 2 and errors.new("an object") or nil
end

--- A deadline, mostly ahead.
function Run:some_time()
  if self.ties then
    return self.model.now + 10 * self.draw(10) - 20
  end
  local at
  repeat
    at = self.model.now + self.draw(100) - 10
  until not self.taken[at]
  self.taken[at] = true
  return at
end

local steps = {}

function steps.with_cancel(run)
  local parent = run:pick()
  run:add(run.model:derive({ parent.node }), ctx.with_cancel(parent.c))
end

function steps.with_deadline(run)
  local parent, at, cause = run:pick(), run:some_time(), run:some_cause()
  local node = run.model:derive({ parent.node }, at, cause)
  if run.draw(2) == 1 then
    run:add(node, ctx.with_deadline(parent.c, at, cause))
  else
    run:add(node, ctx.with_timeout(parent.c, at - run.clock:now(), cause))
  end
end

function steps.with_value(run)
  local parent, key = run:pick(), KEYS[run.draw(#KEYS)]
  local value = ({ run.count, false, nil })[run.draw(3)]
  run:add(run.model:with_value(parent.node, key, value), ctx.with_value(parent.c, key, value))
end

function steps.without_cancel(run)
  local parent = run:pick()
  run:add(run.model:without_cancel(parent.node), ctx.without_cancel(parent.c))
end

function steps.any(run)
  if run.ties then
    return
  end
  local nodes, sources = {}, {}
  for i = 1, run.draw(3) do
    local entry = run:pick()
    nodes[i], sources[i] = entry.node, entry.c
  end
  run:add(run.model:any(nodes), ctx.any(table.unpack(sources)))
end

function steps.cancel(run)
  local entry = run.contexts[run.draw(#run.contexts)]
  if entry.cancel then
    local cause = run:some_cause()
    run.model:cancel(entry.node, cause)
    entry.cancel(cause)
  end
end

function steps.after_func(run)
  local entry = run:pick()
  local call = { fn = run.model:after_func(entry.node), ran = 0, number = #run.calls + 1 }
  call.stop = ctx.after_func(entry.c, function() call.ran = call.ran + 1 end)
  run.calls[#run.calls + 1] = call
end

function steps.stop(run)
  local call = run.calls[run.draw(#run.calls + 1)]
  if call then
    assert.equal(run.model:stop(call.fn), call.stop(), "stop of function " .. call.number)
  end
end

function steps.advance(run)
  local ms = run.draw(20)
  run.model:advance(ms)
  run.clock:advance(ms)
end

--- Lets go of a context; of its cancel, too, or not. The roots stay.
function steps.drop(run)
  local entry = run:pick()
  if entry.number > 2 then
    entry.c = nil
    if run.draw(2) == 1 then
      entry.cancel = nil
    end
  end
end

function steps.collect()
  collectgarbage("step", 100)
end

local function compare(entry, clock)
  local node, c, name = entry.node, entry.c, "context " .. entry.number .. ": "
  local sentinel = node.err == "canceled" and ctx.canceled
    or node.err == "late" and ctx.deadline_exceeded or nil
  local cause = node.cause
  if cause == nil then
    cause = sentinel
  end
  local deadline = node.deadline < math.huge and node.deadline or nil
  local function same(want, got, what)
    if not rawequal(want, got) then
      error(("%s%s: want %s, got %s"):format(name, what, tostring(want), tostring(got)), 0)
    end
  end
  same(cause, c:cause(), "cause")
  same(sentinel, c:err(), "err")
  same(sentinel ~= nil, c:done(), "done")
  same(deadline, c:deadline(), "deadline")
  if not sentinel then
    same(node.deadline - clock:now(), c:remaining(), "remaining")
  end
  for _, key in ipairs(KEYS) do
    local known, value = model.lookup(node, key)
    if known then
      same(value, c:value(key), key)
    end
  end
end

function Run:observe(everything)
  for _, entry in ipairs(self.contexts) do
    if entry.c and (everything or self.draw(8) == 1) then
      compare(entry, self.clock)
    end
  end
  for _, call in ipairs(self.calls) do
    local want = call.fn.due and not call.fn.stopped and 1 or 0
    assert.equal(want, call.ran, "calls of function " .. call.number)
  end
end

-- The more often a name is listed, the more often it is played.
local mix = {
  "with_cancel", "with_cancel", "with_cancel", "with_deadline", "with_deadline", "with_deadline",
  "with_value", "without_cancel", "any", "any", "cancel", "cancel", "after_func", "after_func",
  "stop", "advance", "advance", "drop", "drop", "collect",
}

local function play(seed)
  local clock <close> = testing.clock()
  local run = new_run(seed, clock)
  for i = 1, STEPS do
    local name = mix[run.draw(#mix)]
    local ok, problem = pcall(function()
      steps[name](run)
      clock:settle()
      run:observe(i == STEPS)
    end)
    if i == STEPS // 2 then
      collectgarbage()
    end
    if not ok then
      error(("seed %d, step %d (%s): %s"):format(seed, i, name, tostring(problem)), 0)
    end
  end
  for _, entry in ipairs(run.contexts) do
    if entry.cancel then
      entry.cancel()
    end
  end
end

describe("random trees behave as the model says:", function()
  local wanted = math.tointeger(tonumber(os.getenv("CTX_SEED")))
  if wanted then
    it("seed " .. wanted, function() play(wanted) end)
    return
  end

  for first = 1, 200, 20 do
    it(("seeds %d to %d"):format(first, first + 19), function()
      for seed = first, first + 19 do
        play(seed)
      end
    end)
  end

  local fresh = os.time()
  it(("fresh seeds, from %d"):format(fresh), function()
    for seed = fresh, fresh + 9 do
      play(seed)
    end
  end)
end)
