-- SPDX-License-Identifier: MIT
-- Misuse raises at the line of the caller, names the argument, and changes nothing. Contexts that
-- `ctx` did not make are misuse as well (docs/decisions/0001-no-foreign-contexts.md).
local ctx = require "ctx"
local misuse = require "spec.support.misuse"
local testing = require "ctx.testing"

local background = ctx.background()
local raises = misuse.raises
local function nothing() end

--- A table that answers like a context in every way.
local function look_alike()
  local c = {}
  for _, name in ipairs({ "err", "cause", "done", "deadline", "remaining", "value", "wait" }) do
    c[name] = nothing
  end
  return setmetatable(c, { __name = getmetatable(background).__name or "ctx.Context" })
end

--- Values that are not contexts, with a name for each.
local function strangers()
  local _, cancel = ctx.with_cancel(background)
  return {
    { "nil", nil }, { "a boolean", true }, { "a number", 5 }, { "a string", "ctx.background" },
    { "a table", {} }, { "a function", ctx.background }, { "a file", io.stdout },
    { "a thread", coroutine.create(nothing) }, { "a key", ctx.key("k") }, { "a cancel", cancel },
    { "the module", ctx }, { "a look-alike", look_alike() },
  }
end

describe("a parent that is not a context is refused:", function()
  for _, stranger in ipairs(strangers()) do
    local name, it_is = stranger[1], stranger[2]
    it(name, function()
      raises(function() ctx.with_cancel(it_is) end, "#1", "with_cancel")
      raises(function() ctx.with_timeout(it_is, 100) end, "#1", "with_timeout")
      raises(function() ctx.with_deadline(it_is, 100) end, "#1", "with_deadline")
      raises(function() ctx.without_cancel(it_is) end, "#1", "without_cancel")
      raises(function() ctx.with_value(it_is, "key", 1) end, "#1", "with_value")
      raises(function() ctx.after_func(it_is, nothing) end, "#1", "after_func")
      raises(function() ctx.any(it_is) end, "#1", "any")
      raises(function() ctx.any(background, it_is, background) end, "#2", "any")
      raises(function() ctx.sleep(it_is, 1) end, "#1", "sleep")
      raises(function() ctx.await(it_is, nothing) end, "#1", "await")
    end)
  end
end)

describe("a method called on something that is not a context is refused:", function()
  local c = ctx.with_cancel(background)
  for _, stranger in ipairs(strangers()) do
    local name, it_is = stranger[1], stranger[2]
    it(name, function()
      raises(function() c.err(it_is) end, "#1", "err")
      raises(function() c.cause(it_is) end, "#1", "cause")
      raises(function() c.done(it_is) end, "#1", "done")
      raises(function() c.deadline(it_is) end, "#1", "deadline")
      raises(function() c.remaining(it_is) end, "#1", "remaining")
      raises(function() c.value(it_is, "key") end, "#1", "value")
      raises(function() c.name(it_is, "name") end, "#1", "name")
      raises(function() c.wait(it_is) end, "#1", "wait")
    end)
  end

  it("nothing at all", function()
    raises(function() ctx.any() end, "#1", "any")
    raises(function() c.err() end, "#1", "err")
    raises(function() c.value() end, "#1", "value")
  end)
end)

describe("a time is refused", function()
  it("that is not a number, numbers in strings included", function()
    for _, time in ipairs({ "100", "soon", true, {}, background }) do
      raises(function() ctx.with_timeout(background, time) end, "#2", "with_timeout")
      raises(function() ctx.with_deadline(background, time) end, "#2", "with_deadline")
      raises(function() ctx.sleep(background, time) end, "#2", "sleep")
    end
  end)

  it("that is missing", function()
    raises(function() ctx.with_timeout(background) end, "#2", "with_timeout")
    raises(function() ctx.with_deadline(background, nil, "late") end, "#2", "with_deadline")
    raises(function() ctx.sleep(background) end, "#2", "sleep")
  end)

  it("that is NaN", function()
    raises(function() ctx.with_timeout(background, 0 / 0) end, "#2", "with_timeout")
    raises(function() ctx.with_deadline(background, 0 / 0) end, "#2", "with_deadline")
    raises(function() ctx.sleep(background, 0 / 0) end, "#2", "sleep")
  end)

  it("that is out of range: neither infinite nor a time that a clock can show", function()
    for _, time in ipairs({ 1e18, 1e300, math.maxinteger }) do
      raises(function() ctx.with_timeout(background, time) end, "#2", "with_timeout")
      raises(function() ctx.with_deadline(background, time) end, "#2", "with_deadline")
      raises(function() ctx.sleep(background, time) end, "#2", "sleep")
    end
  end)
end)

describe("a key is refused", function()
  it("that is nil or NaN", function()
    raises(function() ctx.with_value(background, nil, 1) end, "#2", "with_value")
    raises(function() ctx.with_value(background, 0 / 0, 1) end, "#2", "with_value")
    raises(function() ctx.with_value(background) end, "#2", "with_value")
    raises(function() background:value(nil) end, "#1", "value")
    raises(function() background:value(0 / 0) end, "#1", "value")
  end)

  it("whose name is not a string", function()
    raises(function() ctx.key(nil) end, "#1", "key")
    raises(function() ctx.key({}) end, "#1", "key")
  end)
end)

describe("something that is not a function is refused", function()
  it("by after_func, go, run, await and with", function()
    local c, cancel = ctx.with_cancel(background)
    for _, fn in ipairs({ "fn", 5, {}, c }) do
      raises(function() ctx.after_func(c, fn) end, "#2", "after_func")
      raises(function() ctx.go(fn) end, "#1", "go")
      raises(function() ctx.run(fn) end, "#1", "run")
      raises(function() ctx.await(c, fn) end, "#2", "await")
      raises(function() ctx.with(c, cancel, fn) end, "#3", "with")
    end
    raises(function() ctx.after_func(c) end, "#2", "after_func")
    raises(function() ctx.go() end, "#1", "go")
    raises(function() ctx.run() end, "#1", "run")
    assert.is_nil(c:err())
    cancel()
  end)
end)

describe("more that is refused", function()
  it("a name that is not a string", function()
    local c = ctx.with_cancel(background)
    c:name("kept")
    for _, name in ipairs({ {}, true, background }) do
      raises(function() c:name(name) end, "name")
    end
    assert.equal("kept", c:name())
  end)

  it("by with, before its function runs: not a context, or not a cancel", function()
    local c, cancel = ctx.with_cancel(background)
    local ran = 0
    local function run() ran = ran + 1 end
    raises(function() ctx.with(nil, cancel, run) end, "#1", "with")
    raises(function() ctx.with({}, cancel, run) end, "#1", "with")
    raises(function() ctx.with(c, nil, run) end, "#2", "with")
    raises(function() ctx.with(c, "cancel", run) end, "#2", "with")
    assert.equal(0, ran)
    assert.is_nil(c:err())
    cancel()
  end)

  it("by set_report: not a function, which would lose every report", function()
    local before = ctx.set_report(nil)
    ctx.set_report(before)
    raises(function() ctx.set_report("stderr") end, "#1", "set_report")
    assert.equal(before, ctx.set_report(before))
  end)

  it("a cancel's own functions on something else", function()
    local c, cancel = ctx.with_cancel(background)
    local metatable = getmetatable(cancel)
    raises(function() metatable.__call(c) end, "#1")
    raises(function() metatable.__close({}) end, "#1")
    assert.is_nil(c:err())
    cancel()
  end)

  it("a task's method on something else", function()
    testing.run(function(root)
      local task = ctx.go(nothing)
      for _, other in ipairs({ root, {}, 5, "task" }) do
        raises(function() task.wait(other) end, "#1", "wait")
        raises(function() task.status(other) end, "#1", "status")
        raises(function() task.traceback(other) end, "#1", "traceback")
      end
      raises(function() task:wait({}) end, "wait")
      task:wait()
    end)
  end)

  it("writing to a context", function()
    local c = ctx.with_cancel(background)
    assert.is_false((pcall(function() c.err = nothing end)))
    assert.is_false((pcall(function() c.user = "ann" end)))
    assert.is_nil(c:err())
  end)
end)

describe("after misuse nothing has changed:", function()
  it("the context lives, has its children, and ends as ever", function()
    local clock <close> = testing.clock()
    local c, cancel = ctx.with_timeout(background, 100, "late")
    local child = ctx.with_cancel(c)
    local name, ran = tostring(c), 0 -- the name tells what is left, too
    ctx.after_func(c, function() ran = ran + 1 end)
    pcall(ctx.with_timeout, c, "50")
    pcall(ctx.with_timeout, c, 0 / 0, "never")
    pcall(ctx.with_deadline, c, 1e300, "never")
    pcall(ctx.with_value, c, nil, "value")
    pcall(ctx.any, c, {})
    pcall(ctx.after_func, c, "fn")
    pcall(c.name, c, {})
    assert.equal(name, tostring(c))
    clock:advance(60)
    assert.is_nil(c:err())
    assert.equal(40, c:remaining())
    assert.equal(name, (tostring(c):gsub("40", "100")))
    cancel("why")
    clock:advance(1000)
    assert.equal("why", child:cause())
    assert.equal(1, ran)
  end)

  it("the context is given back to the collector", function()
    local weak = setmetatable({}, { __mode = "v" })
    local function make()
      local c = ctx.with_cancel(background)
      weak[1] = c
      pcall(ctx.any, c, background, {})
      pcall(ctx.after_func, c, 5)
      pcall(ctx.with_timeout, c, "50")
    end
    make()
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("A method of a class of C's that is called with a dot", function()
  local objects = {
    context = ctx.background(), task = ctx.go(function() end),
    group = require("ctx.errgroup").new(), semaphore = require("ctx.semaphore").new(1),
  }

  it("says so at the caller's line", function()
    for class, object in pairs(objects) do
      for name, method in pairs(getmetatable(object).__index) do
        for _, given in ipairs { false, {}, 1, print, io.stdout } do
          local ok, message = pcall(function()
            local results = table.pack(method(given or nil))
            return results
          end)
          assert.is_false(ok, class .. ":" .. name)
          assert.matches("^[^\n]-spec/misuse_spec%.lua:%d+: bad argument #1", message)
          assert.truthy(message:find("colon", 1, true) or message:find("call it as c:", 1, true),
            message)
        end
      end
    end
  end)
end)
