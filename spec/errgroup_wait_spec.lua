-- SPDX-License-Identifier: MIT
-- Waits for a group: several, with a context, given up, beside tasks that are still being started.
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local testing = require "ctx.testing"

describe("a wait", function()
  it("with a context ends when that does, and can be taken up again", function()
    testing.run(function(root, clock)
      local g, gctx = errgroup.with_context(root)
      g:go(ctx.sleep, root, 50)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      assert.same({ nil, ctx.deadline_exceeded }, { g:wait(c) })
      assert.same({ nil, ctx.deadline_exceeded }, { g:wait(c) })
      assert.equal(10, clock:elapsed())
      assert.is_nil(gctx:err())
      assert.is_true(g:wait(root))
      assert.equal(50, clock:elapsed())
    end)
  end)

  it("that is over is so with a context that is done, too", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      assert.is_true(errgroup.new():wait(c))
    end)
  end)

  -- Cause: a wait that had given up still stood in the group, which ended its context with the
  -- tasks of that moment. Cure: the last that leaves takes the group's ear with it.
  it("that gave up does not end the context later", function()
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(ctx.sleep, root, 10)
      local c, cancel <close> = ctx.with_timeout(root, 5)
      g:wait(c)
      ctx.sleep(root, 10)
      assert.is_nil(gctx:err())
      g:go(ctx.sleep, root, 10)
      assert.is_true(g:wait())
    end)
  end)

  it("of a coroutine that was closed does not end the context later either", function()
    testing.run(function(root)
      local g, gctx = errgroup.with_context(root)
      g:go(ctx.sleep, root, 10)
      local co = coroutine.create(function() g:wait() end)
      assert(coroutine.resume(co))
      coroutine.close(co)
      core.tasks() -- looks through the records of closed coroutines
      ctx.sleep(root, 20)
      assert.is_nil(gctx:err())
      g:wait()
    end)
  end)

  -- Cause: a waiter that was woken did not check again in its turn. Cure: it does.
  it("counts a task that begins after the last one's end and before the waiter's turn", function()
    testing.run(function(root)
      for _, g in ipairs({ errgroup.new(), (errgroup.with_context(root)) }) do
        local more, over = channel.new(), false
        ctx.go(function()
          more:recv(root)
          g:go(function()
            ctx.sleep(root, 20)
            over = true
            return nil, "of the second"
          end)
        end)
        g:go(function()
          ctx.sleep(root, 5)
          more:send(root, "go on")
        end)
        local c, cancel <close> = ctx.with_timeout(root, 100)
        assert.same({ nil, "of the second" }, { g:wait(c) })
        assert.is_true(over)
      end
    end)
  end)

  it("may be several tasks', each with a context of its own or none", function()
    testing.run(function(root, clock)
      local g = errgroup.with_context(root)
      g:go(function()
        ctx.sleep(root, 20)
        return nil, "broken"
      end)
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local woken = {}
      local function wait_with(name, with)
        return ctx.go(function()
          local _, err = g:wait(with)
          woken[#woken + 1] = ("%s %s %d"):format(name, err, clock:elapsed())
        end)
      end
      local tasks = { wait_with("a"), wait_with("b", c), wait_with("c"), wait_with("d", root) }
      for _, task in ipairs(tasks) do
        task:wait()
      end
      assert.same({
        "b context deadline exceeded 10", "a broken 20", "c broken 20", "d broken 20",
      }, woken)
    end)
  end)

  -- Cause: a wait that began in the turn in which the last task ended was woken with the others,
  -- although a task had begun since. Cure: the core checks again before it wakes.
  it("for a task that began as the last one ended is for that task", function()
    testing.run(function(root)
      local g = errgroup.with_context(root)
      local gate, open = ctx.with_cancel(root)
      local slow_over = false
      g:go(function() gate:wait() end)
      local other = ctx.go(function()
        gate:wait()
        g:go(function()
          ctx.sleep(root, 100)
          slow_over = true
        end)
        assert.is_true(g:wait())
        return slow_over
      end)
      ctx.go(function() g:wait() end)
      ctx.sleep(root, 1)
      open()
      assert.is_true(other:wait())
    end)
  end)

  it("cannot be in a luv callback, and says what to do; the scope cancels all the same", function()
    local uv = require "luv"
    local message, own
    local timer = uv.new_timer()
    testing.run(function(root)
      ctx.await(root, function(resolve)
        timer:start(0, 0, function()
          local ok
          ok, message = pcall(function()
            local g <close>, gctx = errgroup.with_context(root)
            own = gctx
            g:go(function() gctx:wait() end)
          end)
          resolve(ok)
        end)
      end)
      timer:close()
      ctx.sleep(root, 1)
    end, { real = true })
    assert.truthy(tostring(message):find("cannot wait here", 1, true))
    assert.equal(ctx.canceled, own:err())
  end)

  -- Cause: the wait was refused when the group already watched for its end; then the call came to a
  -- group that had been collected. Cure: without waiters, the group stops watching.
  it("that was refused leaves no ear in a group that is collected as its task ends", function()
    testing.run(function(root)
      local gate, open = ctx.with_cancel(root)
      local function refused()
        local g = errgroup.new()
        g:go(function() gate:wait() end)
        local ok = pcall(table.sort, { 1, 2 }, function() g:wait() end)
        assert.is_false(ok)
      end
      refused()
      ctx.go(function()
        gate:wait()
        collectgarbage() -- after the task's end, before the word of it
        collectgarbage()
      end)
      ctx.sleep(root, 1)
      open()
      ctx.sleep(root, 1)
    end)
  end)
end)

describe("a task that is closed or resumed by someone else", function()
  it("counts as one that failed, and holds up nobody", function()
    testing.run(function(root)
      local g = errgroup.with_context(root)
      local co
      g:go(function()
        co = coroutine.running()
        ctx.sleep(root, 1000)
      end)
      ctx.sleep(root, 1)
      coroutine.close(co)
      core.tasks() -- a look finds it; otherwise its time would
      local ok, err = g:wait()
      assert.is_nil(ok)
      assert.truthy(tostring(err):find("closed", 1, true))
    end)
  end)
end)
