-- SPDX-License-Identifier: MIT
-- Work without sockets: fan-outs, permits, channels, after-funcs, awaits, tasks that raise.
--
-- Each kind is a function of (soak, c). It may fail and be cut short in every way; it may not leave
-- anything behind, and what it can count must come out even, or it raises.

local uv = require "luv"
local ctx = require "ctx"
local errors = require "ctx.errors"
local channel = require "ctx.channel"
local errgroup = require "ctx.errgroup"
local mutex = require "ctx.mutex"
local waitgroup = require "ctx.waitgroup"

local MAX_DEPTH = 3
local ON_PURPOSE = "on purpose"

local on_purpose = errors.new("failed " .. ON_PURPOSE)

local kinds = {}

-- ---- fan-outs -----------------------------------------------------------------------------------

local fan_out

-- One task of a group: most end well, some raise, return an error, yield, wait, or fan out again.
local function member(soak, c, depth)
  local dice = soak.random(20)
  if dice == 1 then
    error("raised " .. ON_PURPOSE)
  elseif dice == 2 then
    return nil, on_purpose
  elseif dice == 3 then
    error(on_purpose)
  elseif dice <= 6 then
    coroutine.yield()
  elseif dice <= 9 then
    c:wait()
  elseif dice <= 12 and depth < MAX_DEPTH then
    return fan_out(soak, c, depth + 1)
  else
    return ctx.sleep(c, soak.random(20))
  end
  return true
end

function fan_out(soak, c, depth)
  local group <close>, gctx = errgroup.with_context(c)
  if soak.random(3) == 1 then
    group:set_limit(soak.random(4))
  end
  for _ = 1, soak.random(8) do
    if not group:go(member, soak, gctx, depth) then
      break -- the group's context ended while this waited for a place
    end
  end
  if soak.random(4) == 1 then
    return true -- leaves it to <close>
  end
  return group:wait(c)
end

function kinds.fan_out(soak, c)
  fan_out(soak, c, 1)
end

function kinds.collect(soak, c)
  local functions = {}
  for i = 1, soak.random(5) do
    functions["part" .. i] = function(gctx)
      return member(soak, gctx, MAX_DEPTH)
    end
  end
  errgroup.collect(c, functions)
end

-- ---- permits ------------------------------------------------------------------------------------

-- The semaphore is one for the whole soak; at the end of every round nobody may hold any of it.
function kinds.permits(soak, c)
  local weight = soak.random(soak.permits_n)
  local ok
  if soak.random(4) == 1 then
    ok = soak.permits:try_acquire(weight)
  else
    ok = soak.permits:acquire(c, weight)
  end
  if ok then
    ctx.sleep(c, soak.random(5))
    soak.permits:release(weight)
  end
end

function kinds.lock(soak, c)
  local lock, inside = mutex.new(), 0
  local wg = waitgroup.new()
  for _ = 1, soak.random(6) do
    wg:go(function()
      local held <close> = lock:hold(c)
      if held then
        inside = inside + 1
        assert(inside == 1, "two tasks in one mutex")
        ctx.sleep(c, soak.random(3))
        inside = inside - 1
      end
    end)
  end
  wg:wait()
end

-- ---- channels -----------------------------------------------------------------------------------

-- What was sent has been received, or is still in the channel.
function kinds.channel(soak, c)
  local values = channel.new(soak.random(4) - 1)
  local sent, received = 0, 0
  local wg = waitgroup.new()
  for _ = 1, soak.random(4) do
    wg:go(function()
      for i = 1, soak.random(10) do
        if values:send(c, i) then
          sent = sent + 1
        end
      end
    end)
    wg:go(function()
      local own, cancel <close> = ctx.with_timeout(c, soak.random(30))
      while values:recv(own) do
        received = received + 1
      end
    end)
  end
  wg:wait()
  while values:try_recv() do
    received = received + 1
  end
  assert(sent == received, ("%d values sent, %d received"):format(sent, received))
end

-- ---- contexts -----------------------------------------------------------------------------------

-- Each after-func either ran or was stopped, never both and never neither.
function kinds.after_funcs(soak, c)
  local own, cancel = ctx.with_cancel(c)
  local made, ran, stopped = soak.random(10), 0, 0
  for _ = 1, made do
    local stop = ctx.after_func(own, function()
      ran = ran + 1
    end)
    if soak.random(3) == 1 then
      stopped = stopped + (stop() and 1 or 0)
    end
  end
  ctx.sleep(c, soak.random(5))
  cancel()
  for _ = 1, 10 do -- each a turn, after which they have run
    ctx.sleep(ctx.background(), 0)
  end
  assert(ran + stopped == made, ("%d after-funcs, %d ran, %d stopped"):format(made, ran, stopped))
end

-- A tree of contexts of every kind with tasks parked on its leaves, cancelled somewhere.
function kinds.tree(soak, c)
  local group <close> = errgroup.new()
  local leaf, cancels = c, {}
  for i = 1, soak.random(12) do
    local dice = soak.random(4)
    if dice == 1 then
      leaf = ctx.with_value(leaf, soak.key, i)
    elseif dice == 2 then
      leaf, cancels[#cancels + 1] = ctx.with_timeout(leaf, soak.random(40))
    elseif dice == 3 then
      leaf, cancels[#cancels + 1] = ctx.any(leaf, soak.root)
    else
      leaf, cancels[#cancels + 1] = ctx.with_cancel(leaf)
    end
    group:go(function(parked)
      parked:wait()
      return true
    end, leaf)
  end
  ctx.sleep(c, soak.random(10))
  for i = #cancels, 1, -1 do
    cancels[soak.random(#cancels)](on_purpose)
    cancels[i]()
  end
  -- Those above the first cancel end with c.
  group:wait()
end

-- ---- waits for something outside ---------------------------------------------------------------

-- A timer of luv's own, which may come first, late, or never.
function kinds.await(soak, c)
  local timer = assert(uv.new_timer())
  ctx.await(c, function(resolve)
    timer:start(soak.random(40), 0, function()
      resolve(true)
    end)
    return timer
  end)
  if not timer:is_closing() then
    timer:close()
  end
end

-- A coroutine that is no task, as an event handler of somebody else's starts it.
function kinds.foreign(soak, c)
  ctx.await(ctx.background(), function(resolve)
    coroutine.wrap(function()
      ctx.sleep(c, soak.random(20))
      resolve(true)
    end)()
  end)
end

-- A task that raises, and whose error nobody waits for: the soak counts the reports.
function kinds.raise(soak)
  soak.raised = soak.raised + 1
  ctx.go(function()
    coroutine.yield()
    error("unheard, " .. ON_PURPOSE)
  end)
end

-- A waiter whose context ends first goes; the task stays, and ends with c.
function kinds.task(soak, c)
  local task = ctx.go(function()
    ctx.sleep(c, soak.random(30))
    return "done"
  end)
  local own, cancel <close> = ctx.with_timeout(c, soak.random(30))
  task:wait(own)
  assert(task:wait() == "done")
end

return { kinds = kinds, ON_PURPOSE = ON_PURPOSE }
