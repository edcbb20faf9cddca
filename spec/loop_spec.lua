-- SPDX-License-Identifier: MIT
-- Cause: each of the two dozen places that can make a coroutine ready told luv's loop so; one that
-- forgot left it asleep. Cure: a prepare handle looks in each turn. What alone must be told, that
-- the loop has to turn at all, is told by the run queue.
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local loop = require "ctx.loop"
local semaphore = require "ctx.semaphore"
local signal = require "ctx.signal"
local uv = require "luv"

local background = ctx.background()

local function close_all()
  uv.walk(function(handle)
    if not handle:is_closing() then handle:close() end
  end)
end

--- Starts fn(…) in a coroutine of its own.
local function start(fn, ...)
  local co = coroutine.create(fn)
  assert(coroutine.resume(co, ...))
  return co
end

--- Calls fn from a callback of luv's, which nothing else keeps the loop alive for.
local function in_callback(fn)
  local timer = uv.new_timer()
  timer:start(0, 0, function()
    timer:close()
    fn()
  end)
end

--- A handle that keeps the loop alive, and brings nothing for a minute: then `guard.rang`.
local function guarding()
  local timer, guard = uv.new_timer(), { rang = false }
  timer:start(60000, 0, function() guard.rang = true end)
  return setmetatable(guard, { __close = function()
    timer:close()
    uv.run("nowait")
  end })
end

before_each(function()
  uv.run()
  assert.is_false(uv.loop_alive())
end)

describe("uv.run(\"nowait\")", function()
  it("runs what is ready, and waits for nothing", function()
    local guard <close> = guarding()
    local list = {}
    ctx.go(function()
      list[#list + 1] = "first"
      coroutine.yield()
      list[#list + 1] = "second"
      ctx.sleep(background, 0)
      list[#list + 1] = "a turn later"
    end)
    uv.run("nowait")
    assert.same({ "first", "second" }, list)
    uv.run("nowait")
    assert.same({ "first", "second", "a turn later" }, list)
    assert.is_false(guard.rang)
  end)
end)

describe("uv.run(\"once\")", function()
  it("does not wait in a turn in which a coroutine ran", function()
    local guard <close> = guarding()
    local ran = false
    ctx.go(function() ran = true end)
    uv.run("once")
    assert.is_true(ran)
    assert.is_false(guard.rang)
  end)

  it("waits for the next deadline; the turn after it runs what that wakes", function()
    local guard <close> = guarding()
    local slept
    start(function() slept = ctx.sleep(background, 1) end)
    local turns = 0
    repeat
      uv.run("once")
      turns = turns + 1
    until slept or turns == 10
    assert.is_true(slept)
    assert.is_true(turns <= 3, turns .. " turns")
    assert.is_false(guard.rang)
  end)
end)

describe("uv.run()", function()
  it("goes on for what the last callback makes ready", function()
    local c, cancel = ctx.with_cancel(background)
    local list = {}
    start(function() list[1] = c:wait() end)
    ctx.after_func(c, function() list[2] = "after" end)
    in_callback(cancel)
    uv.run()
    assert.same({ ctx.canceled, "after" }, list)
    assert.is_false(uv.loop_alive())
  end)

  it("goes on for a deadline that the last callback sets, if somebody waits", function()
    local c, cancel = ctx.with_cancel(background)
    local err
    start(function() err = c:wait() end)
    in_callback(function()
      ctx.after_func(ctx.with_timeout(background, 1), cancel)
    end)
    uv.run()
    assert.equal(ctx.canceled, err)
  end)

  -- Cause: the timer still ran for a deadline that was given up, not keeping the loop alive, and a
  -- later deadline asked for no turn. Cure: it asks unless the timer keeps the loop alive.
  it("goes on for a deadline later than one that was given up", function()
    local c, cancel = ctx.with_cancel(background)
    local given_up, give_up = ctx.with_cancel(background)
    local err
    start(function() err = c:wait() end)
    start(function() ctx.sleep(given_up, 20) end)
    uv.run("nowait")
    give_up()
    uv.fs_stat("/", function() -- unlike a timer, called after the turn's prepare handles
      uv.fs_stat("/", function()
        ctx.after_func(ctx.with_timeout(background, 25), cancel)
      end)
    end)
    uv.run()
    local woken_with = err
    cancel()
    uv.run()
    assert.equal(ctx.canceled, woken_with)
  end)

  it("goes on for what was made ready since the loop ended", function()
    local c, cancel = ctx.with_cancel(background)
    local err
    start(function() err = c:wait() end)
    uv.run()
    assert.is_false(uv.loop_alive()) -- nothing in the loop can wake it
    cancel()
    assert.is_nil(err)
    assert.is_true(uv.loop_alive())
    uv.run()
    assert.equal(ctx.canceled, err)
  end)

  it("does not go on for what only pends", function()
    local c, cancel <close> = ctx.with_timeout(background, 60000)
    local stop = ctx.after_func(c, function() end)
    local either, cancel_either <close> = ctx.any(c, (ctx.with_timeout(background, 50000)))
    assert.is_false(uv.loop_alive())
    in_callback(function() assert.is_nil(either:err()) end)
    assert.is_false(uv.run())
    assert.is_true(stop())
    cancel()
    cancel_either()
  end)

  it("within a task runs no other task", function()
    local list = {}
    ctx.go(function()
      list[#list + 1] = "first begins"
      pcall(uv.run, "nowait") -- some versions of luv refuse to
      list[#list + 1] = "first ends"
    end)
    ctx.go(function() list[#list + 1] = "second" end)
    uv.run()
    assert.same({ "first begins", "first ends", "second" }, list)
  end)

  -- Cause: the prepare handle kept the loop alive, and runs no task within a task: luv waited for
  -- an event that could not come. Cure: then it does not keep the loop alive.
  for _, mode in ipairs { "once", "default" } do
    it("within a task does not wait for other tasks: " .. mode, function()
      local late, slept, guard = false, false, uv.new_timer()
      guard:start(500, 0, function()
        late = true
        uv.stop()
      end)
      guard:unref()
      ctx.go(function()
        slept = ctx.sleep(background, 1)
      end)
      ctx.go(function()
        pcall(uv.run, mode)
        if not late then guard:stop() end
      end)
      uv.run()
      guard:close()
      assert.is_false(late)
      assert.is_true(slept)
    end)
  end
end)

-- Cause: a turn that failed was to be tried again in the next one, but luv waited for an event.
-- Cure: the driver goes on at once; in a program's loop the timer rings soon.
describe("A turn that fails", function()
  local report
  --- A handle for which the first attempt to change it fails.
  local function failing()
    local calls = 0
    loop.wakers[{ is_closing = function()
      calls = calls + 1
      if calls == 1 then error("no memory", 0) end
      return true
    end }] = true
  end

  before_each(function()
    failing()
    report = ctx.set_report(function() end)
  end)

  after_each(function() ctx.set_report(report) end)

  it("is tried again soon in a loop that the program runs", function()
    local c, cancel = ctx.with_cancel(background)
    start(function() c:wait() end)
    local late = false
    local guard = uv.new_timer()
    guard:start(500, 0, function()
      late = true
      cancel()
    end)
    guard:unref()
    uv.run() -- ends by itself, since nothing can wake the coroutine
    guard:close()
    cancel()
    uv.run()
    assert.is_false(late)
  end)

  it("is tried again at once by ctx.run", function()
    local c, cancel = ctx.with_cancel(background)
    local guard = uv.new_timer()
    guard:start(500, 0, cancel)
    guard:unref()
    local ok, err = pcall(ctx.run, function() c:wait() end)
    guard:close()
    assert.is_false(ok)
    assert.matches("all tasks are asleep", tostring(err))
  end)
end)

describe("A program that closes the scheduler's prepare handle", function()
  it("has another one with the next wait, and both go on", function()
    local list = {}
    start(function()
      ctx.sleep(background, 1)
      list[#list + 1] = "first"
    end)
    loop.prepare:close()
    uv.run()
    assert.same({}, list)
    start(function()
      ctx.sleep(background, 2)
      list[#list + 1] = "second"
    end)
    uv.run()
    assert.same({ "first", "second" }, list)
  end)

  it("has another one with the next task", function()
    local ran = 0
    ctx.go(function() ran = ran + 1 end)
    loop.prepare:close()
    uv.run()
    ctx.go(function() ran = ran + 1 end)
    uv.run()
    assert.equal(2, ran)
  end)

  it("has another one with the next after-func", function()
    loop.prepare:close()
    uv.run()
    local ran = false
    ctx.after_func(ctx.with_timeout(background, 1), function() ran = true end)
    local guard <close> = guarding()
    repeat uv.run("once") until ran or guard.rang
    assert.is_true(ran)
  end)

  -- Each starts what waits, calls ran() at its end, and returns what makes that ready.
  local ways = {
    ["a cancel, for an after-func"] = function(ran)
      local c, cancel = ctx.with_cancel(background)
      ctx.after_func(c, ran)
      return cancel
    end,
    ["a cancel"] = function(ran)
      local c, cancel = ctx.with_cancel(background)
      start(function() c:wait() ran() end)
      return cancel
    end,
    ["a deadline that err finds"] = function(ran)
      local c = ctx.with_timeout(background, 1)
      start(function() c:wait() ran() end)
      return function() repeat until c:err() end
    end,
    ["a release"] = function(ran)
      local s = semaphore.new(1)
      s:try_acquire()
      start(function() s:acquire(background) ran() end)
      return function() s:release() end
    end,
    ["a larger size"] = function(ran)
      local s = semaphore.new(1)
      s:try_acquire()
      start(function() s:acquire(background) ran() end)
      return function() s:resize(2) end
    end,
    ["a value"] = function(ran)
      local ch = channel.new()
      start(function() ch:recv(background) ran() end)
      return function() ch:try_send(1) end
    end,
    ["the end of a channel"] = function(ran)
      local ch = channel.new()
      start(function() ch:recv(background) ran() end)
      return function() ch:close() end
    end,
    ["a resolve"] = function(ran)
      local resolve
      start(function() ctx.await(background, function(r) resolve = r end) ran() end)
      return function() resolve() end
    end,
  }

  for name, way in pairs(ways) do
    it("has another one with " .. name, function()
      local ended = false
      local wake = way(function() ended = true end)
      close_all()
      uv.run()
      wake()
      uv.run()
      assert.is_true(ended)
    end)
  end

  for what, close in pairs {
    ["its prepare handle"] = function() loop.prepare:close() end,
    ["its timer"] = function() loop.timer:close() end,
    ["all handles"] = close_all,
  } do
    it("within ctx.run, which goes on: " .. what .. ", in a task", function()
      assert.is_true(ctx.run(function(root)
        local other = ctx.go(ctx.sleep, root, 2)
        ctx.sleep(root, 0)
        close()
        return ctx.sleep(root, 1) and other:wait()
      end))
    end)

    it("within ctx.run, which goes on: " .. what .. ", in a callback", function()
      in_callback(function() close() end)
      assert.is_true(ctx.run(function(root)
        local other = ctx.go(ctx.sleep, root, 2)
        return ctx.sleep(root, 1) and other:wait()
      end))
    end)
  end

  -- Cause: with new handles C forgot that those of signals keep the loop alive, and never told them
  -- to stop. Cure: it keeps in mind that they do.
  it("is not kept by signals when no coroutine waits any more", function()
    local c, cancel = ctx.with_cancel(background)
    local _, stop <close> = signal.notify(background, "sigusr1")
    start(function() c:wait() end)
    uv.run("nowait")
    in_callback(function()
      loop.prepare:close()
      cancel()
      ctx.go(function() end)
    end)
    local late = false
    local guard = uv.new_timer()
    guard:start(500, 0, function()
      late = true
      uv.stop()
    end)
    guard:unref()
    uv.run()
    guard:close()
    assert.is_false(late)
  end)

  it("leaves nothing that waits", function()
    assert.equal(0, core.counters().parked)
  end)
end)
