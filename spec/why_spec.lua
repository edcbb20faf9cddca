-- SPDX-License-Identifier: MIT
-- Who ended a context, and from where; without touching the sentinels.
local ctx = require "ctx"
local errors = require "ctx.errors"
local testing = require "ctx.testing"
local uv = require "luv"

local function line()
  return debug.getinfo(2, "l").currentline
end

describe("c:why()", function()
  it("is nil while the context lives", function()
    testing.run(function(root)
      assert.is_nil(root:why())
      assert.is_nil(ctx.background():why())
    end)
  end)

  it("tells the file and line of the cancel, below it too", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local child, cancel_child <close> = ctx.with_cancel(ctx.with_value(c, "key", "secret"))
      cancel("client gone") local at = line()
      for _, ended in ipairs({ c, child }) do
        local why = ended:why()
        assert.equal(ctx.canceled, why.err)
        assert.equal("client gone", why.cause)
        assert.matches("why_spec%.lua:" .. at .. "$", why.by)
        assert.equal("ctx.background.with_cancel.with_cancel", why.path)
      end
      assert.is_nil(tostring(child:why()):find("secret", 1, true))
    end)
  end)

  it("tells a child's own cancel from its parent's later one", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local child, cancel_child = ctx.with_cancel(c)
      cancel_child() local at = line()
      cancel()
      assert.matches(":" .. at .. "$", child:why().by)
    end)
  end)

  -- Cause: from an `any` it went on to the first source. Cure: to the one that ended it.
  it("tells which source ended an any, whatever ends later, or had ended before", function()
    testing.run(function(root)
      local a, cancel_a = ctx.with_cancel(root)
      local b, cancel_b = ctx.with_cancel(root)
      local c, cancel_c <close> = ctx.any(a, b)
      cancel_b() local at = line()
      local born_done, cancel_born <close> = ctx.any(a, b)
      cancel_a()
      local below, cancel_below <close> = ctx.any(c, a)
      for _, ended in ipairs({ c, born_done, below }) do
        assert.matches(":" .. at .. "$", ended:why().by)
      end
      local d, cancel_d = ctx.any(root, ctx.background())
      cancel_d() at = line()
      assert.matches(":" .. at .. "$", d:why().by)
    end)
  end)

  it("tells name and budget of the deadline that passed, not of the one asked", function()
    testing.run(function(root, clock)
      local outer, cancel_outer <close> = ctx.with_timeout(root, 500)
      outer:name("checkout")
      local inner, cancel_inner <close> = ctx.with_timeout(outer, 800)
      inner:name("charge")
      clock:advance(500)
      local why = inner:why()
      assert.equal("checkout", why.name)
      assert.equal(500, why.budget_ms)
      assert.is_nil(why.by)
      assert.matches("^context deadline exceeded: checkout, 500 ms, ctx%.background[^,]*$",
        tostring(why))
    end)
  end)

  it("knows no canceller of a deadline that passed, though cancel was called later", function()
    testing.run(function(root, clock)
      local c, cancel = ctx.with_timeout(root, 5)
      clock:advance(5)
      cancel("too late")
      assert.is_nil(c:why().by)
      assert.equal(ctx.deadline_exceeded, c:why().err)
    end)
  end)

  it("prints who cancelled and why; no unused budget, and no cause twice", function()
    testing.run(function(root)
      local c, cancel = ctx.with_timeout(root, 500)
      c:name("charge")
      cancel("client gone") local at = line()
      assert.matches("^context canceled: charge, cancelled at %S*why_spec%.lua:" .. at
        .. ", because client gone, ctx%.background[^,]*$", tostring(c:why()))
      local plain, cancel_plain = ctx.with_cancel(root)
      cancel_plain() at = line()
      assert.matches("^context canceled: cancelled at %S*why_spec%.lua:" .. at
        .. ", ctx%.background[^,]*$", tostring(plain:why()))
    end)
  end)

  -- A luv callback stands, on the main thread, above the lines of who runs the loop.
  it("blames no line of who runs the loop for what a callback of the library's cancels", function()
    testing.run(function(root)
      local c, stop <close> = require("ctx.signal").notify(root, "sigusr1")
      uv.kill(uv.os_getpid(), "sigusr1")
      c:wait()
      assert.matches("/ctx/signal%.lua:%d+$", c:why().by)
    end)
  end)

  it("is of one class in every instance of the module", function()
    local c, cancel = ctx.with_cancel(ctx.background())
    cancel()
    local before = getmetatable(c:why())
    local loaded = package.loaded["ctx.why"]
    package.loaded["ctx.why"] = nil
    require "ctx.why"
    package.loaded["ctx.why"] = loaded
    assert.equal(before, getmetatable(c:why()))
  end)

  it("leaves the sentinels and their texts as they are", function()
    testing.run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      assert.is_true(rawequal(ctx.canceled, c:err()))
      assert.is_true(rawequal(ctx.canceled, select(2, ctx.sleep(c, 1))))
      assert.is_true(errors.is(c:why().err, ctx.canceled))
      assert.equal("context canceled", tostring(c:err()))
    end)
  end)

  it("knows no line without ctx.debug, and the rest all the same", function()
    local debugging = ctx.debug()
    ctx.debug(false)
    local c, cancel = ctx.with_timeout(ctx.background(), 1000)
    cancel("enough")
    ctx.debug(debugging)
    local why = c:why()
    assert.equal("enough", why.cause)
    assert.is_nil(why.by)
    assert.is_nil(why.budget_ms)
  end)
end)
