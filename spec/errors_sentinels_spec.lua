-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"

describe("the sentinels", function()
  it("print as Go's", function()
    assert.equal("context canceled", tostring(ctx.canceled))
    assert.equal("context deadline exceeded", tostring(ctx.deadline_exceeded))
  end)

  it("only deadline_exceeded is a timeout, and temporary", function()
    assert.is_true(ctx.deadline_exceeded:timeout())
    assert.is_true(ctx.deadline_exceeded:temporary())
    assert.is_false(ctx.canceled:timeout())
    assert.is_false(ctx.canceled:temporary())
  end)

  it("what wraps a timeout is one", function()
    assert.is_true(errors.wrap(ctx.deadline_exceeded, "query"):timeout())
    assert.is_false(errors.wrap(ctx.canceled, "query"):timeout())
    assert.is_false(errors.new("query"):temporary())
  end)

  it("are those of ctx.errors", function()
    assert.is_true(rawequal(ctx.canceled, errors.canceled))
    assert.is_true(rawequal(ctx.deadline_exceeded, errors.deadline_exceeded))
  end)

  -- Under busted each spec file has an instance of every module. When the sentinels were locals
  -- of the module, a comparison across two of them failed: one table in the state holds them.
  it("are the same in every instance of the module", function()
    local loaded = package.loaded["ctx.errors"]
    package.loaded["ctx.errors"] = nil
    local again = require "ctx.errors"
    package.loaded["ctx.errors"] = loaded
    assert.is_false(rawequal(again, errors))
    assert.is_true(rawequal(again.canceled, errors.canceled))
    assert.is_true(rawequal(again.deadline_exceeded, errors.deadline_exceeded))
    local err = again.wrap(errors.new("base"), "outer")
    assert.is_true(rawequal(getmetatable(err), getmetatable(errors.new("x"))))
    assert.equal("again: outer: base", tostring(errors.wrap(err, "again")))
    assert.is_true(errors.is(again.wrap(errors.canceled, "outer"), again.canceled))
  end)
end)

describe("errors.ended", function()
  local cause = errors.new("client went away")

  it("is the sentinel itself when there is no cause of its own", function()
    assert.is_true(rawequal(ctx.canceled, errors.ended(ctx.canceled, nil)))
    assert.is_true(rawequal(ctx.canceled, errors.ended(ctx.canceled, ctx.canceled)))
  end)

  it("is both the sentinel and the cause", function()
    local err = errors.ended(ctx.deadline_exceeded, cause)
    assert.equal("context deadline exceeded: client went away", tostring(err))
    assert.is_true(errors.is(err, ctx.deadline_exceeded))
    assert.is_true(errors.is(err, cause))
    assert.is_false(errors.is(err, ctx.canceled))
    assert.is_true(err:timeout())
  end)

  it("takes a cause that is not an object", function()
    local err = errors.ended(ctx.canceled, "shutting down")
    assert.equal("context canceled: shutting down", tostring(err))
    assert.is_true(errors.is(err, "shutting down"))
    assert.is_true(errors.is(err, ctx.canceled))
  end)

  it("finds what the cause wraps", function()
    local err = errors.ended(ctx.canceled, errors.wrap(cause, "read body"))
    assert.equal("context canceled: read body: client went away", tostring(err))
    assert.is_true(errors.is(err, cause))
  end)
end)

describe("long chains and wide joins", function()
  it("are walked and printed without recursion", function()
    local base = errors.new("base")
    local err = base
    for _ = 1, 10000 do
      err = errors.join(errors.wrap(err, "w"))
    end
    assert.is_true(errors.is(err, base))
    assert.is_false(errors.is(err, ctx.canceled))
    assert.equal(#"w: " * 10000 + #"base", #tostring(err))
  end)

  it("open each error once, however often it was joined", function()
    local base = errors.new("base")
    local err = base
    for _ = 1, 64 do
      err = errors.join(err, err)
    end
    assert.is_false(errors.is(err, ctx.canceled))
    assert.is_true(errors.is(err, base))
  end)

  it("end for a class whose unwrap goes in circles", function()
    local circle = { unwrap = function(err) return err end }
    assert.is_false(errors.is(setmetatable({}, circle), ctx.canceled))
  end)
end)

describe("tracebacks", function()
  after_each(function() ctx.debug(false) end)

  it("are not kept by default", function()
    assert.is_nil(errors.new("x").traceback)
    assert.is_nil(errors.wrap("x", "y").traceback)
  end)

  it("begin where the error was made, when debugging is on", function()
    ctx.debug(true)
    local here = debug.getinfo(1, "S").short_src
    for name, err in pairs({
      new = errors.new("x"),
      wrap = errors.wrap("x", "y"),
      join = errors.join("x"),
      ended = errors.ended(ctx.canceled, "x"),
    }) do
      local first = err.traceback:match("^stack traceback:\n%s*([^\n]+)")
      assert.is_true(first:find(here, 1, true) == 1, name .. " begins at " .. first)
    end
  end)

  it("are not in the text", function()
    ctx.debug(true)
    assert.equal("y: x", tostring(errors.wrap(errors.new("x"), "y")))
  end)
end)

describe("misuse of ctx.errors raises at the caller's line", function()
  it("for a message that is not a string", function()
    misuse.raises(function() errors.new(nil) end, "#1", "'new'", "message", "got nil")
    misuse.raises(function() errors.new(404) end, "#1", "'new'", "message", "got 404")
    misuse.raises(function() errors.wrap("x", nil) end, "#2", "'wrap'", "message", "got nil")
  end)

  it("for a message that is not a string, also when there is no error to wrap", function()
    misuse.raises(function() errors.wrap(nil, {}) end, "#2", "'wrap'", "got table")
  end)

  it("for a target that is nil, as a misspelt sentinel is", function()
    misuse.raises(function() errors.is(ctx.canceled, ctx.cancelled) end, "#2", "'is'", "target")
    misuse.raises(function() errors.is(nil, nil) end, "#2", "'is'", "target")
  end)

  it("for a class that is not a table", function()
    misuse.raises(function() errors.as(ctx.canceled, "ctx.error") end, "#2", "'as'", "metatable")
    misuse.raises(function() errors.as(nil, nil) end, "#2", "'as'", "got nil")
    local err = errors.new("x")
    misuse.raises(function() errors.as(ctx.canceled, getmetatable(err).__tostring) end, "function")
    misuse.raises(function() errors.new(err) end, "got ctx.error")
  end)
end)
