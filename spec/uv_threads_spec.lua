-- SPDX-License-Identifier: MIT
-- Cause: a call that runs on one of libuv's threads cannot be stopped. Four of them that hang, on
-- FIFOs here, on a dead NFS in a real program, and that were given up, left all other files, names
-- and work waiting without end. Cure: one guard for all that takes a thread.
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local reports = require "spec.support.reports"
local threads = require "ctx.uv.threads"
local uv = require "ctx.uv"

local run = loopback.run

--- A FIFO that nobody has opened.
local function fifo()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  return path
end

--- Opens it for reading on every thread, and gives that up. Returns what lets them end.
local function hang(root, path)
  local held = core.shared("ctx.uv.threads")
  while held.left < threads.COUNT do -- what no thread has begun so far is taken back
    local c, cancel <close> = ctx.with_timeout(root, 20)
    assert.is_true(errors.is(select(2, uv.fs_open(c, path, "r")), ctx.deadline_exceeded))
  end
  return function()
    -- Stays open: a thread may come to its open late, on a busy machine, and would hang for good.
    assert(luv.fs_open(path, "r+", 0))
    while threads.are_taken() do
      ctx.sleep(root, 1)
    end
    assert.is_table(uv.fs_stat(root, path)) -- behind the last of them
    os.remove(path)
  end
end

local function refused(...)
  local nothing, err = ...
  assert.is_nil(nothing)
  assert.is_true(errors.is(err, uv.EAGAIN), tostring(err))
  assert.is_true(err:temporary())
end

describe("operations that were given up and still run", function()
  it("leave others an error at once, when they hold all threads, and one report", function()
    local told = reports(function()
      run(function(root)
        local free = hang(root, fifo())
        -- These wait for a thread, and are called back.
        local waiting = {}
        for i = 1, 3 do
          waiting[i] = ctx.go(uv.fs_stat, root, "/")
        end
        for _, task in ipairs(waiting) do
          refused(task:wait(root))
        end
        refused(uv.fs_stat(root, "/"))
        refused(uv.getaddrinfo(root, "localhost"))
        refused(uv.getnameinfo(root, { ip = "127.0.0.1" }))
        refused(uv.work(root, function() return 1 end))
        refused(uv.fs_scandir(root, "/"))
        -- A descriptor is closed all the same.
        local fd = assert(luv.fs_open("/dev/null", "r", 0))
        assert.is_true(uv.fs_close(root, fd))
        free()
        assert.is_table(uv.getaddrinfo(root, "localhost"))
        assert.equal(1, uv.work(root, function() return 1 end))
      end)
    end)
    local n = 0
    for _, report in ipairs(told) do
      n = n + (report.message:find("threads are taken", 1, true) and 1 or 0)
    end
    assert.equal(1, n)
  end)

  it("are no matter when they end soon", function()
    run(function(root)
      for _ = 1, 10 * threads.COUNT do
        loopback.cancelled(root, function(c) return uv.fs_stat(c, "/") end)
      end
      assert.is_table(uv.fs_stat(root, "/"))
    end)
  end)

  it("count for lookups and for work, too, which wait for their turn", function()
    run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local tasks = {}
      for i = 1, 3 * threads.COUNT do
        tasks[i] = ctx.go(uv.work, c, function()
          local until_s = os.clock() + 0.01
          while os.clock() < until_s do end
          return 1
        end)
      end
      assert.equal(1, tasks[1]:wait(root))
      cancel() -- those that have not begun never will
      assert.is_true(errors.is(select(2, tasks[#tasks]:wait(root)), ctx.canceled))
      assert.equal(2, uv.work(root, function() return 2 end))
    end)
  end)
end)
