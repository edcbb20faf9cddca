-- SPDX-License-Identifier: MIT
--- Where a coroutine may wait: each function calls fn(root) there, where root is a context, and
--- returns when fn has returned.
local ctx = require "ctx"
local testing = require "ctx.testing"
local uv = require "luv"

--- Runs the loop until then; or raises, once nothing can happen in it any more.
local function run_until(is_over)
  while not is_over() do
    assert(uv.run("once") or is_over(), "nothing can happen any more")
  end
end

---@type table<string, fun(fn: fun(root: ctx.Context))>
return {
  ["a task"] = function(fn) ctx.run(fn) end,
  ["a task in a loop that the program runs"] = function(fn)
    local task = ctx.go(fn, ctx.background())
    run_until(function() return task:status() == "done" or task:status() == "failed" end)
    task:wait() -- its error is this one's
  end,
  ["a task under a hand-moved clock"] = function(fn) testing.run(fn) end,
  ["a coroutine of the program's"] = function(fn)
    local co = coroutine.create(fn)
    assert(coroutine.resume(co, ctx.background()))
    run_until(function() return coroutine.status(co) == "dead" end)
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
