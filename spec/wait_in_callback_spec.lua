-- SPDX-License-Identifier: MIT
-- Cause: functions that wait changed something before they found that they cannot wait where they
-- were called, in luv's callbacks for one: a directory that was marked closed could not be closed
-- any more, and a server that had "served once" did not serve. Cure: each asks first whether it can
-- wait. Here all of them are called there, as the annotations list them, and then properly.
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local asyncs = require "spec.support.asyncs"

--- Calls fn in a callback of luv's; its results behind pcall's.
local function in_callback(root, fn, ...)
  local given, results = table.pack(...), nil
  ctx.await(root, function(resolve)
    local timer = luv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      results = table.pack(pcall(fn, table.unpack(given, 1, given.n)))
      resolve()
    end)
  end)
  return table.unpack(results, 1, results.n)
end

--- It raised at a line of a spec's, and not of the library's.
local function assert_refused(name, message)
  message = tostring(message)
  assert.truthy(message:find("cannot wait here", 1, true), name .. ": " .. message)
  assert.truthy(message:find("^[^\n]-spec/[%w_/]+%.lua:%d+: "), name .. ": " .. message)
end

local function test(name)
  loopback.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, 60000)
    local it = asyncs.made[name](c)
    local _ <close> = setmetatable({}, { __close = it.close or function() end })
    local ok, message = in_callback(root, it.call, c)
    if it.free then
      asyncs.assert_good(name, ok, message)
    else
      assert.is_false(ok, name .. " did not raise")
      assert_refused(name, message)
      assert.is_true(not it.unchanged or it.unchanged(), name .. " has changed something")
    end
    -- And then as it should be.
    local task = ctx.go(function()
      return table.pack(pcall(it.call, c))
    end)
    coroutine.yield()
    it.wake()
    local results = assert(task:wait(c))
    asyncs.assert_good(name, table.unpack(results, 1, results.n))
  end)
end

describe("in a callback of luv's raises at the caller's line, and changes nothing:", function()
  local seen = {}
  for _, name in ipairs(asyncs.annotated()) do
    seen[name] = true
    it(name, function()
      assert(asyncs.made[name], "spec/support/asyncs/ does not make it wait")
      test(name)
    end)
  end

  it("no name in spec/support/asyncs/ is misspelt", function()
    for name in pairs(asyncs.made) do
      assert.truthy(seen[name], name)
    end
  end)
end)
