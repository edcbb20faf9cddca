-- SPDX-License-Identifier: MIT
--- How the functions that need neither sockets nor files are made to wait: see spec.support.asyncs.
local breaker = require "ctx.breaker"
local channel = require "ctx.channel"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local mutex = require "ctx.mutex"
local otlp = require "ctx.propagate.otlp"
local pool = require "ctx.pool"
local retry = require "ctx.retry"
local semaphore = require "ctx.semaphore"
local shutdown = require "ctx.shutdown"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local waitgroup = require "ctx.waitgroup"
local collector = require "spec.support.collector"

--- A context to wait for, and what ends it.
local function gate(root)
  local c, open = ctx.with_cancel(root)
  return c, open
end

local made = {}

made["ctx.Context:wait"] = function(root)
  local done, open = gate(root)
  return { call = function() return done:wait() end, wake = open, close = open }
end

made["ctx.sleep"] = function()
  return { call = function(c) return ctx.sleep(c, 5) end, wake = function() end }
end

made["ctx.await"] = function()
  local resolve
  return {
    call = function(c) return ctx.await(c, function(fn) resolve = fn end) end,
    wake = function() resolve(true) end,
  }
end

made["ctx.Task:wait"] = function(root)
  local done, open = gate(root)
  local task = ctx.go(function() return done:wait() end)
  return { call = function(c) return task:wait(c) end, wake = open, close = open }
end

made["ctx.breaker.Breaker:call"] = function(root)
  local guarded, done, open = breaker.new(), gate(root)
  return {
    call = function(c) return guarded:call(c, function() return done:wait() end) end,
    wake = open, close = open,
  }
end

made["ctx.channel.Channel:send"] = function(root)
  local ch = channel.new()
  return { call = function(c) return ch:send(c, 1) end, wake = function() ch:recv(root) end }
end

made["ctx.channel.Channel:recv"] = function(root)
  local ch = channel.new()
  return { call = function(c) return ch:recv(c) end, wake = function() ch:send(root, 1) end }
end

made["ctx.channel.select"] = function(root)
  local ch = channel.new()
  return {
    call = function(c) return channel.select(c, { { recv = ch } }) end,
    wake = function() ch:send(root, 1) end,
  }
end

--- A function for others to call, which waits until `open()`, or its context ends.
local function slow_work()
  local opens, opened = {}, false
  return function(c)
    return opened or ctx.await(c, function(resolve) opens[#opens + 1] = resolve end)
  end, function()
    opened = true
    for _, open in ipairs(opens) do
      open(true)
    end
  end
end

made["ctx.errgroup.collect"] = function()
  local work, open = slow_work()
  return { call = function(c) return errgroup.collect(c, { one = work }) end, wake = open }
end

local function group_with(root, limit)
  local g, done, open = errgroup.new(), gate(root)
  g:set_limit(limit)
  g:go(function() done:wait() end)
  return g, open
end

made["ctx.errgroup.Group:go"] = function(root)
  local g, open = group_with(root, 1)
  return {
    call = function() g:go(function() end) return true end, wake = open,
    close = function() open() g:wait() end,
  }
end

made["ctx.errgroup.Group:wait"] = function(root)
  local g, open = group_with(root, 1)
  return { call = function(c) return g:wait(c) end, wake = open, close = open }
end

for _, method in ipairs { "lock", "hold" } do
  made["ctx.mutex.Mutex:" .. method] = function(root)
    local m = mutex.new()
    m:lock(root)
    return {
      call = function(c) return m[method](m, c) end,
      wake = function() m:unlock() end,
    }
  end
end

local function busy_pool(root)
  local done, open = gate(root)
  local p = pool.new(root, { workers = 1 }, function() done:wait() return true end)
  p:submit(root, 1)
  return p, open, function()
    open()
    local _ <close> = p
  end
end

made["ctx.pool.Pool:submit"] = function(root)
  local p, open, close = busy_pool(root)
  return { call = function(c) return p:submit(c, 2) end, wake = open, close = close }
end

made["ctx.pool.Pool:drain"] = function(root)
  local p, open, close = busy_pool(root)
  return { call = function(c) return p:drain(c) end, wake = open, close = close }
end

local function busy_exporter(root)
  local done, open = gate(root)
  local to = collector.receiver(function() done:wait() return collector.OK end)
  local exporter = otlp.new { endpoint = "http://spec.test", post = to.post }
  exporter:export(collector.span())
  return exporter, open, function() open() exporter:shutdown(root) end
end

for _, method in ipairs { "flush", "shutdown" } do
  made["ctx.propagate.otlp.Exporter:" .. method] = function(root)
    local exporter, open, close = busy_exporter(root)
    return {
      call = function(c) return exporter[method](exporter, c) end, wake = open, close = close,
      tasks = 1, -- it goes on sending
    }
  end
end

made["ctx.retry.call"] = function()
  local calls = 0
  return {
    call = function(c)
      return retry.call(c, { backoff = 5, attempts = 2 }, function()
        calls = calls + 1
        return calls > 1 or nil, "not yet"
      end)
    end,
    wake = function() end,
  }
end

made["ctx.semaphore.Semaphore:acquire"] = function(root)
  local permits = semaphore.new(1)
  permits:acquire(root)
  return {
    call = function(c) return permits:acquire(c) end,
    wake = function() permits:release() end,
  }
end

for _, method in ipairs { "run", "wait" } do
  made["ctx.shutdown.Shutdown:" .. method] = function(root)
    local s = shutdown.new(root, { signals = {} })
    local function stop() s:stop() end
    return {
      call = function(c) return s[method](s, method == "wait" and c or nil) end,
      wake = stop, close = function() s:stop() s:wait() end,
    }
  end
end

made["ctx.singleflight.Singleflight:call"] = function()
  local flights, work, open = singleflight.new(), slow_work()
  return { call = function(c) return flights:call(c, "key", work) end, wake = open }
end

for _, method in ipairs { "advance", "settle" } do
  made["ctx.testing.Clock:" .. method] = function()
    local clock = testing.clock()
    return {
      call = function() clock[method](clock, 0) return true end, wake = function() end,
      close = function() clock:close() end, free = true,
    }
  end
end

made["ctx.waitgroup.WaitGroup:wait"] = function()
  local wg = waitgroup.new()
  wg:add(1)
  local added = true
  local function done()
    if added then
      added = false
      wg:done()
    end
  end
  return { call = function(c) return wg:wait(c) end, wake = done, close = done }
end

return made
