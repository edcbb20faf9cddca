-- SPDX-License-Identifier: MIT
--- Several tasks wait for the same thing, without an end of their own, until an act wakes them all.
--- The other operations' waits end by themselves before long, and would hide a wake that is lost.
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local luv = require "luv"
local mutex = require "ctx.mutex"
local semaphore = require "ctx.semaphore"
local uv = require "ctx.uv"
local waitgroup = require "ctx.waitgroup"

local operations = {}

local PATIENCE_MS = 4000 -- in which the crowd must be gone after the act

-- Each makes what is waited for: the wait, and the act.
local crowds = {
  stream = function()
    local fds = assert(luv.socketpair(nil, nil, { nonblock = true }, { nonblock = true }))
    local one, other = uv.open(fds[1]), uv.open(fds[2])
    return function(c) return one:read(c) end, function()
      one:close()
      other:close()
    end
  end,
  listener = function()
    local listener = assert(uv.listen("127.0.0.1", 0))
    return function(c) return listener:accept(c) end, function() listener:close() end
  end,
  process = function(c)
    local process = assert(uv.start(c, "sleep", { args = { "0.01" } }))
    return function(within) return process:wait(within) end, function() end
  end,
  channel = function()
    local ch = channel.new(0)
    return function(c) return ch:recv(c) end, function() ch:close() end
  end,
  mutex = function()
    local lock = mutex.new()
    lock:try_lock()
    return function(c) if lock:lock(c) then lock:unlock() end end, function() lock:unlock() end
  end,
  semaphore = function()
    local permits = semaphore.new(2)
    permits:try_acquire(2)
    return function(c) if permits:acquire(c, 2) then permits:release(2) end end,
      function() permits:release(2) end
  end,
  waitgroup = function()
    local group = waitgroup.new()
    group:add(1)
    return function(c) return group:wait(c) end, function() group:done() end
  end,
  task = function()
    local inner, cancel = ctx.with_cancel(ctx.background())
    local task = ctx.go(inner.wait, inner)
    return function(c) return task:wait(c) end, function() cancel() end
  end,
  context = function()
    local inner, cancel = ctx.with_cancel(ctx.background())
    return function() return inner:wait() end, function() cancel() end
  end,
}

local names = {}
for name in pairs(crowds) do names[#names + 1] = name end
table.sort(names)

--- Starts the waiters for an object of this name: the act, and how many are left.
local function gather(play, name, c)
  local wait, act = crowds[name](c)
  local crowd = { name = name, act = act, left = 1 + play.random(3) }
  for _ = 1, crowd.left do
    ctx.go(function()
      local _ <close> = setmetatable({}, { __close = function() crowd.left = crowd.left - 1 end })
      wait(c)
    end)
  end
  return crowd
end

--- A crowd for each thing.
operations["trouble.crowd"] = function(play)
  core.check_wait(nil, "the crowd")
  local c, cancel <close> = ctx.with_cancel(ctx.background()) -- ends those that were forgotten
  local list = {}
  for i, name in ipairs(names) do
    list[i] = gather(play, name, c)
  end
  ctx.sleep(c, 1)
  for _, crowd in ipairs(list) do
    crowd.act()
  end
  local began = ctx.now()
  for _, crowd in ipairs(list) do
    while crowd.left > 0 and ctx.now() - began < PATIENCE_MS do
      ctx.sleep(c, 1)
    end
    play:claim(crowd.left == 0, "%d who waited for the same %s were not woken", crowd.left,
      crowd.name)
  end
end

--- What is granted to a coroutine that is closed before it runs on goes back, in the next turn.
operations["trouble.closed"] = function(play)
  core.check_wait(nil, "the turn")
  for what, make in pairs { semaphore = semaphore.new, mutex = mutex.new } do
    local held = make(1)
    local take = held.acquire or held.lock
    local try, give = held.try_acquire or held.try_lock, held.release or held.unlock
    try(held)
    local thread = coroutine.create(function() take(held, play.root) end)
    coroutine.resume(thread)
    give(held)
    coroutine.close(thread)
    ctx.sleep(ctx.background(), 1)
    play:claim(try(held), "a %s stayed with a coroutine that was closed", what)
  end
end

return { operations = operations }
