-- SPDX-License-Identifier: MIT
-- Cause: a debug hook belongs to one coroutine, and tasks run in coroutines that no tool had seen
-- being made: coverage, debuggers and count hooks saw nothing of main, of tasks, of handlers.
-- Cure: a task has the hook of the coroutine that starts it.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local testing = require "ctx.testing"

local HERE = debug.getinfo(1, "S").source

--- Calls fn(mark) under a line hook on the main thread; returns the marks whose lines it saw.
--- `mark(name)` stands on a line of its own for each.
local function seen(fn)
  local marks, lines = {}, {}
  local function mark(name)
    marks[debug.getinfo(2, "l").currentline] = name
  end
  local before = table.pack(debug.gethook())
  debug.sethook(function(_, line)
    if debug.getinfo(2, "S").source == HERE then
      lines[line] = true
    end
  end, "l")
  local ok, err = pcall(fn, mark)
  debug.sethook(table.unpack(before, 1, before.n))
  assert(ok, err)
  local names = {}
  for line, name in pairs(marks) do
    names[name] = lines[line] or false
  end
  return names
end

describe("a debug hook on the main thread", function()
  it("sees main, tasks of tasks, groups, after-funcs and tests", function()
    local names = seen(function(mark)
      ctx.run(function(root)
        mark "main"
        ctx.go(function()
          ctx.sleep(root, 0)
          mark "a task, after a wait"
          ctx.go(function()
            mark "a task of a task"
          end):wait()
        end):wait()
        local g <close>, c = errgroup.with_context(root)
        g:set_limit(1)
        for i = 1, 2 do
          g:go(function()
            ctx.sleep(c, 0)
            if i == 2 then
              mark "a task that had to wait for a place"
            end
          end)
        end
        g:wait()
        local d, cancel = ctx.with_cancel(root)
        ctx.after_func(d, function()
          mark "an after-func"
        end)
        cancel()
        ctx.sleep(root, 0)
      end)
      testing.run(function()
        mark "a test"
      end)
    end)
    local count = 0
    for name, was_seen in pairs(names) do
      count = count + 1
      assert.is_true(was_seen, name)
    end
    assert.equal(6, count)
  end)

  it("is gone from a thread that is used again without one", function()
    local calls = 0
    debug.sethook(function() calls = calls + 1 end, "", 1)
    local task = ctx.go(function() return coroutine.running() end)
    debug.sethook()
    ctx.run(function() end)
    local first = task:wait()
    assert.is_true(calls > 0)
    ctx.run(function()
      local hook
      local again = ctx.go(function()
        hook = debug.gethook()
        return coroutine.running()
      end):wait()
      assert.equal(first, again)
      assert.is_nil(hook)
    end)
  end)

  it("with a count stops a task that does not end", function()
    local function stop() error("too long", 0) end
    debug.sethook(stop, "", 100000)
    local task = ctx.go(function() while true do end end)
    debug.sethook()
    ctx.run(function()
      assert.same({ nil, "too long" }, { task:wait() })
    end)
  end)
end)
