-- SPDX-License-Identifier: MIT
-- An error, a cause or a value of a class that raises whatever it is asked goes every way that an
-- error can go: it arrives as it is, or is reported as one that cannot be printed, and nothing that
-- the library asked it takes its place.
--
-- Cause: texts, comparisons and fields of a caller's object ran its metamethods, and what these
-- raised replaced the report, or a value that says it equals everything passed for a mark of the
-- library's own. Cure: errors.describe for texts, rawequal and rawget for the rest.
local breaker = require "ctx.breaker"
local channel = require "ctx.channel"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local pool = require "ctx.pool"
local propagate = require "ctx.propagate"
local reports = require "spec.support.reports"
local retry = require "ctx.retry"
local shutdown = require "ctx.shutdown"
local signal = require "ctx.signal"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"

local UNPRINTABLE = "cannot be printed"

--- An object whose class raises for everything.
local function strict()
  local class = { __name = {} }
  for _, name in ipairs { "__index", "__newindex", "__tostring", "__len", "__concat", "__eq",
    "__lt", "__le", "__unm", "__pairs", "__call", "is", "unwrap" } do
    class[name] = function() error("asked for " .. name) end
  end
  return setmetatable({}, class)
end

local function cancelled(root, cause)
  local c, cancel = ctx.with_cancel(root)
  cancel(cause)
  return c
end

local function fails(_, err) return function() error(err) end end

--- Each returns an error, or nothing when it is reported.
local ways = {
  ["a task's"] = function(_, err) return select(2, ctx.go(error, err):wait()) end,
  ["a task's, unheard"] = function(_, err) ctx.go(error, err) end,
  ["a group's"] = function(root, err)
    local g <close> = errgroup.with_context(root)
    g:go(error, err)
    g:go(function() return nil, err end)
    return select(2, g:wait())
  end,
  ["a group's, unheard"] = function(root, err)
    do
      local g <close>, c = errgroup.with_context(root)
      g:go(error, err)
      c:wait()
    end
    collectgarbage()
    collectgarbage()
  end,
  ["collect's"] = function(root, err)
    return select(2, errgroup.collect(root, { [err] = fails(root, err) }))
  end,
  ["a wait group's"] = function(root, err)
    local wg = waitgroup.new()
    wg:go(error, err)
    wg:wait(root)
  end,
  ["a pool's item's"] = function(root, err)
    local p <close> = pool.new(root, { workers = 1 }, fails(root, err))
    p:submit(root, 1)
    p:drain()
    return p:errors()[1].err
  end,
  ["a pool's on_error's"] = function(root, err)
    local p <close> = pool.new(root, { workers = 1, on_error = error }, fails(root, err))
    p:submit(root, 1)
    p:drain()
  end,
  ["a pool's cause"] = function(root, err)
    local p <close> = pool.new(root, { workers = 1 }, print)
    p:cancel(err)
    return select(2, p:submit(root, 1))
  end,
  ["an attempt's"] = function(root, err)
    local function fn() return nil, err end
    return select(2, retry.call(root, { attempts = 2, backoff = 0, on_retry = error }, fn))
  end,
  ["a permanent one"] = function(root, err)
    return select(2, retry.call(root, nil, function() return nil, retry.permanent(err) end))
  end,
  ["a breaker's"] = function(root, err)
    return select(2, breaker.new():call(root, function() return nil, err end))
  end,
  ["a flight's, and its key"] = function(root, err)
    return select(2, singleflight.new():call(root, err, fails(root, err)))
  end,
  ["a cause, of a wait"] = function(root, err)
    return select(2, ctx.sleep(cancelled(root, err), 1))
  end,
  ["a cause, of why"] = function(root, err) return cancelled(root, err):why() end,
  ["a cause, of a channel"] = function(root, err)
    return select(2, channel.new():recv(cancelled(root, err)))
  end,
  ["a signal's cause"] = function(root, err)
    local c, stop = signal.notify(root, "sigusr1")
    stop(err)
    return c:ended()
  end,
  ["an after-func's"] = function(root, err)
    ctx.after_func(cancelled(root), fails(root, err))
    ctx.sleep(root, 1)
  end,
  ["of what frees late results"] = function(root, err)
    local late
    local c, cancel = ctx.with_cancel(root)
    ctx.go(cancel)
    ctx.await(c, function(resolve) late = resolve end, fails(root, err))
    late(1)
    ctx.sleep(root, 1)
  end,
  ["of what ends an await"] = function(root, err)
    local c, cancel = ctx.with_cancel(root)
    ctx.go(cancel)
    ctx.await(c, function() return fails(root, err) end)
  end,
  ["a coroutine's"] = function(root, err)
    coroutine.wrap(function()
      ctx.sleep(root, 1)
      error(err)
    end)()
    ctx.sleep(root, 2)
  end,
  ["a hook's, a worker's and the cause of a shutdown"] = function(root, err)
    local s = shutdown.new(root, { signals = {} })
    s:on("stop", "hook", fails(root, err))
    s:go(fails(root, err))
    s:stop(err)
    return s:run()
  end,
  ["a span's"] = function(root, err)
    local _, span = propagate.start_span(root, "work")
    span:finish(err)
    return err
  end,
}

describe("an error of a class that raises for everything goes its way:", function()
  for name, way in pairs(ways) do
    it(name, function()
      local object, got = strict(), nil
      local list = reports(function()
        ctx.run(function(root) got = way(root, object) end)
      end)
      local told = got == nil and list[1].message or errors.describe(got)
      for _, each in ipairs(list) do
        told = told .. "\n" .. each.message
      end
      assert.matches(UNPRINTABLE, told, 1, true)
      assert.is_nil(told:find("asked for", 1, true), told)
    end)
  end

  it("ctx.run's and testing.run's", function()
    local object = strict()
    reports(function()
      for _, run in ipairs { ctx.run, testing.run } do
        local ok, err = pcall(run, function() error(object) end)
        assert.is_false(ok)
        assert.is_true(rawequal(object, err))
      end
    end)
  end)

  it("ctx.errors'", function()
    local object = strict()
    local joined = errors.join("first", errors.wrap(object, "reading"))
    assert.equal("first\nreading: (an error object that cannot be printed)", tostring(joined))
    assert.is_true(errors.is(joined, object))
    assert.is_false(errors.is(joined, "second"))
    assert.is_false(errors.is(object, strict()))
    assert.is_true(rawequal(object, errors.as(joined, getmetatable(object))))
    assert.is_nil(errors.unwrap(object))
  end)
end)

describe("a value that says it equals everything", function()
  it("is sent, received and put back as any other", function()
    testing.run(function(root)
      local value = setmetatable({}, { __eq = function() return true end })
      local ch = channel.new()
      local function received(receive)
        local task = ctx.go(receive)
        ctx.sleep(root, 1)
        assert.is_true(ch:try_send(value))
        return task:wait()
      end
      assert.is_true(rawequal(value, received(function() return ch:recv(root) end)))
      assert.is_true(rawequal(value, received(function()
        return select(2, channel.select(root, { { recv = ch } }))
      end)))
      local c, cancel = ctx.with_cancel(root)
      ctx.go(ch.recv, ch, c)
      ctx.sleep(root, 1)
      assert.is_true(ch:try_send(value))
      cancel()
      ctx.sleep(root, 1)
      assert.is_true(rawequal(value, (ch:try_recv())))
    end)
  end)
end)
