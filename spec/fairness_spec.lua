-- SPDX-License-Identifier: MIT
-- Cause: the loop got its turn after so many rounds of the run queue, and a round has no bound in
-- time. One task that computed and slept for no time kept sockets, signals and luv's timers
-- waiting for a second; a loop that did not look at what its wait returned, for ever. Cure: the
-- loop has its turn a millisecond after the last one; a sleep of no time goes on after a turn; so
-- does a loop that asks a context that has ended again and again.
local breaker = require "ctx.breaker"
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local ctx_uv = require "ctx.uv"
local places = require "spec.support.places"
local pool = require "ctx.pool"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

--- Counts the turns of the loop while fn(turns) runs, turns[1] being how many there were. A handle
--- keeps the loop alive: without any there would be nothing to have a turn.
local function counting(fn)
  local turns, check = { 0 }, uv.new_check()
  check:start(function() turns[1] = turns[1] + 1 end)
  local ok, err = pcall(fn, turns)
  check:close()
  if not ok then
    error(err, 0)
  end
  return turns[1]
end

--- Computes until the coarse clock has moved, and so for a few milliseconds.
local function compute()
  local c <const>, cancel = ctx.with_timeout(background, 2)
  while not c:err() do end
  cancel()
end

describe("ctx.sleep(c, 0)", function()
  for name, run in pairs(places) do
    it("goes on after a turn of the loop, in " .. name, function()
      local before, after
      counting(function(turns)
        run(function()
          before = turns[1]
          for _ = 1, 50 do
            assert.is_true(ctx.sleep(background, 0))
          end
          after = turns[1]
        end)
      end)
      -- The first may go on in the turn that had begun.
      assert.is_true(after - before >= 49, after - before .. " turns")
    end)
  end

  it("lets all others that are ready go first, in order", function()
    local order = {}
    ctx.run(function(root)
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = ctx.go(function()
          order[#order + 1] = i
          ctx.sleep(root, 0)
          order[#order + 1] = i
        end)
      end
      for i = 1, 3 do tasks[i]:wait() end
    end)
    assert.same({ 1, 2, 3, 1, 2, 3 }, order)
  end)

  it("ends with its context", function()
    local c, cancel = ctx.with_cancel(background)
    local ok, err
    ctx.run(function()
      local task = ctx.go(function() ok, err = ctx.sleep(c, 0) end)
      coroutine.yield()
      cancel("enough")
      task:wait()
    end)
    assert.is_nil(ok)
    assert.equal("context canceled: enough", tostring(err))
  end)

  it("of a coroutine that its owner closes is forgotten", function()
    local co = coroutine.create(function() ctx.sleep(background, 0) end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    ctx.run(function(root) ctx.sleep(root, 0) end)
    assert.equal(0, core.counters().parked)
  end)
end)

describe("coroutine.yield() in a task", function()
  it("goes behind what is ready, and needs no turn of the loop", function()
    local n = counting(function()
      ctx.run(function()
        for _ = 1, 2000 do coroutine.yield() end
      end)
    end)
    assert.is_true(n < 1000, n .. " turns")
  end)

  it("gives the loop its turn when time has passed, and the queue keeps its order", function()
    local order = {}
    local n = counting(function()
      ctx.run(function()
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = ctx.go(function()
            for _ = 1, 3 do
              order[#order + 1] = i
              compute()
              coroutine.yield()
            end
          end)
        end
        for i = 1, 3 do tasks[i]:wait() end
      end)
    end)
    assert.same({ 1, 2, 3, 1, 2, 3, 1, 2, 3 }, order)
    assert.is_true(n >= 8, n .. " turns for 9 slices")
  end)

  it("does so by the hand-moved clock, and after some rounds while that stands still", function()
    local _ <close> = testing.clock()
    local function turns_of(ms)
      return counting(function()
        ctx.run(function()
          local tasks = {}
          for i = 1, 5 do
            tasks[i] = ctx.go(function()
              for _ = 1, 640 do
                core.advance(ms)
                coroutine.yield()
              end
            end)
          end
          for i = 1, 5 do tasks[i]:wait() end
        end)
      end)
    end
    local still, moving = turns_of(0), turns_of(1)
    assert.is_true(still >= 10 and still < 20, still .. " turns in 640 rounds")
    assert.is_true(moving >= 3200, moving .. " turns for 3200 slices of 1 ms")
  end)
end)

describe("waits on the main thread that are over at once", function()
  for _, fake in ipairs { false, true } do
    it("let the loop turn, by the " .. (fake and "hand-moved clock" or "real one"), function()
      local _ <close> = fake and testing.clock() or nil
      local there, back = channel.new(0), channel.new(0)
      local c, cancel = ctx.with_cancel(background)
      ctx.go(function()
        while there:recv(c) and back:send(c, 1) do end
      end)
      local rounds = 0
      counting(function(turns)
        while turns[1] < 3 and rounds < 1e6 do
          rounds = rounds + 1
          there:send(c, 1)
          back:recv(c)
        end
      end)
      cancel()
      assert.is_true(rounds < 1e6)
      ctx.sleep(background, 0)
    end)
  end
end)

describe("A loop that goes on though its context has ended", function()
  --- What is asked, and how; each is over at once.
  local waits = {
    ["ctx.sleep"] = function(c) return ctx.sleep(c, 100) end,
    ["c:wait"] = function(c) return nil, c:wait() end,
    ["ctx.await"] = function(c) return ctx.await(c, function() end) end,
    ["channel:recv"] = function(c) return channel.new():recv(c) end,
    ["c:ended"] = function(c) return nil, c:ended() end,
  }

  for name, wait in pairs(waits) do
    for place, run in pairs(places) do
      it(("lets others run: %s in %s"):format(name, place), function()
        local c, cancel = ctx.with_cancel(background)
        cancel()
        local sent = reports(function()
          local asked, turned = 0, 0
          counting(function(turns)
            local others = 0
            ctx.go(function()
              for _ = 1, 3 do
                others = others + 1
                ctx.sleep(background, 0)
              end
            end)
            run(function()
              while (others < 3 or turns[1] < 3) and asked < 2000 do
                asked = asked + 1
                local ok, err = wait(c)
                assert(ok == nil and rawequal(err, ctx.canceled))
              end
            end)
            turned = turns[1]
          end)
          assert.is_true(asked < 2000, asked .. " times")
          assert.is_true(turned >= 3)
        end)
        assert.equal(1, #sent)
        assert.equal("ended_context", sent[1].kind)
        assert.matches("fairness_spec%.lua:%d+: asked what has ended .* 100 times in a row",
          sent[1].message)
        -- The line of each wait is known by now; the places after the first tell nothing new.
        core.shared("ctx.report").refusals = {}
      end)
    end
  end

  -- What has ended for good, and is asked with a context that lives; what waits in the loop fails.
  local ended = {
    ["channel:recv"] = function()
      local ch = channel.new()
      ch:close()
      return function(c) return ch:recv(c) end
    end,
    ["channel.select"] = function()
      local ch = channel.new()
      ch:close()
      return function(c) return channel.select(c, { { recv = ch } }) end
    end,
    ["pool:submit"] = function()
      local p = pool.new(background, { workers = 1 }, function() end)
      p:cancel()
      return function(c) return p:submit(c, 1) end
    end,
    ["breaker:call"] = function()
      local b = breaker.new { failures = 1, cooldown = 60000 }
      local function fail() return nil, "down" end
      b:call(background, fail)
      return function(c) return b:call(c, fail) end
    end,
    ["listener:accept"] = function()
      local listener = assert(ctx_uv.listen("127.0.0.1", 0))
      listener:close()
      return function(c) return listener:accept(c) end
    end,
    ["udp:recv"] = function()
      local udp = assert(ctx_uv.udp())
      udp:close()
      return function(c) return udp:recv(c) end
    end,
    ["udp:send"] = function()
      local udp = assert(ctx_uv.udp())
      udp:close()
      return function(c) return udp:send(c, "x", "127.0.0.1", 9) end
    end,
    ["stream:read at the end"] = function()
      local listener = assert(ctx_uv.listen("127.0.0.1", 0))
      local one = assert(ctx_uv.connect(background, "127.0.0.1", listener:address().port))
      assert(listener:accept(background)):close()
      listener:close()
      assert.is_nil(one:read(background))
      return function(c) return one:read(c) end
    end,
    ["stream:write"] = function()
      local listener = assert(ctx_uv.listen("127.0.0.1", 0))
      local one = assert(ctx_uv.connect(background, "127.0.0.1", listener:address().port))
      listener:close()
      one:close()
      return function(c) return one:write(c, "x") end
    end,
    ["uv.connect_pipe"] = function()
      return function(c) return ctx_uv.connect_pipe(c, "") end
    end,
    ["uv.getaddrinfo"] = function()
      return function(c) return ctx_uv.getaddrinfo(c, "") end
    end,
    ["uv.poll"] = function()
      return function(c) return ctx_uv.poll(c, 999) end
    end,
  }

  for name, make in pairs(ended) do
    it("or what it waits for has, lets others run, and is told: " .. name, function()
      local sent = reports(function()
        ctx.run(function(root)
          local call, calls, others = make(), 0, 0
          ctx.go(function()
            while others < 3 and ctx.sleep(root, 0) do others = others + 1 end
          end)
          while others < 3 and calls < 2000 do
            calls = calls + 1
            call(root)
          end
          assert.equal(3, others)
        end)
      end)
      assert.equal(1, #sent)
      assert.equal("ended_context", sent[1].kind)
      core.shared("ctx.report").refusals = {}
    end)
  end

  it("is told once for each line", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    local sent = reports(function()
      ctx.run(function()
        for _ = 1, 1000 do ctx.sleep(c, 1) end
        for _ = 1, 1000 do ctx.sleep(c, 1) end
      end)
    end)
    assert.equal(2, #sent)
    assert.not_equal(sent[1].message, sent[2].message)
  end)

  it("is not told while it waits for anything else, or lets others run by itself", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    local sent = reports(function()
      ctx.run(function(root)
        for i = 1, 300 do
          ctx.sleep(c, 1)
          if i % 2 == 0 then ctx.sleep(root, 0) else coroutine.yield() end
        end
      end)
    end)
    assert.same({}, sent)
  end)

  it("goes on where nobody can wait: in a callback of luv's, in a metamethod", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    local asked = 0
    local function ask()
      for _ = 1, 250 do
        assert(rawequal(ctx.canceled, select(2, ctx.sleep(c, 1))))
        asked = asked + 1
      end
    end
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      ask()
    end)
    local sent = reports(function()
      ctx.run(function(root)
        ctx.sleep(root, 1)
        table.sort({ 1, 2 }, function() ask() return false end)
      end)
    end)
    assert.same({}, sent)
    assert.is_true(asked >= 500)
  end)
end)

describe("A pool whose function never waits", function()
  it("lets the loop turn between items", function()
    local turns = counting(function()
      ctx.run(function(root)
        local p <close> = pool.new(root, { workers = 1, queue = 20 }, compute)
        for i = 1, 20 do p:submit(root, i) end
        p:drain(root)
      end)
    end)
    assert.is_true(turns >= 19, turns .. " turns for 20 items that compute")
  end)
end)
