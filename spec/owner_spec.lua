-- SPDX-License-Identifier: MIT
-- A task that a module starts says what it does, and for whom.
--
-- Cause: a function that ends with a tail call leaves no line in a traceback, and the docs write
-- most handlers and workers so: a report of their errors showed lines of the library only. Cure:
-- the task has an owner, which is the last line of its error's traceback.
local core = require "ctx.core"
local ctx = require "ctx"
local owner = require "ctx.owner"
local reports = require "spec.support.reports"
local shutdown = require "ctx.shutdown"
local testing = require "ctx.testing"

describe("the owner of a task", function()
  it("is the last line of its error's traceback", function()
    testing.run(function()
      local task = ctx.go(function()
        local _ <close> = owner.claim("the greeter")
        error("why")
      end)
      task:wait()
      assert.matches("^stack traceback:.*\n\tin the greeter$", task:traceback())
    end)
  end)

  it("is told in the list of tasks, until it lets go", function()
    testing.run(function(root)
      local co
      local task = ctx.go(function()
        co = coroutine.running()
        do
          local _ <close> = owner.claim("the greeter")
          do
            local _ <close> = owner.claim("the inner one")
            ctx.sleep(root, 1)
          end
          ctx.sleep(root, 1)
        end
        ctx.sleep(root, 1)
      end)
      local function owner_now()
        for _, each in ipairs(core.tasks()) do
          if each.co == co then return each.owner end
        end
      end
      ctx.sleep(root, 0.5)
      assert.equal("the inner one", owner_now())
      ctx.sleep(root, 1)
      assert.equal("the greeter", owner_now())
      ctx.sleep(root, 1)
      assert.is_nil(owner_now())
      task:wait()
    end)
  end)

  it("does not stay with the thread when the next task uses it", function()
    testing.run(function()
      ctx.go(function()
        local _ <close> = owner.claim("the greeter")
      end):wait()
      local task = ctx.go(error, "why")
      task:wait()
      assert.is_nil(task:traceback():find("greeter", 1, true))
    end)
  end)

  it("is told when all tasks are asleep", function()
    local _, err = pcall(ctx.run, function()
      ctx.go(function()
        local _ <close> = owner.claim("the greeter")
        core.queue():wait(nil, "a queue")
      end):wait()
    end)
    assert.matches("a task (the greeter) waiting in a queue", tostring(err), 1, true)
  end)
end)

describe("the report of a worker's error", function()
  it("ends with the place of its function", function()
    local line
    local list = reports(function()
      ctx.run(function(root)
        local s <close> = shutdown.new(root, { signals = {} })
        local function worker(c) return testing.run(c) end
        line = debug.getinfo(worker, "S").linedefined
        s:go(worker)
      end)
      collectgarbage()
      collectgarbage()
      ctx.run(function() end)
    end)
    local place = ("\n\tin the worker spec/owner_spec.lua:%d"):format(line)
    assert.equal(place, list[1].message:sub(-#place))
  end)
end)
