-- SPDX-License-Identifier: MIT
--- Contexts for Lua: cancellation, deadlines and request values that follow every call.
---
---     local ctx = require "ctx"
---     ctx.run(function(root)
---       local c, cancel <close> = ctx.with_timeout(root, 500)
---       local ok, err = ctx.sleep(c, 1000)
---       print(ok, err)                          --> nil   context deadline exceeded
---     end)
---
--- Times are in milliseconds, absolute ones on ctx.now(). Misuse raises at the caller's line; every
--- other outcome is returned as `nil, err`.
local loop = require "ctx.loop" -- first: it refuses a Lua that is too old
local core = require "ctx.core"
local errors = require "ctx.errors"
local report = require "ctx.report"
local want = require "ctx.want"

---@class ctx
---@field _VERSION string             The version of the C module, such as "ctx 0.1.0".
---@field canceled ctx.errors.Error    The sentinel that prints "context canceled".
---@field deadline_exceeded ctx.errors.Error  The sentinel that prints "context deadline exceeded".
local ctx = {
  _VERSION = core._VERSION,
  canceled = errors.canceled,
  deadline_exceeded = errors.deadline_exceeded,
  background = core.background,
  todo = core.todo,
  with_cancel = core.with_cancel,
  with_timeout = core.with_timeout,
  with_deadline = core.with_deadline,
  without_cancel = core.without_cancel,
  with_value = core.with_value,
  any = core.any,
  after_func = core.after_func,
  key = core.key,
  now = core.now,
  go = core.go,
  sleep = core.sleep,
  await = core.await,
  wrap = core.wrap,
  debug = core.debug,
  counters = core.counters,
  set_report = report.set,
}

--- Calls fn(c) and then cancel, also when fn raises: the idiom for Lua without `<close>`. The error
--- becomes the cause, and goes on to the caller.
---@param c ctx.Context
---@param cancel ctx.Cancel
---@param fn fun(c: ctx.Context): ...
---@return any ...  what fn returned
function ctx.with(c, cancel, fn)
  want.context(c, "with")
  want.argument(core.kind(cancel) == "cancel", "with", 2, "cancel", "a cancel", cancel)
  want.fn(fn, "with", 3)
  local _ <close> = cancel
  return fn(c)
end

--- The error with every stack. It is also that of the tasks which are given up for it, and told by
--- ctx.run alone.
local function asleep()
  local err = errors.new("all tasks are asleep, and nothing can wake them\n" .. report.asleep())
  report.told(err)
  return err
end

--- Raises the error of main with its traceback: in the message of a plain one; an object keeps its
--- identity, so its traceback goes to the report, unless it was told there before.
local function raise(err, trace, told)
  if type(err) == "string" then
    error(err .. "\n" .. (trace or ""), 0)
  elseif trace and not told then
    report.send("ctx.run: " .. report.full(err, trace), "run")
  end
  error(err, 0)
end

--- What main failed with, once it has; nil, if it has not.
local function failure_of(task)
  if task:status() == "failed" then
    return select(2, task:wait()), task:traceback()
  end
end

--- Runs main(root, …) as a task and drives the loop until it returns; then cancels root, and waits
--- for all other tasks. Belongs on the main thread, once, around the whole program.
---
--- For servers, switch Lua's collector first: `collectgarbage("incremental", 200, 100, 9)`. The
--- generational one that `lua5.4` starts with stops 100 000 parked tasks for 140 ms at a time. (Lua
--- 5.5 ignores the numbers; docs/guide/from-go.md has its way.)
---@param main fun(root: ctx.Context, ...): ...
---@param ... any  arguments for main
---@return any ... what main returned
function ctx.run(main, ...)
  want.fn(main, "run", 1, "main")
  if not select(2, coroutine.running()) then
    error("ctx.run: this is a coroutine already; start a task with ctx.go", 2)
  end
  if not core.may_drive() then
    error("ctx.run: the loop is running already; start a task with ctx.go", 2)
  end
  local root, cancel = ctx.with_cancel(ctx.background())
  root:name("ctx.run")
  local task = core.go(main, root, ...)
  local stuck -- the error that says so, once it has come to that
  if not core.drive(task) then
    stuck = asleep()
    cancel(stuck)
  end
  cancel()
  -- A worker may live on for as long as it likes: this is not for then.
  local err, trace = failure_of(task)
  local told = err ~= nil and not stuck and core.run_ready()
  if told then
    report.send("ctx.run: main failed, and other tasks go on: " .. report.full(err, trace), "run")
  end
  -- A task that waited for one that was abandoned goes on, and may end in another dead end.
  while not core.drive() do
    stuck = stuck or asleep()
    core.abandon(false, stuck)
    core.tell_failures()
  end
  -- Handles that are being closed need one more turn: luv 1.44 does not survive a state that is
  -- closed before they are.
  loop.uv.run("nowait")
  core.tell_failures()
  report.tell_counts()
  if err ~= nil then
    if stuck then
      report.send("ctx.run: " .. tostring(stuck), "run")
    end
    raise(err, trace, told)
  elseif stuck then
    error(stuck, 0)
  end
  return task:wait()
end

return ctx
