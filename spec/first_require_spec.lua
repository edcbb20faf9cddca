-- SPDX-License-Identifier: MIT
-- Cause: luv before 1.45 keeps the thread that loads it. Where that was a coroutine, which programs
-- for luv begin with, its callbacks ran on a stack that had been collected. Cure: luv is loaded on
-- the main thread's stack, wherever the library is required.
local annotations = require "spec.docs.annotations"
local program = require "spec.support.program"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."
local _, _, tree = annotations.all(top)

local PROGRAM = [[
  coroutine.wrap(function() require %q end)()
  for _ = 1, 3 do collectgarbage() end
  local ctx, luv = require "ctx", require "luv"
  local background, done = ctx.background(), 0
  local function junk() local list = {} for i = 1, 2000 do list[i] = { i } end end
  local function work()
    for _ = 1, 3 do
      ctx.sleep(background, 1)
      junk()
    end
    done = done + 1
  end
  coroutine.wrap(function()
    ctx.go(work)
    work()
  end)()
  luv.run()
  ctx.run(work)
  work()
  local timer = luv.new_timer()
  timer:start(1, 0, function() done = done + 1 timer:close() end)
  luv.run()
  print(done)
]]

describe("The first require of a module inside a coroutine that is collected", function()
  for _, name in ipairs(tree.public) do
    it("works: " .. name, function()
      local output, noise, code = program.run(PROGRAM:format(name))
      assert.equal("", noise)
      assert.equal("5\n", output)
      assert.equal(0, code)
    end)
  end

  it("passes on what the loading of luv raises", function()
    local output, noise, code = program.run([[
      package.preload.luv = function() error("no luv here") end
      coroutine.wrap(function() print(pcall(require, "ctx")) end)()
    ]])
    assert.equal("", noise)
    assert.matches("^false\t.*no luv here", output)
    assert.equal(0, code)
  end)
end)
