-- SPDX-License-Identifier: MIT
--- What is held and given back: ctx.semaphore, ctx.mutex, ctx.singleflight, ctx.breaker.
---
--- A semaphore is kept with the number of units that the round holds of it; at the end of the round
--- both agree.
local ctx = require "ctx"
local breaker = require "ctx.breaker"
local mutex = require "ctx.mutex"
local semaphore = require "ctx.semaphore"
local singleflight = require "ctx.singleflight"

local operations, classes = {}, {}

-- -- Semaphores -----------------------------------------------------------------------------------

local function judge(play, counted)
  local held = counted.semaphore:held()
  play:claim(held == counted.held, "%d units are held, and %d were given", held, counted.held)
end

local function make(play)
  local counted = { semaphore = semaphore.new(play.random(4)), held = 0, waiting = 0 }
  play:keep("counted", counted)
  play:keep("ctx.semaphore.Semaphore", semaphore.new(2))
  return counted
end

classes["counted"] = {
  make = make,
  retire = function(play, counted)
    if counted.waiting == 0 then -- else a unit may be under way to one who waits
      judge(play, counted)
    end
  end,
}
classes["ctx.semaphore.Semaphore"] = {
  make = function(play) return play:keep("ctx.semaphore.Semaphore", semaphore.new(2)) end,
}

operations["ctx.semaphore.new"] = make

operations["ctx.semaphore.Semaphore:acquire"] = function(play)
  local counted, units = play:one("counted"), play.random(2)
  counted.waiting = counted.waiting + 1
  local raised, ok, err = pcall(counted.semaphore.acquire, counted.semaphore, play:brief(), units)
  counted.waiting = counted.waiting - 1
  if not raised then
    error(ok, 0)
  elseif ok then
    counted.held = counted.held + units
  end
  play:outcome("acquire", ok, err)
end

operations["ctx.semaphore.Semaphore:try_acquire"] = function(play)
  local counted, units = play:one("counted"), play.random(2)
  if counted.semaphore:try_acquire(units) then
    counted.held = counted.held + units
  end
end

operations["ctx.semaphore.Semaphore:release"] = function(play)
  local counted = play:one("counted")
  if counted.held > 0 then
    local units = play.random(counted.held)
    counted.semaphore:release(units)
    counted.held = counted.held - units
  end
  if play:chance(8) then
    play:one("ctx.semaphore.Semaphore"):release(1) -- of which nobody has any
  end
end

operations["ctx.semaphore.Semaphore:resize"] = function(play)
  play:one("counted").semaphore:resize(play.random(6) - 1)
end

operations["ctx.semaphore.Semaphore:held"] = function(play)
  local counted = play:one("counted")
  if counted.waiting == 0 then
    judge(play, counted)
  end
end

-- -- Locks ----------------------------------------------------------------------------------------

classes["ctx.mutex.Mutex"] = {
  make = function(play) return play:keep("ctx.mutex.Mutex", mutex.new()) end,
}
classes["ctx.mutex.Held"] = {
  make = function(play)
    return play:keep("ctx.mutex.Held", (mutex.new():hold(ctx.background())))
  end,
  retire = function(_, held) held:unlock() end,
}

--- Within the lock nobody else is.
local function alone(play, m)
  play:claim(not m.inside, "two have the lock")
  m.inside = true
  play:step("a lock")
  m.inside = false
end

local function locked(play)
  local m = play:one("lock") or play:keep("lock", { lock = mutex.new() })
  return m, m.lock
end

classes["lock"] = {}

operations["ctx.mutex.new"] = function(play)
  play:keep("lock", { lock = mutex.new() })
end

operations["ctx.mutex.Mutex:lock"] = function(play)
  local m, lock = locked(play)
  if play:outcome("lock", lock:lock(play:brief())) then
    local _ <close> = setmetatable({}, { __close = function() lock:unlock() end })
    alone(play, m)
  end
end

operations["ctx.mutex.Mutex:try_lock"] = function(play)
  local m, lock = locked(play)
  if lock:try_lock() then
    local _ <close> = setmetatable({}, { __close = function() lock:unlock() end })
    alone(play, m)
  end
end

operations["ctx.mutex.Mutex:unlock"] = function(play)
  local lock = mutex.new()
  lock:try_lock()
  lock:unlock()
  if play:chance(3) then
    play:one("ctx.mutex.Mutex"):unlock()
  end
end

operations["ctx.mutex.Mutex:hold"] = function(play)
  local m, lock = locked(play)
  local held <close>, err = lock:hold(play:brief())
  play:claim(held or err ~= nil, "hold returned neither a lock nor an error")
  if held then
    alone(play, m)
  end
end

operations["ctx.mutex.Held:unlock"] = function(play)
  local held = play:one("ctx.mutex.Held")
  held:unlock()
  held:unlock()
end

-- -- Flights --------------------------------------------------------------------------------------

classes["ctx.singleflight.Singleflight"] = {
  make = function(play) return play:keep("ctx.singleflight.Singleflight", singleflight.new()) end,
}

operations["ctx.singleflight.new"] = function(play)
  play:keep("ctx.singleflight.Singleflight", singleflight.new())
end

operations["ctx.singleflight.Singleflight:call"] = function(play)
  local key = play:pick { "a", "b", 1, play.root }
  play:one("ctx.singleflight.Singleflight"):call(play:brief(), key, function(flight)
    ctx.sleep(flight, play.random(10))
    return play:callback(1, 2)()
  end, play:value())
end

operations["ctx.singleflight.Singleflight:forget"] = function(play)
  play:one("ctx.singleflight.Singleflight"):forget(play:pick { "a", "b", 1 })
end

-- -- Breakers -------------------------------------------------------------------------------------

local function new_breaker(play)
  return play:keep("ctx.breaker.Breaker", breaker.new {
    failures = play.random(3), cooldown = 1 + play.random(10), probes = play.random(2),
    is_failure = play:chance(2) and play:callback(true) or nil,
    on_change = play:chance(2) and play:callback() or nil,
  })
end

classes["ctx.breaker.Breaker"] = { make = new_breaker }
classes["ctx.breaker.Permit"] = {
  make = function(play)
    local permit = new_breaker(play):allow()
    return permit and play:keep("ctx.breaker.Permit", permit)
  end,
  retire = function(_, permit)
    local _ <close> = permit
  end,
}

operations["ctx.breaker.new"] = new_breaker

operations["ctx.breaker.Breaker:call"] = function(play)
  local fn = play:chance(2) and play:callback(1, 2) or play:callback(nil, "an error")
  play:one("ctx.breaker.Breaker"):call(play:brief(), fn, play:value())
end

operations["ctx.breaker.Breaker:allow"] = function(play)
  local permit, err = play:one("ctx.breaker.Breaker"):allow()
  play:claim(permit or err == breaker.open, "neither a permit nor breaker.open")
  if permit and not play:chance(10) then -- at times it is lost
    play:keep("ctx.breaker.Permit", permit)
  end
end

operations["ctx.breaker.Breaker:state"] = function(play)
  play:one("ctx.breaker.Breaker"):state()
end

operations["ctx.breaker.Breaker:retry_after"] = function(play)
  play:claim(play:one("ctx.breaker.Breaker"):retry_after() >= 0, "less than no time")
end

operations["ctx.breaker.Permit:succeed"] = function(play)
  play:need("ctx.breaker.Permit"):succeed()
end

operations["ctx.breaker.Permit:fail"] = function(play)
  play:need("ctx.breaker.Permit"):fail()
end

return { operations = operations, classes = classes }
