-- SPDX-License-Identifier: MIT
--- Drives luv's loop for the scheduler, with luv's own handles and through luv's own functions.
---
--- A prepare handle, which libuv calls in each turn before it waits, has the scheduler run all that
--- is ready. A timer ends that wait when the next deadline comes; a poll handle does when another
--- thread wakes the loop. They are made here and used by C, which keeps the loop alive by them.
require "ctx.floor"
local core = require "ctx.core"
local report = require "ctx.report"
local want = require "ctx.want"
require "ctx.why"

-- One per Lua state, kept in C's registry: a second instance of this module must not make handles
-- of its own, and luv's first table must stay, since older luv frees the loop with it.
local loop = core.shared("ctx.loop")

if not loop.uv then
  local uv = core.on_main(require, "luv")

  -- luv 1.44 does not survive a state that is closed while one of its handles is being closed: it
  -- frees the handle, and the loop calls it back. So the last thing that a state does is a turn of
  -- the loop. Finalizers run in the reverse order of their making, so the object that does it must
  -- be younger than every handle: it is made anew, at the end of each wait on the main thread, and
  -- when a handle is closed while nobody drives the loop.
  local Last = { __gc = function(self)
    if loop.last == self then
      -- What is closed is called back, here and in luv's own end. Nobody would close a handle that
      -- is made then.
      for _, name in ipairs({ "check", "hold", "watch_fd" }) do
        core.hook(name, function() end)
      end
      loop.over = true
      core.last_turn(uv.run)
    end
  end }

  function loop.renew()
    loop.last = setmetatable({}, Last)
  end

  core.hook("renew", loop.renew)

  -- Those that a load has made which then ran out of memory are used by the next one.
  loop.prepare, loop.timer, loop.poll = loop.prepare or false, loop.timer or false, false

  --- The last turn is being made. Nothing of ours has anything to do in it, and of a handle that is
  --- younger than `last` the finalizer has been called.
  loop.over = false

  --- Handles that a module keeps open between two uses, without keeping the loop alive by them:
  --- those for an HTTP client's idle connections. They are no leak of a test's.
  loop.standing = setmetatable({}, { __mode = "k" })

  --- The handle of this name, made on first use, and again if someone closed it under us, as
  --- programs do that end with `uv.walk(function(h) h:close() end)`.
  local function handle(name, make, ...)
    local found = loop[name]
    if not found or found:is_closing() then
      found = assert(make(...))
      loop[name] = found -- in the place that it has from the start: that needs no memory
      found:unref()
      loop.renew()
    end
    return found
  end

  loop.wakers = {}

  --- From now on this handle keeps the loop alive while somebody waits, and only then.
  function loop.waker(other)
    loop.wakers[other] = true
    if loop.held then other:ref() else other:unref() end
  end

  core.hook("hold", function(on)
    loop.held = on
    for other in pairs(loop.wakers) do
      if other:is_closing() then
        loop.wakers[other] = nil
      elseif on then
        other:ref()
      else
        other:unref()
      end
    end
  end)

  core.hook("in_loop", function()
    return uv.loop_mode() ~= nil
  end)

  local running = false -- our handles do what they are for

  local function start()
    running = false
    local prepare, timer = handle("prepare", uv.new_prepare), handle("timer", uv.new_timer)
    prepare:start(core.turn)
    prepare:unref()
    timer:stop()
    timer:unref()
    if loop.poll and loop.poll:is_closing() then
      loop.poll = false
    end
    core.handles(uv.ref, uv.unref, uv.is_closing, uv.stop, uv.loop_mode, uv.update_time,
      uv.timer_start, prepare, timer, core.rang)
    running = true
  end

  --- Sees whether a handle was closed under us, and starts anew. Handles of others may have been
  --- closed with it: their waiters look.
  local function check()
    local poll = loop.poll
    local closed = not running or loop.prepare:is_closing() or loop.timer:is_closing()
      or poll and poll:is_closing()
    if closed then
      start()
      core.look_again()
    end
    return closed
  end

  core.hook("check", check)

  --- So many tasks have failed without memory. Code that counts on what a task does at its end
  --- looks at the task itself when this has changed.
  loop.starved = 0

  --- Objects on which nothing may wait, and the functions that then check their tasks.
  loop.lookers = setmetatable({}, { __mode = "k" })

  core.hook("starved", function()
    loop.starved = loop.starved + 1
    core.look_again()
    for object, look in pairs(loop.lookers) do
      look(object)
    end
  end)

  core.hook("turn", function(block)
    check()
    local alive = uv.run(block and "once" or "nowait")
    -- What a callback has closed just now does not count as the end.
    return check() or alive
  end)

  core.hook("watch_fd", function(fd)
    local poll = handle("poll", uv.new_poll, fd)
    poll:start("r", core.woken)
    loop.waker(poll)
  end)

  --- Closes a handle, unless somebody has.
  function loop.close(thing)
    if not thing:is_closing() then
      thing:close()
      if not core.driving() then
        pcall(loop.renew) -- without memory the older one must do: what has been closed stays so
      end
    end
  end

  core.guard()
  start()

  -- Last, so that a load that ran out of memory can be repeated.
  loop.uv = uv
end

-- -- Handles on their way to an owner -------------------------------------------------------------

local function close_owned(self)
  if self.handle then
    loop.close(self.handle)
    self.handle = false
  end
  if self.fd then
    loop.uv.fs_close(self.fd)
    self.fd = false
  end
end

-- A call needs memory, too: what could not be closed in time is closed when there is some again.
local owned = { __close = close_owned, __gc = close_owned }

--- A <close> variable for a handle or a descriptor without an owner: when the scope is left, it
--- closes the values of its fields `handle` and `fd`. Make it before the handle, and set the field
--- to false once another object would close that. Then an error, such as a lack of memory, loses no
--- handle; luv never closes a handle by itself.
---@return { handle: userdata|false, fd: integer|false }
function loop.owned()
  return setmetatable({ handle = false, fd = false }, owned)
end

-- -- What an abandoned wait leaves behind ---------------------------------------------------------

--- True for luv's handles: userdata that can be closed, once.
local function is_handle(thing)
  if type(thing) ~= "userdata" then
    return false
  end
  local metatable = getmetatable(thing)
  local methods = type(metatable) == "table" and metatable.__index
  return type(methods) == "table" and methods.close ~= nil and methods.is_closing ~= nil
end

core.hook("abort", function(thing)
  if is_handle(thing) then
    loop.close(thing)
  elseif want.fn[2](thing) then
    report.guard("hook", "ctx.await's abort", thing)
  elseif type(thing) == "userdata" then
    -- A request that is running already cannot be cancelled: its result will come, and be dropped.
    -- One that is over raises: so much the better.
    pcall(loop.uv.cancel, thing)
  end
end)

core.hook("drop", function(free, ...)
  if free then
    report.guard("hook", "ctx.await's free", free, ...)
    return
  end
  for i = 1, select("#", ...) do
    local thing = select(i, ...)
    if is_handle(thing) then
      loop.close(thing)
    end
  end
end)

--- Gives one coroutine the debug hook of another; a hook that C made it has already.
core.hook("inherit_hook", function(from, to)
  local fn, mask, count = debug.gethook(from)
  if type(fn) == "function" then
    debug.sethook(to, fn, mask, count)
  end
end)

-- Whose lines are the library's own: a report names the program's.
core.own(debug.getinfo(1, "S").source:match("^(@.*)loop%.lua$"), loop.uv.run)

return loop
