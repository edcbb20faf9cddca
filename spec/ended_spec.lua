-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"

local background = ctx.background()

describe("c:ended", function()
  it("is nil while the context lives", function()
    local c, cancel <close> = ctx.with_timeout(background, 1000)
    assert.is_nil(c:ended())
    assert.is_nil(background:ended())
    cancel()
  end)

  it("is the sentinel where there is no cause of its own", function()
    local c, cancel = ctx.with_cancel(background)
    cancel()
    assert.is_true(rawequal(ctx.canceled, c:ended()))
    assert.is_true(rawequal(ctx.deadline_exceeded, ctx.with_timeout(background, 0):ended()))
    local again, cancel_again = ctx.with_cancel(background)
    cancel_again(ctx.canceled)
    assert.is_true(rawequal(ctx.canceled, again:ended()))
  end)

  it("is the sentinel and the cause, and what a wait returns", function()
    local cause = errors.new("too slow")
    local c = ctx.with_timeout(background, 0, cause)
    local err = c:ended()
    assert.equal("context deadline exceeded: too slow", tostring(err))
    assert.is_true(errors.is(err, ctx.deadline_exceeded) and errors.is(err, cause))
    assert.is_true(rawequal(err, (select(2, ctx.sleep(c, 1)))))
  end)

  it("is one object for all that have their end from the same context", function()
    for _, cause in ipairs { "text", errors.new("an error"), false, 7, {}, print } do
      local c, cancel = ctx.with_cancel(background)
      local below = ctx.with_value(ctx.with_cancel(c), "key", "value")
      local any = ctx.any(below, background)
      cancel(cause)
      local err = below:ended()
      for _, each in ipairs { c, below, any } do
        assert.is_true(rawequal(err, each:ended()))
        assert.is_true(rawequal(cause, each:cause()))
      end
      assert.equal(cause, errors.unwrap(err) == ctx.canceled and select(2, errors.unwrap(err)))
    end
  end)

  it("leaves the causes of others alone", function()
    local parent, cancel_parent = ctx.with_cancel(background)
    local child, cancel_child = ctx.with_cancel(parent)
    cancel_child("child")
    cancel_parent("parent")
    assert.equal("context canceled: child", tostring(child:ended()))
    assert.equal("context canceled: parent", tostring(parent:ended()))
    assert.equal("child", child:cause())
    assert.equal("parent", parent:cause())
  end)

  it("is the same when finalizers ask meanwhile", function()
    local c, cancel = ctx.with_cancel(background)
    cancel("cause")
    local asked
    setmetatable({}, { __gc = function() asked = c:ended() end })
    collectgarbage()
    assert.is_true(rawequal(asked, c:ended()))
    assert.equal("cause", c:cause())
  end)

  it("raises at the caller's line when it is called with a dot", function()
    local ok, message = pcall(function() return background.ended() end)
    assert.is_false(ok)
    assert.matches("c %(call it as c:ended%(%)%)", message)
  end)
end)
