-- SPDX-License-Identifier: MIT
-- Cause: an `any` that was collected where Lua loses finalizers, near the limit of C calls or at
-- the end of the Lua stack, stayed linked in memory that was freed. Cure: no object needs its
-- finalizer to be unlinked. Here every class is collected in such places. What is touched
-- afterwards may go unnoticed; under AddressSanitizer it does not.
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local lost = require "spec.support.lost"
local program = require "spec.support.program"
local testing = require "ctx.testing"

local loaded, wire = pcall(require, "ctx.http.wire")

--- What each makes, below a live context, is garbage at once.
local makers = {
  ["with_cancel"] = function(source) ctx.with_cancel(source) end,
  ["with_timeout with a cause"] = function(source) ctx.with_timeout(source, 60000, {}) end,
  ["with_value"] = function(source) ctx.with_value(source, {}, {}) end,
  ["without_cancel"] = function(source) ctx.without_cancel(source) end,
  ["any of one"] = function(source) ctx.any(source) end,
  ["any of several, and below it"] = function(source)
    local c = ctx.any(source, (ctx.with_cancel(source)), ctx.background())
    ctx.with_value((ctx.with_cancel(c)), "a", 1)
    ctx.any(c, source)
  end,
  ["any that is cancelled"] = function(source)
    local _, cancel = ctx.any(source, (ctx.with_cancel(source)))
    cancel("cause")
  end,
  ["any of what is done"] = function(source)
    local done, cancel = ctx.with_cancel(source)
    cancel("cause")
    ctx.any(source, done)
  end,
  ["any that ends by its source"] = function(source)
    local other, cancel = ctx.with_cancel(source)
    ctx.any(source, other)
    cancel()
  end,
  ["after_func, stopped and not"] = function(source)
    ctx.after_func((ctx.any(source)), print)()
    ctx.after_func((ctx.without_cancel(source)), print)
  end,
  ["a semaphore"] = function() core.semaphore(3):try_acquire() end,
  ["a queue"] = function() core.queue() end,
  ["a group"] = function(source)
    errgroup.with_context(source)
    errgroup.new():set_limit(1)
  end,
  ["a key"] = function() ctx.key "a" end,
  ["a coroutine that waits"] = function(source)
    coroutine.wrap(function() ctx.sleep((ctx.with_timeout(source, 1)), 60000) end)()
  end,
  ["a wire reader"] = loaded and function()
    local reader = wire.reader(8192, 8192, 100, 1000000)
    pcall(reader.feed, reader, "GET / HTTP/1.1\r\nHo")
  end or nil,
}

local function silenced(fn)
  local before = ctx.set_report(function() end)
  local ok, err = pcall(fn)
  ctx.set_report(before)
  assert(ok, err)
end

--- Takes the memory that was freed, and goes over all that is linked.
local function use_all(cancel)
  local fill = {}
  for i = 1, 2000 do fill[i] = ("x"):rep(50 + i % 400) .. i end
  assert.equal(2000, #fill)
  cancel "gone"
  core.contexts()
  ctx.counters()
  local c, last = ctx.with_cancel(ctx.background())
  ctx.any(c, c, c)
  last()
end

local function make_all(source)
  for _, make in pairs(makers) do make(source) end
end

describe("collected without a finalizer, ", function()
  it("every class", function()
    silenced(function()
      local source, cancel = ctx.with_cancel(ctx.background())
      assert.is_true(lost.collect(function() make_all(source) end) > 0)
      use_all(cancel)
    end)
  end)

  it("every class, within a finalizer", function()
    silenced(function()
      local source, cancel = ctx.with_cancel(ctx.background())
      local done = false
      setmetatable({}, { __gc = function()
        for _ = 1, 3 do make_all(source) end
        lost.at_c_limit(function() collectgarbage() end)
        done = true
      end })
      collectgarbage()
      collectgarbage()
      assert.is_true(done)
      use_all(cancel)
    end)
  end)

  it("a task's handle, and what it failed with", function()
    silenced(function()
      testing.run(function(root)
        lost.collect(function()
          ctx.go(function() return {} end)
          ctx.go(function() ctx.sleep(root, 1) end)
          ctx.go(error, "why")
        end)
        ctx.sleep(root, 1000)
      end)
    end)
  end)
end)

-- lua_close does not begin anew with the count of C calls: there all finalizers are lost, or some.
local CLOSED_DEEP = [[
  local ctx, lost = require "ctx", require "spec.support.lost"
  local source, cancel = ctx.with_cancel(ctx.background())
  kept = { source, cancel, ctx.any(source, source), ctx.with_value(source, "a", 1) }
  setmetatable(kept, { __gc = function(t) for i = 1, #t do tostring(t[i]) end t[2]() end })
  ctx.after_func(source, function() end)
  for i = 1, 3 do
    ctx.go(function() ctx.sleep(source, 1000) end)
    ctx.go(function() error "why" end)
    coroutine.wrap(function() source:wait() end)()
  end
  kept[5] = ctx.any(source, kept[3])
  require "luv".run "nowait"
  local function nested(n) if n == 0 then os.exit(0, true) end pcall(nested, n - 1) end
  nested(%d)
]]

describe("a state that is closed", function()
  it("at any depth of C calls is closed without a fault", function()
    for _, depth in ipairs { 0, 190, 191, 192, 193, 194, 195, 196 } do
      local _, noise, code = program.run(CLOSED_DEEP:format(depth))
      assert.equal(0, code, noise)
    end
  end)
end)
