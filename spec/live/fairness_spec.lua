-- SPDX-License-Identifier: MIT
-- A real socket and a real signal beside tasks that compute: see spec/fairness_spec.lua. Slices are
-- counted, not time.
local ctx = require "ctx"
local signal = require "ctx.signal"
local uv = require "luv"

local SLICES = 500 -- after which a task gives up

--- Computes for 2 ms.
local function compute()
  local till = uv.hrtime() + 2e6
  while uv.hrtime() < till do end
end

--- Starts `tasks` tasks that compute in slices, and lets `fn(root, slices)` run beside them;
--- slices() is how many there were.
local function beside(tasks, pause, fn)
  ctx.run(function(root)
    local slices, over = 0, false
    for _ = 1, tasks do
      ctx.go(function()
        while not over and slices < SLICES * tasks do
          compute()
          slices = slices + 1
          pause(root)
        end
      end)
    end
    fn(root, function() return slices end)
    over = true
  end)
end

local pauses = {
  ["ctx.sleep(c, 0)"] = function(c) ctx.sleep(c, 0) end,
  ["coroutine.yield()"] = function() coroutine.yield() end,
}

for name, pause in pairs(pauses) do
  for _, tasks in ipairs { 1, 4 } do
    describe(("beside %d tasks that compute and call %s"):format(tasks, name), function()
      it("an echo needs a few slices only", function()
        local server = uv.new_tcp()
        assert(server:bind("127.0.0.1", 0))
        server:listen(8, function()
          local peer = uv.new_tcp()
          server:accept(peer)
          peer:read_start(function(_, data)
            if data then peer:write(data) else peer:close() end
          end)
        end)
        local worst = 0
        beside(tasks, pause, function(c, slices)
          local client = uv.new_tcp()
          assert(ctx.await(c, function(resolve)
            client:connect("127.0.0.1", server:getsockname().port, function(err)
              resolve(err == nil, err)
            end)
          end))
          for _ = 1, 10 do
            local before = slices()
            assert.equal("ping", ctx.await(c, function(resolve)
              client:read_start(function(_, data)
                client:read_stop()
                resolve(data)
              end)
              client:write("ping")
            end))
            worst = math.max(worst, slices() - before)
          end
          client:close()
          server:close()
        end)
        -- There, back and a look at each: some six turns, each with a slice or two of all.
        assert.is_true(worst <= 20 * tasks, worst .. " slices for an echo, at worst")
      end)

      it("a signal is heard after a few slices", function()
        local heard
        beside(tasks, pause, function(root, slices)
          local c, stop <close> = signal.notify(root, "sigusr1")
          ctx.sleep(root, 0)
          local before = slices()
          uv.kill(uv.os_getpid(), "sigusr1")
          c:wait()
          heard = slices() - before
        end)
        assert.is_true(heard <= 10 * tasks, heard .. " slices until the signal was heard")
      end)

      it("a timer of luv's own comes as often as the loop can turn", function()
        local ticks, slices = 0, 0
        local timer = uv.new_timer()
        beside(tasks, pause, function(root, count)
          timer:start(1, 1, function() ticks = ticks + 1 end)
          while count() < 100 do ctx.sleep(root, 0) end
          slices = count()
          timer:close()
        end)
        -- A slice of 2 ms at least lies between two turns, and three or four at most.
        assert.is_true(ticks >= slices / 8, ("%d ticks in %d slices"):format(ticks, slices))
      end)
    end)
  end
end
