-- SPDX-License-Identifier: MIT
-- A traceback costs a bounded time, however deep the stack.
--
-- Cause: luaL_traceback counts all levels of a stack some twenty times, and walks to its far end.
-- On the stack of a runaway recursion that took seconds, for each error in a task, a handler or a
-- group, and nothing else ran meanwhile. Cure: one function in C, which looks only at the nearest
-- levels when there are more than anybody meant.
local core = require "ctx.core"
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local errors = require "ctx.errors"

--- Calls fn at the end of a recursion of so many levels.
local function at_depth(levels, fn)
  if levels == 0 then
    return (fn())
  end
  return (at_depth(levels - 1, fn))
end

describe("a traceback", function()
  it("of a stack that is not deep is debug.traceback's", function()
    local ours, theirs
    at_depth(50, function()
      ours, theirs = core.traceback(), debug.traceback()
      return 1
    end)
    assert.equal((theirs:gsub(":%d+:", "")), (ours:gsub(":%d+:", "")))
    local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co)
    assert.equal(debug.traceback(co), core.traceback(co))
    assert.equal(debug.traceback(nil, 1), core.traceback(nil, 1))
  end)

  it("of a deep one shows its nearest levels, and that there are more", function()
    local text = at_depth(1000, function() return (core.traceback()) end)
    local lines = select(2, text:gsub("\n", "\n"))
    assert.equal(21, lines)
    assert.matches("^stack traceback:\n\t[^\n]*traceback_spec%.lua:%d+: in ", text)
    assert.matches("in upvalue 'at_depth'\n\t...\t(many more levels)", text, 1, true)
  end)

  it("costs the same at any depth", function()
    local function often()
      for _ = 1, 200 do core.traceback() end
      return 1
    end
    local function cost(levels)
      local used
      at_depth(levels, function() used = cpu.least(1, often) end)
      return used
    end
    cpu.at_most(6, function() return cost(1000) end, function() return cost(64000) end)
  end)
end)

describe("a stack that overflows", function()
  local function deep(n) return 1 + deep(n + 1) end

  --- Compares the CPU time of an overflow with that in a coroutine that nobody listens to, which
  --- was a twelfth.
  local function costs(fn)
    cpu.at_most(6, function()
      return cpu.least(1, function() coroutine.wrap(pcall)(deep, 1) end)
    end, function() return cpu.least(1, fn) end)
  end

  it("costs little more in a task, in an after-func, in errors.call", function()
    ctx.run(function(root)
      costs(function()
        local task = ctx.go(deep, 1)
        local _, err = task:wait()
        assert.matches("stack overflow", err)
        assert.matches("many more levels", task:traceback(), 1, true)
      end)
      costs(function()
        local ok, err, trace = errors.call(coroutine.wrap(function()
          local ok, err, trace = errors.call(deep, 1)
          return { ok, err, trace }
        end))
        assert.is_true(ok)
        assert.is_nil(trace)
        assert.is_false(err[1])
        assert.matches("many more levels", err[3], 1, true)
      end)
      assert.is_false(root:done())
    end)
  end)
end)
