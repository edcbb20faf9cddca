-- SPDX-License-Identifier: MIT
--- Running and waiting, and the looks inside.
local ctx = require "ctx"
local luv = require "luv"

local operations, classes = {}, {}

classes["ctx.Task"] = {
  make = function(play)
    return play:keep("ctx.Task", ctx.go(function()
      play:step("a task")
      return play:value(), play:value()
    end))
  end,
}
classes["thread"] = {}
classes["brief"] = {}

operations["ctx.go"] = function(play)
  play:keep("ctx.Task", ctx.go(play:callback(1, 2, nil), play:value(), play:value()))
end

operations["ctx.sleep"] = function(play)
  local c = play:brief()
  local ok = play:outcome("ctx.sleep", ctx.sleep(c, play:ms()))
  play:claim(not ok or ok == true, "ctx.sleep returned something else than true")
end

--- What a program lets ctx.await wait for: a timer, a work of luv's, another task, nothing.
local function start_of(play)
  local kind = play.random(5)
  return function(resolve)
    if kind == 1 then
      local timer = luv.new_timer()
      timer:start(play.random(10), 0, function()
        if not timer:is_closing() then
          timer:close()
        end
        resolve(play:pick { 1, false, "text" }, 2)
        resolve(3)
      end)
      return timer
    elseif kind == 2 then
      return luv.fs_stat(".", function(_, stat) resolve(stat) end)
    elseif kind == 3 then
      resolve()
      resolve(1)
    elseif kind == 4 then
      ctx.go(function() resolve(luv.new_timer(), 4) end)
    end
    play.resolve = resolve -- late, if at all
    return play:callback()
  end
end

local function close(got)
  if type(got) == "userdata" and not got:is_closing() then
    got:close()
  end
end

operations["ctx.await"] = function(play)
  local free
  if play:chance(2) then
    local call = play:callback()
    free = function(...)
      close(...)
      call(...)
    end
  end
  close(ctx.await(play:brief(), start_of(play), free))
  if play.resolve and play:chance(2) then
    play.resolve(1)
  end
end

operations["ctx.wrap"] = function(play)
  for _ in ctx.wrap(function()
    play:step("a body of ctx.wrap")
    coroutine.yield(1)
    ctx.sleep(play:brief(), play:ms())
    coroutine.yield(2)
  end) do
    if play:chance(4) then
      break
    end
  end
end

operations["ctx.Task:wait"] = function(play)
  local task = play:one("ctx.Task")
  if play:chance(3) then
    return task:wait(play:brief())
  end
  -- Tasks that wait for one another have a deadline only here.
  return task:wait((ctx.with_timeout(play.root, 20)))
end

operations["ctx.Task:status"] = function(play)
  local status = play:one("ctx.Task"):status()
  play:claim(({ ready = 1, running = 1, waiting = 1, done = 1, failed = 1 })[status],
    "a task is %s", play.text(status))
end

operations["ctx.Task:traceback"] = function(play)
  local trace = play:one("ctx.Task"):traceback()
  play:claim(trace == nil or type(trace) == "string", "a traceback that is no text")
end

operations["ctx.debug"] = function(play)
  ctx.debug(play:chance(2))
  play:claim(type(ctx.debug()) == "boolean", "ctx.debug() is no boolean")
end

operations["ctx.counters"] = function(play)
  for name, n in pairs(ctx.counters()) do
    play:claim(n >= 0, "%s is %d", name, n)
  end
end

operations["ctx.set_report"] = function(play)
  if play:chance(4) then
    ctx.set_report(play:callback())
  elseif play:chance(2) then
    ctx.set_report(play.report)
  end
  ctx.set_report(ctx.set_report(play.report))
end

return { operations = operations, classes = classes }
