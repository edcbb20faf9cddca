-- SPDX-License-Identifier: MIT
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local collected = require "spec.support.collected"
local testing = require "ctx.testing"

local background = ctx.background()
local user, trace = ctx.key("user"), ctx.key("trace")

describe("a value", function()
  it("is found from the context that has it, and from those below", function()
    local c = ctx.with_value(background, user, "ann")
    local below = ctx.with_cancel((ctx.with_timeout(c, 1000)))
    assert.equal("ann", c:value(user))
    assert.equal("ann", below:value(user))
    assert.is_nil(background:value(user))
  end)

  it("shadows an outer one of the same key, for those below only", function()
    local outer = ctx.with_value(background, user, "ann")
    local inner = ctx.with_value(ctx.with_value(outer, trace, "t1"), user, "bob")
    assert.equal("ann", outer:value(user))
    assert.equal("bob", inner:value(user))
    assert.equal("t1", inner:value(trace))
    assert.is_nil(outer:value(trace))
  end)

  it("of nil or false shadows, too", function()
    local outer = ctx.with_value(background, user, "ann")
    assert.is_nil(ctx.with_value(outer, user, nil):value(user))
    assert.is_false(ctx.with_value(outer, user, false):value(user))
    local deep = ctx.with_cancel((ctx.with_value(outer, user, nil)))
    assert.is_nil(ctx.with_value(deep, trace, "t1"):value(user))
  end)

  it("may be of any type, and is the very same object", function()
    for _, value in ipairs({ {}, print, 1.5, "text", coroutine.create(print), user, background }) do
      assert.is_true(rawequal(value, ctx.with_value(background, user, value):value(user)))
    end
  end)

  it("lives as long as its context, and no longer", function()
    local key = ctx.key("resource")
    local c = ctx.with_value(background, key, { "held" })
    collectgarbage()
    assert.same({ "held" }, c:value(key))
    assert.is_true(collected(function()
      local value = {}
      assert.is_true(rawequal(value, ctx.with_value(background, key, value):value(key)))
      return value
    end))
  end)

  it("does not pin its context when it refers to it", function()
    assert.is_true(collected(function()
      local holder = {}
      holder.c = ctx.with_value(background, user, holder)
      return holder
    end))
  end)
end)

describe("values are seen", function()
  it("through every kind of context", function()
    local c = ctx.with_value(background, user, "ann")
    local through = {
      with_cancel = ctx.with_cancel(c),
      with_timeout = ctx.with_timeout(c, 1000),
      with_deadline = ctx.with_deadline(c, math.huge),
      without_cancel = ctx.without_cancel(c),
      with_value = ctx.with_value(c, trace, "t1"),
    }
    for name, derived in pairs(through) do
      assert.equal("ann", derived:value(user), name)
    end
  end)

  it("after the end, and from contexts that were born done", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_timeout(background, 100)
    local valued = ctx.with_value(c, user, "ann")
    local below = ctx.with_cancel(valued)
    clock:advance(100)
    cancel()
    assert.equal("ann", valued:value(user))
    assert.equal("ann", below:value(user))
    assert.equal("ann", ctx.with_cancel(below):value(user))
    assert.equal("bob", ctx.with_value(below, user, "bob"):value(user))
  end)
end)

describe("a key", function()
  it("is told from others by identity, not by name", function()
    local mine, theirs = ctx.key("user"), ctx.key("user")
    local c = ctx.with_value(ctx.with_value(background, mine, 1), theirs, 2)
    assert.equal(1, c:value(mine))
    assert.equal(2, c:value(theirs))
    assert.is_nil(c:value("user"))
  end)

  it("may be any value but nil and NaN, and is compared raw", function()
    local equal_to_all = setmetatable({}, { __eq = function() return true end })
    for _, key in ipairs({ "text", 7, true, {}, print, equal_to_all }) do
      local c = ctx.with_value(background, key, "found")
      assert.equal("found", c:value(key))
      assert.is_nil(c:value(setmetatable({}, getmetatable(equal_to_all))))
    end
  end)

  it("that is a number is the same number as integer and float", function()
    assert.equal("found", ctx.with_value(background, 1, "found"):value(1.0))
    assert.equal("found", ctx.with_value(background, 1.0, "found"):value(1))
  end)

  it("shows its name", function()
    assert.matches("user", tostring(user))
  end)
end)

describe("look-up", function()
  it("is right in a long chain: deepest first, misses, and what is between", function()
    local keys, c = {}, background
    for i = 1, 300 do
      keys[i] = keys[i - 100] or ctx.key("k" .. i)
      c = ctx.with_value(c, keys[i], i)
      if i % 7 == 0 then
        c = ctx.with_cancel(c)
      end
    end
    for i = 201, 300 do
      assert.equal(i, c:value(keys[i]))
    end
    assert.is_nil(c:value(user))
    assert.equal(1, ctx.with_value(c, user, 1):value(user))
  end)

  it("is right from every place of a tree with many branches", function()
    local branches = {}
    local trunk = ctx.with_value(background, user, "trunk")
    for i = 1, 50 do
      branches[i] = ctx.with_value(ctx.with_value(trunk, trace, i), i, "own")
    end
    for i, c in ipairs(branches) do
      assert.same({ "trunk", i, "own" }, { c:value(user), c:value(trace), c:value(i) })
      assert.is_nil(c:value(i + 1))
    end
  end)
end)

describe("names", function()
  it("tell how a context came about", function()
    local c = ctx.with_cancel(background)
    assert.equal("ctx.background.with_cancel", tostring(c))
    assert.equal("ctx.todo.without_cancel", tostring(ctx.without_cancel(ctx.todo())))
    assert.equal("ctx.background.with_cancel.with_cancel", tostring((ctx.with_cancel(c))))
  end)

  it("show deadlines in parentheses", function()
    local timed = ctx.with_timeout(background, 500)
    local at = ctx.with_deadline(background, ctx.now() + 500)
    assert.matches("^ctx%.background%.with_timeout%(.+%)$", tostring(timed))
    assert.matches("^ctx%.background%.with_deadline%(.+%)$", tostring(at))
  end)

  it("show the key of a value and never its content", function()
    local secret = setmetatable({}, { __tostring = function() return "hunter2" end })
    for _, value in ipairs({ "hunter2", secret }) do
      local c = ctx.with_cancel((ctx.with_value(background, user, value)))
      local name = tostring(c)
      assert.matches("^ctx%.background%.with_value%(.*user.*%)%.with_cancel$", name)
      assert.is_nil(name:find("hunter2", 1, true))
    end
  end)

  it("do not change with the end of the context", function()
    local c, cancel = ctx.with_cancel(background)
    local before = tostring(c)
    cancel("why")
    assert.equal(before, tostring(c))
  end)

  it("leave room for a label", function()
    local c = ctx.with_cancel(background)
    c:name("order 17")
    assert.equal("order 17", c:name())
    c:name("order 18")
    collectgarbage()
    assert.equal("order 18", c:name())
  end)
end)

-- Cause: a walk that got far made a table of all that could be seen from where it began, at each
-- link that was asked. Cure: a walk ends at the first table that it meets, and a link gets one when
-- walks from there have cost as much as making it.
describe("a long chain of values", function()
  --- A chain in which each link is asked for the value at the top; what it keeps, in kB.
  local function kept(depth)
    collectgarbage()
    collectgarbage()
    local before, key, links = collectgarbage("count"), ctx.key("top"), {}
    local c = ctx.with_value(background, key, "v")
    for i = 1, depth do
      c = ctx.with_value(c, "key" .. i, i)
      links[i] = c
      assert.equal("v", c:value(key))
    end
    collectgarbage()
    collectgarbage()
    local after = collectgarbage("count")
    assert.equal(depth, #links)
    return after - before
  end

  it("keeps memory that grows as its depth", function()
    kept(100)
    local some = kept(800)
    assert.is_true(kept(1600) < 3 * some)
  end)

  it("is looked up at the same cost from any depth, when that is done often", function()
    local function cost(depth)
      local key = ctx.key("top")
      local c = ctx.with_value(background, key, "v")
      for i = 1, depth do
        c = ctx.with_value(c, i, i)
        if i % 100 == 0 then c:value(key) end
      end
      for _ = 1, 100 do c:value(key) end
      return cpu.least(2000, function() c:value(key) end)
    end
    cpu.at_most(4, function() return cost(100) end, function() return cost(3000) end)
  end)

  it("has the nearest value of each key, whatever was asked before", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 8 do
      local c, seen, chain = background, {}, {}
      for i = 1, 300 do
        local key = math.random(3) == 1 and i or math.random(20)
        local value = math.random(5) > 1 and i or nil
        c = ctx.with_value(c, key, value)
        local now = {}
        for k, v in pairs(seen) do now[k] = v end
        now[key] = value == nil and "nil" or value
        seen = now
        chain[i] = { c = c, seen = seen }
        for _ = 1, math.random(12) do
          local link = chain[math.random(#chain)]
          local asked = math.random(25)
          local want = link.seen[asked]
          if want == "nil" then want = nil end
          assert.equal(want, link.c:value(asked), "seed " .. seed)
        end
      end
    end
  end)
end)
