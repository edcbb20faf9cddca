-- SPDX-License-Identifier: MIT
-- Cause: a coroutine that its owner closes does not come to what stood behind its wait. Handles
-- went on holding luv's loop, and a program that was being ended got SIGTERM and no SIGKILL. Cure:
-- what must be taken back is a <close>, and what needs a wait between two steps is a task of its
-- own. Here a coroutine is closed in each wait, and with each class in its scope;
-- then the loop turns, and we look.
local core = require "ctx.core"
local ctx = require "ctx"
local loop = require "ctx.loop"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local scopes = require "spec.support.asyncs.scopes"
local asyncs = require "spec.support.asyncs"

local OURS = { "timer", "idle", "poll" }

--- luv's handles that hold the loop now, but for the scheduler's own.
local function holders()
  local found, ours = {}, {}
  for _, name in ipairs(OURS) do
    ours[loop[name] or false] = true
  end
  luv.walk(function(handle)
    if not ours[handle] and not handle:is_closing() and handle:is_active() and handle:has_ref() then
      found[handle] = true
    end
  end)
  return found
end

--- The first that has come since.
local function new_holder(before)
  for handle in pairs(holders()) do
    if not before[handle] then
      return tostring(handle)
    end
  end
  return nil
end

--- Turns the loop until is_so() holds, or c ends.
local function turn_until(c, is_so)
  repeat
    if is_so() then
      return true
    end
  until not ctx.sleep(c, 1)
  return false
end

--- Runs fn in a coroutine until it waits, and closes that.
local function close_in_wait(fn, ...)
  local co = coroutine.create(fn)
  assert(coroutine.resume(co, ...))
  if coroutine.status(co) == "dead" then
    return false
  end
  coroutine.yield() -- what it has set off begins
  if coroutine.status(co) == "dead" then
    return false
  end
  coroutine.close(co) -- an error in it says that a scope could not wait there
  return true
end

local function test_wait(name)
  loopback.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, 60000)
    local it = asyncs.made[name](c)
    local _ <close> = setmetatable({}, { __close = it.close or function() end })
    coroutine.yield()
    local before, parked = holders(), core.counters().parked
    local waited = close_in_wait(function() it.call(c) end)
    assert.is_true(waited or it.quick or it.free, name .. " did not wait")
    assert.is_true(turn_until(c, function()
      return not new_holder(before) and core.counters().parked <= parked + (it.tasks or 0)
    end), name .. " left " .. tostring(new_holder(before)))
    assert.is_false(it.handle ~= nil and not it.handle:is_closing() and it.handle:has_ref()
      and it.handle:is_active(), name .. " holds the loop")
  end)
end

describe("a coroutine that is closed leaves nothing behind in", function()
  for _, name in ipairs(asyncs.annotated()) do
    it(name, function() test_wait(name) end)
  end
end)

describe("a coroutine that is closed with it in its scope ends", function()
  for name, scope in pairs(scopes.made) do
    it(name, function()
      loopback.run(function(root)
        local c, cancel <close> = ctx.with_timeout(root, 60000)
        local made, is_over, is_ready = scope(c)
        local before = holders()
        local co = coroutine.create(function()
          local _ <close> = made()
          ctx.background():wait()
        end)
        assert(coroutine.resume(co))
        assert.is_true(turn_until(c, is_ready or function() return true end))
        assert.equal("suspended", coroutine.status(co))
        coroutine.close(co) -- an error says that a scope could not wait there
        assert.is_true(turn_until(c, is_over), name .. " goes on")
        assert.is_nil(new_holder(before))
      end)
    end)
  end

  it("each class that has one: the files that define them are those that are tried", function()
    local defined, wrong = scopes.defined(), {}
    for file in pairs(defined) do
      if not scopes.files[file] then
        wrong[#wrong + 1] = file .. " has a __close that no scope of asyncs/scopes.lua tries"
      end
    end
    for file in pairs(scopes.files) do
      if not defined[file] then
        wrong[#wrong + 1] = file .. " has no __close"
      end
    end
    assert.same({}, wrong)
  end)
end)
