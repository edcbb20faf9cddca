-- SPDX-License-Identifier: MIT
--- Contexts: made, cancelled, read.
local ctx = require "ctx"

local operations, classes = {}, {}

local function keep(play, c, cancel)
  play:keep("ctx.Cancel", cancel)
  return play:keep("ctx.Context", c)
end

local function derive(play)
  return keep(play, ctx.with_cancel(play:context()))
end

classes["ctx.Context"] = { make = derive }
classes["ctx.Cancel"] = {
  make = function(play)
    local c, cancel = ctx.with_cancel(play:context())
    play:keep("ctx.Context", c)
    return cancel
  end,
  retire = function(play, cancel)
    -- At times a cancel is lost.
    if not play:chance(10) then
      cancel(play:strange_error())
    end
  end,
}
classes["ctx.Key"] = { make = function(play) return play:keep("ctx.Key", ctx.key("fuzz")) end }
classes["stop"] = {
  make = function(play)
    return play:keep("stop", ctx.after_func(play:context(), play:callback()))
  end,
  retire = function(_, stop) stop() end,
}

operations["ctx.with_cancel"] = derive

operations["ctx.with_timeout"] = function(play)
  keep(play, ctx.with_timeout(play:context(), play:ms(), play:value()))
end

operations["ctx.with_deadline"] = function(play)
  keep(play, ctx.with_deadline(play:context(), ctx.now() + play:ms(), play:value()))
end

-- Those that may have no end are kept apart: nobody waits on them.

operations["ctx.without_cancel"] = function(play)
  play:keep("endless", ctx.without_cancel(play:context()))
end

operations["ctx.with_value"] = function(play)
  play:keep("endless", ctx.with_value(play:context(), play:one("ctx.Key"), play:value()))
end

operations["ctx.background"] = function(play)
  play:claim(not ctx.background():err(), "the background has ended")
end

operations["ctx.todo"] = function(play)
  play:claim(not ctx.todo():done(), "ctx.todo() has ended")
end

operations["ctx.any"] = function(play)
  local arms = {}
  for i = 1, play.random(play:pick { 3, 20 }) do
    arms[i] = play:context()
  end
  local c, cancel = ctx.any(table.unpack(arms))
  if play:chance(2) then
    return -- to be collected, in whatever place
  end
  keep(play, c, cancel)
end

operations["ctx.after_func"] = function(play)
  play:keep("stop", ctx.after_func(play:context(), play:callback()))
  if play:chance(2) then
    play:one("stop")()
  end
end

operations["ctx.Cancel()"] = function(play)
  local c, cancel = ctx.with_cancel(play:context())
  local old = c:err()
  ctx.after_func(c, play:callback())
  cancel(play:value())
  play:claim(c:err() and c:done(), "a cancelled context lives")
  play:claim(not old or c:err() == old, "the error of a context has changed")
  play:one("ctx.Cancel")(play:value())
end

operations["ctx.with"] = function(play)
  local c, cancel = ctx.with_cancel(play:context())
  return ctx.with(c, cancel, play:callback(1, nil, 3))
end

operations["ctx.key"] = function(play)
  play:keep("ctx.Key", ctx.key(play:pick { "a", "", ("k"):rep(300) }))
end

operations["ctx.now"] = function(play)
  local now = ctx.now()
  play:claim(ctx.now() >= now, "time goes backwards")
end

--- Kept, or made for this; also one without an end.
local function some(play)
  return play:chance(3) and play:one("endless") or play:context()
end

operations["ctx.Context:err"] = function(play)
  local c = some(play)
  local err = c:err()
  play:claim(err == nil or err == ctx.canceled or err == ctx.deadline_exceeded, "a strange error")
  play:claim(not err or c:err() == err, "the error of a context has changed")
end

operations["ctx.Context:cause"] = function(play)
  local c = some(play)
  local cause = c:cause()
  play:claim(not c:err() or rawequal(cause, c:cause()) or cause == nil, "the cause has changed")
end

operations["ctx.Context:ended"] = function(play)
  local c = some(play)
  local err = c:ended()
  play:claim(not err or c:err(), "the error of a wait on a context that lives")
end

operations["ctx.Context:done"] = function(play)
  local c = some(play)
  play:claim(not c:done() or c:err() ~= nil, "done without an error")
end

operations["ctx.Context:deadline"] = function(play)
  local at = some(play):deadline()
  play:claim(at == nil or at == at, "a deadline that is no number")
end

operations["ctx.Context:remaining"] = function(play)
  play:claim(some(play):remaining() >= 0, "less than no time is left")
end

operations["ctx.Context:value"] = function(play)
  return some(play):value(play:one("ctx.Key"))
end

operations["ctx.Context:name"] = function(play)
  local c = some(play)
  c:name(play:pick { "a name", "", ("n"):rep(1000) })
  c:name()
  tostring(c)
end

operations["ctx.Context:why"] = function(play)
  local c = some(play)
  local why = c:why()
  play:claim(not why or why.err == c:err(), "why() tells another error")
end

operations["ctx.Context:wait"] = function(play)
  local c = play:brief()
  local err = c:wait()
  play:claim(err and err == c:err(), "c:wait() returned before the end")
end

return { operations = operations, classes = classes }
