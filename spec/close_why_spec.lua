-- SPDX-License-Identifier: MIT
-- Cause: some closes took a reason and some did not, what they took was a text for an error or
-- nothing at all, and `<close>` handed the scope's error to a few. Cure: one rule for all that is
-- closed at once; what waits when it is closed takes a context.
local annotations = require "spec.docs.annotations"
local closables = require "spec.support.closables"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."

-- Those of another meaning: Go's, and the return of the real clock, for which nobody waits.
local APART = { ["ctx.channel.Channel"] = true, ["ctx.testing.Clock"] = true }

--- Lets a task wait, closes the object that it waits on, and returns what the wait returned.
---@param root ctx.Context
---@param it table  one of closables
---@param close fun(object: any)
local function closed_meanwhile(root, it, close)
  local over, finish <close> = ctx.with_cancel(root)
  local results
  local co = coroutine.create(function()
    results = table.pack(pcall(it.wait, root))
    finish()
  end)
  assert(coroutine.resume(co))
  assert(results == nil, "it did not wait")
  close(it.object)
  over:wait()
  assert(table.unpack(results, 1, 2))
  return results[2], results[3]
end

--- Runs fn(root, it) for each wait of each class.
local function for_each(what, fn)
  for class, waits in pairs(closables) do
    for name, make in pairs(waits) do
      it(("%s: %s, %s"):format(what, class, name), function()
        loopback.run(function(root)
          local made = make(root)
          local _ <close> = setmetatable({}, { __close = made.done })
          fn(root, made, class, name)
        end)
      end)
    end
  end
end

describe("close(why)", function()
  for_each("gives each waiter, and each later call, exactly why", function(root, made)
    local why, other = errors.new("maintenance"), errors.new("other")
    local got, err = closed_meanwhile(root, made, function(object) object:close(why) end)
    assert.is_nil(got)
    assert(rawequal(err, why), tostring(err))
    made.object:close(other)
    made.object:close()
    if not made.once then
      got, err = made.wait(root)
      assert.is_nil(got)
      assert(rawequal(err, why), tostring(err))
    end
    if made.ctx then
      assert.equal(why, made.ctx:cause())
    end
  end)

  for_each("with a text gives an error that holds it, of code ECLOSED", function(root, made)
    local got, err = closed_meanwhile(root, made, function(object) object:close("maintenance") end)
    assert.is_nil(got)
    assert.is_true(errors.is(err, uv.ECLOSED), tostring(err))
    assert.matches("closed on this side: maintenance", tostring(err), 1, true)
  end)

  for_each("raises if why can be no error, and closes nothing", function(root, made)
    for _, wrong in ipairs { 5, true, print, root } do
      misuse.raises(function() made.object:close(wrong) end, "'close'",
        "why: an error object or a string expected")
    end
    local got, err = closed_meanwhile(root, made, function(object) object:close("now") end)
    assert.is_nil(got)
    assert.matches("now", tostring(err), 1, true)
  end)
end)

describe("Leaving a scope", function()
  local function leave(object, ...)
    local _ <close> = object
    error(...)
  end

  for_each("closes, and keeps the scope's error for itself", function(root, made, class, name)
    local got, err = closed_meanwhile(root, made, function(object)
      assert.is_false((pcall(leave, object, "an error of the scope")))
    end)
    if class == "ctx.http.Server" and name == "serve" then
      assert.is_true(got)
    else
      assert.is_nil(got)
      assert.is_nil(tostring(err):find("an error of the scope", 1, true))
    end
    if class ~= "ctx.http.Server" then
      assert.is_true(errors.is(err, uv.ECLOSED), tostring(err))
      assert.matches("by its owner", tostring(err), 1, true)
    elseif made.ctx then
      assert.equal(require("ctx.http").server_shutdown, made.ctx:cause())
    end
    made.object:close()
  end)
end)

describe("The rule holds for all:", function()
  local found = annotations.read(top)

  it("every close takes why, or the context of its wait", function()
    for name, entry in pairs(found) do
      local class = name:match("^(.*):close$")
      if class and not APART[class] then
        local waits = entry.definition.async or false
        assert.equal(waits and "c" or "why", entry.parameters, name)
        assert.equal(not waits, closables[class] ~= nil, name)
      end
    end
  end)

  it("every method that waits is tried", function()
    for name, entry in pairs(found) do
      local class, method = name:match("^(.*):([%w_]+)$")
      if closables[class] and entry.definition.async then
        assert.truthy(closables[class][method], name)
      end
    end
  end)
end)

describe("process:close(c)", function()
  it("ends the program, also when c ends before the wait does", function()
    loopback.run(function(root)
      local process <close> = assert(uv.start(root, "sh", { stdout = "pipe",
        args = { "-c", "trap '' TERM; echo up; while :; do sleep 1; done" }, grace = 300 }))
      assert.equal("up", process.stdout:read_line(root))
      local ok, err = loopback.cancelled(root, function(c) return process:close(c) end)
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(process.stdout:is_closed())
      assert.is_true(process:close(root))
      assert.equal(9, process.signal)
      assert.is_true(process:close())
    end)
  end)

  it("begins that with a context that is done, and does not wait", function()
    loopback.run(function(root)
      local process <close> = assert(uv.start(root, "sleep", { args = { 300 } }))
      local c, cancel = ctx.with_cancel(root)
      cancel()
      assert.equal(ctx.canceled, select(2, process:close(c)))
      assert.equal(15, assert(process:wait(root)).signal)
      misuse.raises(function() process:close("why") end, "a context expected")
    end)
  end)
end)
