-- SPDX-License-Identifier: MIT
--- What a service is made of: ctx.pool, ctx.shutdown, ctx.signal.
local ctx = require "ctx"
local luv = require "luv"
local pool = require "ctx.pool"
local shutdown = require "ctx.shutdown"
local signal = require "ctx.signal"

local operations, classes = {}, {}

local function close(_, object)
  local _ <close> = object
end

-- -- Pools ----------------------------------------------------------------------------------------

local function new_pool(play)
  return play:keep("ctx.pool.Pool", pool.new(play:brief(), {
    workers = play.random(3), queue = play.random(4) - 1,
    on_error = play:chance(2) and play:callback() or nil,
  }, play:callback(true)))
end

classes["ctx.pool.Pool"] = { make = new_pool, retire = close }

operations["ctx.pool.new"] = new_pool

operations["ctx.pool.Pool:submit"] = function(play)
  play:outcome("submit", play:one("ctx.pool.Pool"):submit(play:brief(), { play:value() }))
end

operations["ctx.pool.Pool:try_submit"] = function(play)
  play:one("ctx.pool.Pool"):try_submit(play:strange_error() or 1)
end

operations["ctx.pool.Pool:drain"] = function(play)
  play:outcome("drain", play:one("ctx.pool.Pool"):drain(play:brief()))
end

operations["ctx.pool.Pool:cancel"] = function(play)
  play:one("ctx.pool.Pool"):cancel(play:value())
end

operations["ctx.pool.Pool:errors"] = function(play)
  local failures, count = play:one("ctx.pool.Pool"):errors()
  play:claim(#failures <= count, "%d failures of %d", #failures, count)
end

operations["ctx.pool.Pool:dropped"] = function(play)
  play:one("ctx.pool.Pool"):dropped()
end

operations["ctx.pool.Pool:stats"] = function(play)
  for name, n in pairs(play:one("ctx.pool.Pool"):stats()) do
    play:claim(n >= 0, "%s is %d", name, n)
  end
end

-- -- Shutdowns ------------------------------------------------------------------------------------

local PHASES = { "readiness", "stop", "drain", "cancel", "wait", "force" }

local function new_shutdown(play)
  local c, cancel = ctx.with_timeout(play.root, 20 + play.random(20))
  play:keep("ctx.Cancel", cancel)
  return play:keep("ctx.shutdown.Shutdown", shutdown.new(c, {
    delay = play.random(3) - 1, grace = play.random(3) - 1,
    signals = play:chance(3) and { "sigusr2" } or {},
    timeouts = { drain = 5, stop = 5, readiness = 5, cancel = 5, wait = 10, force = 10 },
  }))
end

classes["ctx.shutdown.Shutdown"] = { make = new_shutdown, retire = close }

operations["ctx.shutdown.new"] = new_shutdown

operations["ctx.shutdown.Shutdown:context"] = function(play)
  play:claim(play:one("ctx.shutdown.Shutdown"):context(), "no context")
end

operations["ctx.shutdown.Shutdown:stopping"] = function(play)
  play:claim(play:one("ctx.shutdown.Shutdown"):stopping(), "no context")
end

operations["ctx.shutdown.Shutdown:ready"] = function(play)
  play:one("ctx.shutdown.Shutdown"):ready()
end

operations["ctx.shutdown.Shutdown:set_ready"] = function(play)
  play:one("ctx.shutdown.Shutdown"):set_ready(play:chance(2))
end

operations["ctx.shutdown.Shutdown:phase"] = function(play)
  play:one("ctx.shutdown.Shutdown"):phase()
end

operations["ctx.shutdown.Shutdown:on"] = function(play)
  local s = play:chance(2) and new_shutdown(play) or play:one("ctx.shutdown.Shutdown")
  s:on(play:pick(PHASES), play:pick { "a", "b" }, play:callback(true))
  s:on("drain", "waits", function(c) return ctx.sleep(c, play:ms()) end)
end

operations["ctx.shutdown.Shutdown:go"] = function(play)
  local s = play:one("ctx.shutdown.Shutdown")
  s:go(function(c) return ctx.sleep(c, play:ms()) end)
  s:go(play:callback(1), play:value())
end

operations["ctx.shutdown.Shutdown:stop"] = function(play)
  play:one("ctx.shutdown.Shutdown"):stop(play:value())
end

operations["ctx.shutdown.Shutdown:run"] = function(play)
  play:outcome("run", play:one("ctx.shutdown.Shutdown"):run())
end

operations["ctx.shutdown.Shutdown:wait"] = function(play)
  play:outcome("wait", play:one("ctx.shutdown.Shutdown"):wait(play:brief()))
end

-- -- Signals --------------------------------------------------------------------------------------

local function notify(play)
  local c, stop = signal.notify(play:context(), play:pick { "sigusr1", "sigusr2" }, "sighup")
  play:keep("brief", c)
  return play:keep("ctx.signal.Stop", stop)
end

classes["ctx.signal.Stop"] = { make = notify, retire = close }

operations["ctx.signal.notify"] = function(play)
  local c, stop <close> = signal.notify(play:brief(), "sigusr1")
  if play:chance(2) and not c:err() then
    luv.kill(luv.os_getpid(), "sigusr1")
    c:wait()
  end
  return stop
end

operations["ctx.signal.Stop()"] = function(play)
  local stop = notify(play)
  stop(play:value())
  stop()
end

operations["ctx.signal.known"] = function(play)
  play:claim(signal.known("sigterm") == "sigterm", "sigterm is not known")
  signal.known(play:value())
end

operations["ctx.signal.ignore_sigpipe"] = function()
  signal.ignore_sigpipe()
end

return { operations = operations, classes = classes }
