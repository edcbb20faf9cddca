-- SPDX-License-Identifier: MIT
--- ctx.testing and ctx.run. Under a clock that is moved by hand time stands still while a task
--- waits for something outside, so these have a part of the round to themselves, on the main thread
--- and without sockets and files.
local ctx = require "ctx"
local testing = require "ctx.testing"

local operations, classes = {}, {}

classes["ctx.testing.Snapshot"] = {
  make = function(play) return play:keep("ctx.testing.Snapshot", testing.snapshot()) end,
}

operations["ctx.testing.clock"] = function(play)
  local clock <close> = testing.clock()
  clock:now()
  play:step("a fake clock")
end

operations["ctx.testing.Clock:advance"] = function(play)
  local clock <close> = testing.clock()
  local before = clock:elapsed()
  clock:advance(play.random(10))
  play:claim(clock:elapsed() > before, "time stood still")
end

operations["ctx.testing.Clock:settle"] = function(play)
  local clock <close> = testing.clock()
  play:one("ctx.Task")
  clock:settle()
end

operations["ctx.testing.Clock:now"] = function(play)
  local clock <close> = testing.clock()
  play:claim(clock:now() >= 0, "a time before all times")
end

operations["ctx.testing.Clock:elapsed"] = function(play)
  local clock <close> = testing.clock()
  play:claim(clock:elapsed() >= 0, "time goes backwards")
end

operations["ctx.testing.Clock:close"] = function()
  local clock = testing.clock()
  clock:close()
  clock:close()
end

operations["ctx.testing.run"] = function(play)
  return testing.run(function(root, clock)
    ctx.sleep(root, 1000)
    clock:advance(5)
    play:step("testing.run")
    return play:value()
  end, { name = "the fuzzer", real = play:chance(3) })
end

operations["ctx.testing.snapshot"] = function(play)
  play:keep("ctx.testing.Snapshot", testing.snapshot())
end

operations["ctx.testing.Snapshot:leaks"] = function(play)
  for _, leak in ipairs(play:one("ctx.testing.Snapshot"):leaks()) do
    play:claim(type(leak) == "string", "a leak that is no text")
  end
end

operations["ctx.testing.Snapshot:check"] = function(play)
  play:one("ctx.testing.Snapshot"):check("the fuzzer")
end

-- It waits for all tasks.
operations["ctx.run"] = function(play)
  return ctx.run(function(root)
    for _ = 1, 5 do
      ctx.go(function()
        play:step("ctx.run")
        ctx.sleep(root, play:ms())
      end)
    end
    return play:value()
  end)
end

return { operations = operations, classes = classes }
