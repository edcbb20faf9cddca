-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local mutex = require "ctx.mutex"
local randoms = require "spec.support.random"
local testing = require "ctx.testing"

local raises = misuse.raises

--- Starts a task that locks m with c, notes its name in `log`, works for `ms` and unlocks.
local function worker(m, c, log, name, ms)
  return ctx.go(function()
    local held <close>, err = m:hold(c)
    if not held then
      return nil, err
    end
    log[#log + 1] = name
    ctx.sleep(ctx.background(), ms or 0)
    return true
  end)
end

describe("a mutex", function()
  it("keeps together what waits would tear apart", function()
    testing.run(function(root)
      local m, balance, tasks = mutex.new(), 0, {}
      for i = 1, 10 do
        tasks[i] = ctx.go(function()
          assert(m:lock(root))
          local seen = balance
          ctx.sleep(root, 1)
          balance = seen + 1
          m:unlock()
        end)
      end
      for _, task in ipairs(tasks) do
        task:wait()
      end
      assert.equal(10, balance)
    end)
  end)

  it("is handed over first come first served, and nobody comes between", function()
    testing.run(function(root)
      local m, log, tasks = mutex.new(), {}, {}
      assert.is_true(m:lock(root))
      for i = 1, 3 do
        tasks[i] = worker(m, root, log, i)
      end
      ctx.sleep(root, 1)
      m:unlock()
      assert.is_false(m:try_lock()) -- it is the first one's already
      tasks[4] = worker(m, root, log, 4)
      for _, task in ipairs(tasks) do
        assert.is_true(task:wait())
      end
      assert.same({ 1, 2, 3, 4 }, log)
      assert.is_true(m:try_lock())
    end)
  end)

  it("is tried without waiting", function()
    local m = mutex.new()
    assert.is_true(m:try_lock())
    assert.is_false(m:try_lock())
    m:unlock()
    assert.is_true(m:try_lock())
  end)

  it("may be unlocked by another task than locked it", function()
    testing.run(function(root)
      local m = mutex.new()
      m:lock(root)
      ctx.go(m.unlock, m):wait()
      assert.is_true(m:try_lock())
    end)
  end)
end)

describe("the wait for a mutex", function()
  it("does not begin on a context that is done, even if it is free", function()
    testing.run(function(root)
      local m = mutex.new()
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      local ok, err = m:lock(c)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, "why"))
      assert.is_nil((m:hold(c)))
      assert.is_true(m:try_lock())
    end)
  end)

  it("ends with its context, and others keep their places", function()
    testing.run(function(root, clock)
      local m, log = mutex.new(), {}
      m:lock(root)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local first, second = worker(m, c, log, "first"), worker(m, root, log, "second")
      local ok, err = first:wait()
      assert.is_nil(ok)
      assert.equal(ctx.deadline_exceeded, err)
      assert.equal(10, clock:elapsed())
      m:unlock()
      assert.is_true(second:wait())
      assert.same({ "second" }, log)
    end)
  end)

  it("passes the lock on that comes in the turn of the cancel", function()
    testing.run(function(root)
      local m, log = mutex.new(), {}
      m:lock(root)
      local c, cancel = ctx.with_cancel(root)
      local first, second = worker(m, c, log, "first"), worker(m, root, log, "second")
      ctx.sleep(root, 1)
      m:unlock()
      cancel()
      assert.is_nil((first:wait()))
      assert.is_true(second:wait())
      assert.same({ "second" }, log)
      assert.is_true(m:try_lock())
    end)
  end)

  it("and from one that is cancelled to one that is cancelled, until it is free", function()
    testing.run(function(root)
      local m, log, tasks = mutex.new(), {}, {}
      m:lock(root)
      local c, cancel = ctx.with_cancel(root)
      for i = 1, 3 do
        tasks[i] = worker(m, c, log, i)
      end
      ctx.sleep(root, 1)
      cancel()
      m:unlock()
      assert.is_true(m:try_lock()) -- nobody waits any more, though none of them has run yet
      m:unlock()
      for _, task in ipairs(tasks) do
        assert.is_nil((task:wait()))
      end
      assert.same({}, log)
    end)
  end)

  it("leaves no lock with a coroutine that its owner closes", function()
    testing.run(function(root)
      local m, log = mutex.new(), {}
      m:lock(root)
      local function wait() m:lock(root) end
      local parked, handed = coroutine.create(wait), coroutine.create(wait)
      coroutine.resume(parked)
      coroutine.resume(handed)
      local last = worker(m, root, log, "last")
      ctx.sleep(root, 1)
      coroutine.close(parked)
      m:unlock() -- to `handed`, which has not run on yet
      coroutine.close(handed)
      assert.is_true(last:wait())
      assert.same({ "last" }, log)
      assert.is_true(m:try_lock())
    end)
  end)

  it("raises where nothing can wait, at the caller's line, and leaves its place", function()
    testing.run(function(root)
      local m = mutex.new()
      m:lock(root)
      raises(function()
        table.sort({ 1, 2 }, function() m:lock(root) end)
      end, "mutex:lock: cannot wait here")
      raises(function()
        table.sort({ 1, 2 }, function() m:hold(root) end)
      end, "mutex:hold: cannot wait here")
      m:unlock()
      assert.is_true(m:try_lock())
    end)
  end)

  it("on the main thread runs the loop", function()
    local clock <close> = testing.clock()
    local m = mutex.new()
    m:lock(ctx.background())
    ctx.go(function()
      ctx.sleep(ctx.background(), 20)
      m:unlock()
    end)
    assert.is_true(m:lock(ctx.background()))
    assert.equal(20, clock:elapsed())
  end)

  it("that nothing can end is a dead end, and named", function()
    local ok, err = pcall(testing.run, function(root)
      local m = mutex.new()
      m:lock(root)
      m:lock(root)
    end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("asleep", 1, true))
    assert.truthy(tostring(err):find("waiting in mutex:lock", 1, true))
  end)
end)

describe("a lock that is held for a scope", function()
  it("is unlocked on every way out", function()
    testing.run(function(root)
      local m = mutex.new()
      local function leave(how)
        local scope <close> = assert(m:hold(root))
        if how == "error" then
          error("oops")
        end
        return how
      end
      assert.equal("return", leave("return"))
      assert.is_true(m:try_lock())
      m:unlock()
      assert.is_false(pcall(leave, "error"))
      assert.is_true(m:try_lock())
    end)
  end)

  it("may be unlocked early, once", function()
    testing.run(function(root)
      local m = mutex.new()
      do
        local held <close> = m:hold(root)
        held:unlock()
        assert.is_true(m:try_lock())
        held:unlock()
      end
      assert.is_false(m:try_lock())
    end)
  end)
end)

describe("a mutex raises", function()
  it("when it is unlocked and was not locked", function()
    local m = mutex.new()
    raises(function() m:unlock() end, "mutex:unlock", "not locked")
    m:try_lock()
    m:unlock()
    raises(function() m:unlock() end, "mutex:unlock", "not locked")
  end)

  it("at arguments that make no sense", function()
    local m = mutex.new()
    for _, c in ipairs({ 5, "c", {}, m }) do
      raises(function() m:lock(c) end, "#1", "'lock'")
      raises(function() m:hold(c) end, "#1", "'hold'")
    end
    raises(function() m:lock() end, "#1", "'lock'")
    raises(function() m.lock({}, ctx.background()) end, "'lock'", "colon")
    raises(function() m.hold({}, ctx.background()) end, "'hold'", "colon")
    raises(function() m.try_lock() end, "'try_lock'", "colon")
    raises(function() m.unlock() end, "'unlock'", "colon")
    assert.is_true(m:try_lock())
  end)
end)

-- -- Against a model ------------------------------------------------------------------------------

--- The simplest mutex: its holder, and a list of waiters. `grants` are the waiters that got it, in
--- the order in which they run.
local Model = {}
Model.__index = Model

function Model:lock(waiter)
  if self.holder then
    self.waiting[#self.waiting + 1] = waiter
  else
    self.holder = waiter
  end
end

function Model:next()
  self.holder = table.remove(self.waiting, 1)
end

--- Names in the list whose context is `which` leave; one that has been handed the lock and has not
--- run yet passes it on.
function Model:cancel(which)
  for i = #self.waiting, 1, -1 do
    if self.waiting[i].which == which then
      table.remove(self.waiting, i)
    end
  end
  while self.holder and self.holder.fresh and self.holder.which == which do
    self:next()
  end
end

--- One run: locks with one of a few contexts, unlocks, cancels, turns, at random.
local function play(root, next_random)
  local m, model, log, expected = mutex.new(), setmetatable({ waiting = {} }, Model), {}, {}
  local contexts, cancels, tasks = {}, {}, {}
  for i = 1, 4 do
    contexts[i], cancels[i] = ctx.with_cancel(root)
  end
  local function settle()
    ctx.sleep(root, 1)
    if model.holder and model.holder.fresh then
      model.holder.fresh = false
      expected[#expected + 1] = model.holder.name
    end
    assert.same(expected, log)
  end
  local function lock(which, step)
    tasks[#tasks + 1] = ctx.go(function()
      if m:lock(contexts[which]) then
        log[#log + 1] = step
      end
    end)
    model:lock { name = step, which = which, fresh = true }
    settle()
  end
  for step = 1, 60 do
    local which, action = next_random(4), next_random(6)
    if action <= 3 and not contexts[which]:err() then
      lock(which, step)
    elseif action == 4 and model.holder and not model.holder.fresh then
      m:unlock()
      model:next()
    elseif action == 5 and next_random(3) == 1 then
      cancels[which]()
      model:cancel(which)
    else
      settle()
    end
  end
  for i = 1, 4 do
    cancels[i]()
    model:cancel(i)
  end
  settle()
  for _, task in ipairs(tasks) do
    task:wait()
  end
  assert.equal(model.holder == nil, m:try_lock())
end

describe("random locking does what a list would,", function()
  for run = 1, 40 do
    local seed = 1000 + run
    it("seed " .. seed, function()
      testing.run(function(root)
        play(root, randoms(seed))
      end)
    end)
  end
end)
