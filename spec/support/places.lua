-- SPDX-License-Identifier: MIT
--- Where a coroutine may wait: each function calls fn(root) there, where root is a context, and
--- returns when fn has returned.
local ctx = require "ctx"
local testing = require "ctx.testing"
local uv = require "luv"

---@type table<string, fun(fn: fun(root: ctx.Context))>
return {
  ["a task"] = function(fn) ctx.run(fn) end,
  ["a task in a loop that the program runs"] = function(fn)
    local task = ctx.go(fn, ctx.background())
    repeat uv.run("once") until task:status() == "done" or task:status() == "failed"
    task:wait() -- its error is this one's
  end,
  ["a task under a hand-moved clock"] = function(fn) testing.run(fn) end,
  ["a coroutine of the program's"] = function(fn)
    local co = coroutine.create(fn)
    assert(coroutine.resume(co, ctx.background()))
    while coroutine.status(co) ~= "dead" do uv.run("once") end
  end,
  ["a coroutine under ctx.run"] = function(fn)
    ctx.run(function(root)
      local co = coroutine.create(fn)
      assert(coroutine.resume(co, root))
      while coroutine.status(co) ~= "dead" do ctx.sleep(root, 1) end
    end)
  end,
  ["the main thread"] = function(fn) fn(ctx.background()) end,
  ["the body of a generator"] = function(fn)
    ctx.run(function(root)
      for _ in ctx.wrap(function() fn(root) end) do end
    end)
  end,
}
