-- SPDX-License-Identifier: MIT
-- What a test leaves behind, in the tests that come next.
--
-- Cause: what a test had left behind counted as movement in the next: beside an idle handle or a
-- timer that ticks a dead end was never seen, and a request that ran on, a file that is opened for
-- instance, held up each jump of the clock for a minute. Cure: only tasks that run are movement,
-- handles that are left are unreferenced, and a request that is left is a leak, and holds up
-- nothing.
local core = require "ctx.core"
local ctx = require "ctx"
local folders = require "spec.support.folder"
local loop = require "ctx.loop"
local reports = require "spec.support.reports"
local failure = require "spec.support.failed_run"
local testing = require "ctx.testing"
local threads = require "ctx.uv.threads"
local uv = require "ctx.uv"

local luv = loop.uv

local background = ctx.background()

local function closed(fn)
  return setmetatable({}, { __close = fn })
end

describe("what a test has left behind is a leak, and holds up no later one:", function()
  --- Each opens something, and returns what ends it.
  local left = {
    ["an idle handle"] = function()
      local idle = luv.new_idle()
      idle:start(function() end)
      return function() idle:close() end
    end,
    ["a timer that ticks"] = function()
      local timer = luv.new_timer()
      timer:start(1, 1, function() end)
      return function() timer:close() end
    end,
    ["a program"] = function()
      local process
      process = luv.spawn("sleep", { args = { "60" } }, function() process:close() end)
      return function()
        process:ref()
        process:kill("sigkill")
      end
    end,
    ["a pipe that is read"] = function()
      local fds, handle = luv.pipe(), luv.new_pipe(false)
      handle:open(fds.read)
      handle:read_start(function() end)
      return function()
        handle:close()
        luv.fs_close(fds.write)
      end
    end,
    ["a request"] = function(folder)
      local path = folder .. "/fifo"
      assert(os.execute("mkfifo " .. path))
      luv.fs_open(path, "r", 0, function(_, fd) luv.fs_close(fd) end)
      return function() luv.fs_close(assert(luv.fs_open(path, "w", 0))) end, "a request to luv"
    end,
  }

  --- A dead end is seen in real time that is as good as none.
  local function dead_end(real)
    local hrtime, ahead = luv.hrtime, 0
    luv.hrtime = function()
      ahead = ahead + 5e8
      return hrtime() + ahead
    end
    local _ <close> = closed(function() luv.hrtime = hrtime end)
    local message
    assert.same({}, reports(function()
      message = failure(function() background:wait() end, { real = real })
    end))
    assert.matches("all tasks are asleep", message, 1, true)
  end

  for what, open in pairs(left) do
    it(what, function()
      local folder = folders.new()
      local close, leak
      local message = failure(function()
        close, leak = open(folder)
      end, { patience = 20 })
      assert.matches("leaks 1 thing(s):\n" .. (leak or "an open luv handle"), message, 1, true)
      testing.run(function(root, clock)
        ctx.sleep(root, 3600000)
        assert.equal(3600000, clock:elapsed())
      end)
      dead_end(false)
      if not leak then
        dead_end(true)
      end
      -- A task in ctx.await may wait for a request that is its own.
      testing.run(function(root) assert(uv.fs_stat(root, "/")) end)
      close()
      luv.run()
      folders.remove(folder)
    end)
  end

  it("operations that hold all threads, without the timer of their guard", function()
    local folder = folders.new()
    local path = folder .. "/fifo"
    assert(os.execute("mkfifo " .. path))
    local message = failure(function(root)
      repeat -- what no thread has begun is taken back
        local c, cancel = ctx.with_cancel(root)
        local task = ctx.go(uv.fs_open, c, path, "r")
        ctx.sleep(root, 0)
        cancel()
        task:wait()
      until core.shared("ctx.uv.threads").left >= threads.COUNT
    end, { patience = 20 })
    assert.matches("leaks 1 thing(s):\na request to luv", message, 1, true)
    local fd = assert(luv.fs_open(path, "r+", 0))
    luv.run()
    luv.fs_close(fd)
    folders.remove(folder)
  end)
end)

-- Cause: reports of one line's losses come at 1, 10, 100 and so on, and those were counted. Cure:
-- the losses are.
describe("cancels that a test has lost", function()
  it("are counted, and each line that lost them is named once", function()
    local line
    local message = failure(function(root)
      line = debug.getinfo(1, "l").currentline + 1
      for _ = 1, 25 do ctx.with_cancel(root) end
      for _ = 1, 3 do ctx.with_timeout(root, 1000) end
      ctx.with_cancel(root)
    end)
    local place = "[^,]*testing_left_spec%.lua:"
    assert.matches("leaks 1 thing%(s%):\n29 lost cancel%(s%): .*, made at " .. place .. line
      .. " %(25 times%), " .. place .. line + 1 .. " %(3 times%), " .. place .. line + 2 .. "$",
      message)
  end)
end)
