-- SPDX-License-Identifier: MIT
--- ctx.errgroup and ctx.waitgroup.
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local waitgroup = require "ctx.waitgroup"

local operations, classes = {}, {}

local function keep(play, group, gctx)
  play:keep("ctx.errgroup.Group", group)
  if gctx then
    play:keep("brief", gctx)
  end
  return group
end

local function make(play)
  return keep(play, errgroup.with_context(play:brief()))
end

local function close(_, object)
  local _ <close> = object
end

classes["ctx.errgroup.Group"] = { make = make, retire = close }
classes["ctx.waitgroup.WaitGroup"] = {
  make = function(play) return play:keep("ctx.waitgroup.WaitGroup", waitgroup.new()) end,
}

operations["ctx.errgroup.with_context"] = make

operations["ctx.errgroup.new"] = function(play)
  keep(play, errgroup.new())
end

--- Whole: what the tasks did is what the group tells.
local function whole(play, n)
  local group <close>, gctx = errgroup.with_context(play:context())
  if play:chance(2) then
    group:set_limit(play.random(3))
  end
  local failed, started = 0, 0
  for i = 1, n do
    local fails = play:chance(4)
    if group:go(function()
      started = started + 1
      ctx.sleep(gctx, play:ms())
      if fails then
        failed = failed + 1
        return nil, "task " .. i
      end
      return true
    end) then
      play:claim(started <= n, "more tasks than were started")
    end
  end
  local ok, err = play:outcome("group:wait", group:wait())
  play:claim(failed == 0 or not ok, "%d tasks failed, and the group did not", failed)
  play:claim(#group:errors() >= failed, "%d errors of %d", #group:errors(), failed)
  play:claim(failed == 0 or rawequal(err, group:errors()[1]), "not the first error")
end

operations["ctx.errgroup.collect"] = function(play)
  local c = play:brief()
  local results, err = errgroup.collect(c, {
    a = function(gctx) return ctx.sleep(gctx, play:ms()) end,
    b = play:callback(1), [3] = play:callback(true),
  })
  play:claim(results or err ~= nil, "collect returned neither results nor an error")
  if play:chance(2) then
    whole(play, play.random(6))
  end
end

operations["ctx.errgroup.Group:go"] = function(play)
  play:one("ctx.errgroup.Group"):go(play:callback(true), play:value())
end

operations["ctx.errgroup.Group:try_go"] = function(play)
  play:one("ctx.errgroup.Group"):try_go(play:callback(nil, "an error"), play:value())
end

operations["ctx.errgroup.Group:set_limit"] = function(play)
  local group = play:chance(2) and keep(play, errgroup.new()) or play:one("ctx.errgroup.Group")
  group:set_limit(play:pick { 1, 2, 3, -1 })
end

operations["ctx.errgroup.Group:wait"] = function(play)
  local group = play:one("ctx.errgroup.Group")
  local c
  if not play:chance(3) then
    c = play:brief()
  end
  play:outcome("group:wait", group:wait(c))
end

operations["ctx.errgroup.Group:errors"] = function(play)
  for _, err in ipairs(play:one("ctx.errgroup.Group"):errors()) do
    play:claim(err ~= nil, "an error that is nil")
  end
end

operations["ctx.waitgroup.new"] = function(play)
  play:keep("ctx.waitgroup.WaitGroup", waitgroup.new())
end

operations["ctx.waitgroup.WaitGroup:go"] = function(play)
  play:one("ctx.waitgroup.WaitGroup"):go(play:callback(), play:value())
end

operations["ctx.waitgroup.WaitGroup:add"] = function(play)
  play:one("ctx.waitgroup.WaitGroup"):add(play:pick { 1, 1, 2, 0, -1 })
end

operations["ctx.waitgroup.WaitGroup:done"] = function(play)
  local wg = play:one("ctx.waitgroup.WaitGroup")
  wg:add(1)
  wg:done()
  if play:chance(4) then
    wg:done()
  end
end

operations["ctx.waitgroup.WaitGroup:wait"] = function(play)
  play:outcome("waitgroup:wait", play:one("ctx.waitgroup.WaitGroup"):wait(play:brief()))
end

return { operations = operations, classes = classes }
