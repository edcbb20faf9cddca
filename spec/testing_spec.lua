-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local core = require "ctx.core"
local misuse = require "spec.support.misuse"
local reports = require "spec.support.reports"
local failure = require "spec.support.failed_run"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

describe("the hand-moved clock", function()
  it("stands still but for what moves it", function()
    local clock <close> = testing.clock()
    local now = ctx.now()
    for _ = 1, 1e5 do now = ctx.now() end
    assert.equal(clock:now(), now)
    assert.equal(0, clock:elapsed())
    clock:advance(2.5)
    assert.equal(2.5, clock:elapsed())
  end)

  it("jumps when every task is parked: a day takes no time", function()
    local began = uv.hrtime()
    testing.run(function(root, clock)
      ctx.sleep(root, 86400000)
      assert.equal(86400000, clock:elapsed())
    end)
    assert.is_true(uv.hrtime() - began < 30e9)
  end)

  it("stops at every deadline on the way", function()
    testing.run(function(root, clock)
      local times = {}
      for _, ms in ipairs({ 10, 20, 20, 35 }) do
        ctx.go(function()
          local c, cancel <close> = ctx.with_timeout(root, ms)
          c:wait()
          times[#times + 1] = clock:elapsed()
        end)
      end
      ctx.sleep(root, 100)
      assert.same({ 10, 20, 20, 35 }, times)
    end)
  end)

  it("does not jump while a task is ready", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      for _ = 1, 200 do coroutine.yield() end
      assert.is_nil(c:err())
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("advances from outside of tasks: all that is due runs, in order, at its time", function()
    local clock <close> = testing.clock()
    local seen = {}
    ctx.go(function()
      for _ = 1, 3 do
        ctx.sleep(background, 10)
        seen[#seen + 1] = clock:elapsed()
      end
    end)
    clock:advance(25)
    assert.same({ 10, 20 }, seen)
    assert.equal(25, clock:elapsed())
    clock:advance(25)
    assert.same({ 10, 20, 30 }, seen)
  end)

  it("advances within a task: that is a sleep", function()
    testing.run(function(root, clock)
      local other
      ctx.go(function()
        ctx.sleep(root, 10)
        other = clock:elapsed()
      end)
      clock:advance(20)
      assert.equal(10, other)
      assert.equal(20, clock:elapsed())
    end)
  end)

  it("settles: what is ready runs, and no time passes", function()
    local clock <close> = testing.clock()
    local ran = 0
    ctx.go(function()
      ran = ran + 1
      ctx.go(function() ran = ran + 1 end)
      ctx.sleep(background, 1)
      ran = 100
    end)
    clock:settle()
    assert.equal(2, ran)
    clock:advance(1)
    assert.equal(100, ran)
  end)

  it("gives way to the real one when closed; time goes on from there, and never back", function()
    local later
    do
      local clock <close> = testing.clock()
      clock:advance(1e6)
      later = ctx.now()
      clock:close()
      clock:close()
    end
    assert.is_true(ctx.now() >= later)
    assert.is_true(ctx.sleep(background, 0.1))
    assert.is_true(ctx.now() >= later + 0.1)
  end)

  it("refuses to be advanced once it is closed", function()
    local clock = testing.clock()
    clock:close()
    misuse.raises(function() clock:advance(10) end, "the clock is real")
  end)

  -- Cause: the time that never comes was waited for, for ever. Cure: it is refused.
  it("refuses to be advanced without end", function()
    local clock <close> = testing.clock()
    misuse.raises(function() clock:advance(math.huge) end, "would never get there")
    assert.is_true(ctx.go(function()
      misuse.raises(function() clock:advance(math.huge) end, "would never get there")
      return true
    end):wait())
    assert.equal(0, clock:elapsed())
  end)

  it("refuses an invalid time, and to be called with a dot", function()
    testing.run(function(_, clock)
      for _, ms in ipairs({ "5", 0 / 0, {} }) do
        misuse.raises(function() clock:advance(ms) end, "#1 to 'advance' (ms: a time in ms")
      end
      misuse.raises(function() clock.advance(5) end, "'advance'", "colon")
      misuse.raises(function() clock.settle() end, "'settle'", "colon")
      misuse.raises(function() clock.elapsed() end, "'elapsed'", "colon")
      assert.equal(0, clock:elapsed())
    end)
  end)

  -- Cause: closing an inner clock brought the real one back under the outer. Cure: the inner one is
  -- a second face of the outer.
  it("nests: within the scope of another it is the same clock", function()
    local outer <close> = testing.clock()
    outer:advance(10)
    do
      local inner <close> = testing.clock()
      inner:advance(5)
      assert.equal(5, inner:elapsed())
    end
    assert.equal(15, outer:elapsed())
    testing.run(function(root) ctx.sleep(root, 5) end)
    assert.equal(20, outer:elapsed())
  end)

  it("lets a task that says how long move time past I/O that does not come", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 50)
      local server = uv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(1, function() end)
      local task = ctx.go(ctx.await, c, function() return server end)
      clock:advance(100)
      local result, err = task:wait()
      assert.is_nil(result)
      assert.is_true(rawequal(ctx.deadline_exceeded, err))
      assert.is_true(server:is_closing())
    end)
  end)
end)

describe("real I/O under the hand-moved clock", function()
  it("comes while a task awaits it, and takes no time", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local stat = ctx.await(c, function(resolve)
        return uv.fs_stat(".", function(_, stat) resolve(stat) end)
      end)
      assert.equal("directory", stat.type)
      assert.equal(0, clock:elapsed())
    end)
  end)

  -- Both ends are in this process, and no task had become ready: time jumped past the answer.
  it("comes, and takes no time, where a luv callback answers within this process", function()
    testing.run(function(root)
      local listening, server = assert(uv.new_tcp()), assert(uv.new_tcp())
      assert(listening:bind("127.0.0.1", 0))
      assert(listening:listen(1, function()
        listening:accept(server)
        server:read_start(function(_, bytes)
          if bytes then
            server:try_write(bytes)
          end
        end)
      end))
      local client <close> =
        assert(require("ctx.uv").connect(root, "127.0.0.1", listening:getsockname().port))
      local c, cancel <close> = ctx.with_timeout(root, 1)
      local before = ctx.now()
      for _ = 1, 3 do
        assert(client:write(c, "x"))
        assert.equal("x", client:read(c))
      end
      assert.equal(before, ctx.now())
      server:close()
      listening:close()
    end)
  end)

  it("comes also to a task that waits on a context that a luv callback will end", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        cancel("rang")
      end)
      c:wait()
      assert.equal("rang", c:cause())
    end)
  end)
end)

describe("testing.run", function()
  it("refuses something that is not a function, and unknown options", function()
    local function never() error("called") end
    misuse.raises(function() testing.run(5) end, "#1 to 'run' (fn: a function expected, got 5)")
    misuse.raises(function() testing.run(never, { rael = true }) end, "#2 to 'run'", "rael")
    misuse.raises(function() testing.run(never, { name = 5 }) end, "options.name: a string")
  end)

  it("hands root, the clock, and back what the function returns", function()
    local results = table.pack(testing.run(function(root, clock)
      assert.is_nil(root:err())
      assert.equal(0, clock:elapsed())
      return nil, 2, nil
    end))
    assert.same({ nil, 2, nil, n = 3 }, results)
  end)

  it("raises what the function raises, objects by identity", function()
    local why = {}
    reports(function()
      local ok, err = pcall(testing.run, function() error(why) end)
      assert.is_false(ok)
      assert.is_true(rawequal(why, err))
    end)
    assert.matches("why", failure(function() error("why") end), 1, true)
  end)

  it("fails with every stack when nothing can happen any more", function()
    local message = failure(function()
      ctx.go(function() ctx.await(background, function() end) end)
      background:wait()
    end)
    assert.matches("all tasks are asleep", message, 1, true)
    assert.matches("task waiting in ctx.await, started at .*testing_spec%.lua:%d+", message)
    assert.matches("task waiting in c:wait", message, 1, true)
  end)

  it("leaves the state as it found it: clock, debug, report", function()
    local before, function_before = ctx.debug(), ctx.set_report()
    ctx.set_report(function_before)
    for _, fn in ipairs({ function() end, function() error("why") end }) do
      pcall(testing.run, fn)
      assert.equal(before, ctx.debug())
      assert.is_false(core.fake_clock(false))
      assert.is_true(rawequal(function_before, ctx.set_report(function_before)))
    end
  end)

  it("keeps the real clock if told so", function()
    testing.run(function(root, clock)
      local began = uv.hrtime()
      assert.is_true(ctx.sleep(root, 1))
      assert.is_true(uv.hrtime() - began >= 1e6)
      assert.is_true(clock:elapsed() >= 1)
    end, { real = true })
  end)

  it("within itself is refused as ctx.run is, and nothing is broken", function()
    testing.run(function(root, clock)
      local ok, err = pcall(testing.run, function() end)
      assert.is_false(ok)
      assert.matches("start a task with ctx.go", err, 1, true)
      assert.is_true(ctx.sleep(root, 10))
      assert.equal(10, clock:elapsed())
    end)
  end)
end)

describe("the leak check", function()
  it("passes what cleans up, and what was there before", function()
    local outer, cancel_outer = ctx.with_cancel(background)
    local timer = uv.new_timer()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local task = ctx.go(function() c:wait() end)
      local mine = uv.new_timer()
      mine:close()
      task:wait()
      assert.is_nil(outer:err())
    end)
    timer:close()
    cancel_outer()
  end)

  it("names the spec, a context that is held, and the line that made it", function()
    local kept, line
    local message = failure(function()
      line = debug.getinfo(1, "l").currentline + 1
      kept = { ctx.with_cancel(background) }
    end, { name = "the spec of a held context" })
    kept[2]()
    assert.matches("^the spec of a held context leaks 1 thing", message)
    assert.matches("never cancelled: ctx.background.with_cancel made at ", message, 1, true)
    assert.matches("testing_spec.lua:" .. line, message, 1, true)
  end)

  it("names the place of the spec when it has no name", function()
    local kept
    local fn = function() kept = { ctx.with_cancel(background) } end
    local line = debug.getinfo(fn, "S").linedefined
    local message = failure(fn)
    kept[2]()
    assert.matches("^[^\n]*testing_spec%.lua:" .. line .. " leaks 1 thing", message)
  end)

  it("names lost cancels and where they were made", function()
    local line
    local message = failure(function(root)
      line = debug.getinfo(1, "l").currentline + 1
      ctx.with_timeout(ctx.without_cancel(root), 1e9)
    end)
    assert.matches("1 lost cancel(s)", message, 1, true)
    assert.matches("testing_spec.lua:" .. line, message, 1, true)
  end)

  -- Cause: the line was that of the caller of C, which for most modules is one of their own. Cure:
  -- it is the nearest that is not the library's.
  it("names the program's line for what a module has made for it", function()
    local line
    local message = failure(function(root)
      line = debug.getinfo(1, "l").currentline + 1
      require("ctx.signal").notify(root, "sigusr1")
    end)
    assert.matches("made at [^\n]*testing_spec%.lua:" .. line .. "$", message)
  end)

  local function wait(c) c:wait() end
  for name, start in pairs({
    waitgroup = function(c) require("ctx.waitgroup").new():go(wait, c) end,
    errgroup = function(c) require("ctx.errgroup").collect(c, { wait }) end,
    singleflight = function(c) require("ctx.singleflight").new():call(c, "key", wait) end,
    pool = function(c)
      local p = require("ctx.pool").new(c, { workers = 1 }, wait)
      return p:submit(c, 1), p:drain()
    end,
  }) do
    it("names the program's line for a task that a module has started for it: " .. name, function()
      testing.run(function(root)
        local c, cancel <close> = ctx.with_cancel(root)
        local snapshot = testing.snapshot()
        ctx.go(start, c)
        ctx.sleep(root, 1)
        local info = debug.getinfo(start, "S")
        local started = table.concat(snapshot:leaks(), "\n")
          :match("waiting in c:wait, started at [^\n]*testing_spec%.lua:(%d+)\n")
        assert.is_true(tonumber(started) >= info.linedefined)
        assert.is_true(tonumber(started) <= info.lastlinedefined)
      end)
    end)
  end

  it("names a coroutine that still waits, and in what", function()
    local c, cancel = ctx.with_cancel(background)
    local message = failure(function()
      coroutine.wrap(function() c:wait() end)()
    end)
    cancel()
    ctx.run(function(root) ctx.sleep(root, 0) end)
    assert.matches("a coroutine waiting in c:wait", message, 1, true)
    assert.matches("testing_spec.lua", message, 1, true)
  end)

  it("names a task that waits, and the line that started it", function()
    local clock <close> = testing.clock()
    local before = ctx.debug()
    ctx.debug(true)
    local c, cancel = ctx.with_cancel(background)
    local snapshot = testing.snapshot()
    local line = debug.getinfo(1, "l").currentline + 1
    local task = ctx.go(function() c:wait() end)
    clock:settle()
    local ok, message = pcall(snapshot.check, snapshot, "the spec")
    cancel()
    clock:settle()
    ctx.debug(before)
    assert.equal("done", task:status())
    assert.is_false(ok)
    assert.matches("^the spec leaks 1 thing", message)
    assert.matches("a task waiting in c:wait, started at [^\n]*testing_spec%.lua:" .. line, message)
    assert.same({}, snapshot:leaks())
  end)

  -- Cause: tasks were told apart by their stacks, and a second one in the same line passed for the
  -- first. Cure: tasks have serial numbers.
  it("finds a second task where there was one like it before", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_cancel(background)
    local function waits() c:wait() end
    ctx.go(waits)
    clock:settle()
    local snapshot = testing.snapshot()
    assert.same({}, snapshot:leaks())
    ctx.go(waits)
    clock:settle()
    assert.equal(1, #snapshot:leaks())
    cancel()
    clock:settle()
  end)

  it("names an open luv handle", function()
    local timer
    local message = failure(function() timer = uv.new_timer() end)
    timer:close()
    assert.matches("an open luv handle: uv_timer_t", message, 1, true)
  end)

  it("lets an error of the spec go first", function()
    local kept
    local message = failure(function()
      kept = { ctx.with_cancel(background) }
      error("the spec itself")
    end)
    kept[2]()
    assert.matches("the spec itself", message, 1, true)
  end)
end)
