-- SPDX-License-Identifier: MIT
--- What ctx.shutdown does, phase by phase, and what it tells about that.
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local text = require "ctx.text"

local phases = {}

-- -- The report ---------------------------------------------------------------------------------

---@class ctx.Shutdown.Hook
---@field name string
---@field state string     "done", "failed" or "timed out"
---@field took number      ms
---@field err any?         of one that failed
---@field traceback string? of one that raised

---@class ctx.Shutdown.Phase
---@field name string
---@field took number      ms
---@field timed_out boolean
---@field err any?         there was no memory for all of it
---@field hooks ctx.Shutdown.Hook[]

---@class ctx.Shutdown.Running
---@field name string?     of a worker: where its function stands
---@field what string      what it waits in
---@field spawned string?  where it was started, under ctx.debug
---@field traceback string

---@class ctx.Shutdown.Report
---@field cause any        why it began
---@field took number      ms, all phases together
---@field clean boolean    no hook or worker failed, none was late, and nothing was left to force
---@field phases ctx.Shutdown.Phase[]  also by name: report.phases.drain
---@field failed table[]   workers that raised: { name =, err = }
---@field running ctx.Shutdown.Running[]  tasks that were there when force came
local Report = { __name = "ctx.shutdown.report" }
Report.__index = Report

local function hook_lines(lines, hook)
  local err = hook.err ~= nil and ": " .. tostring(hook.err) or ""
  lines[#lines + 1] = ("    %-24s %8.0f ms  %s%s"):format(hook.name, hook.took, hook.state, err)
end

--- The whole of it as text, a line for each phase, hook and failure, and the stacks of what ran on.
function Report:__tostring()
  local lines = { ("shutdown: %s, %.0f ms, %s"):format(tostring(self.cause), self.took,
    self.clean and "clean" or "not clean") }
  for _, phase in ipairs(self.phases) do
    local late = phase.timed_out and "  timed out" or ""
    late = phase.err == nil and late or "  failed: " .. tostring(phase.err)
    lines[#lines + 1] = ("  %-26s %8.0f ms%s"):format(phase.name, phase.took, late)
    for _, hook in ipairs(phase.hooks) do
      hook_lines(lines, hook)
    end
  end
  for _, worker in ipairs(self.failed) do
    lines[#lines + 1] = ("  worker %s failed: %s"):format(worker.name, tostring(worker.err))
  end
  for _, task in ipairs(self.running) do
    lines[#lines + 1] = ("  still running: %s, in %s%s\n%s"):format(
      task.name and "worker " .. task.name or "a task", task.what,
      task.spawned and ", started at " .. task.spawned:gsub(":%s*$", "") or "", task.traceback)
  end
  return table.concat(lines, "\n")
end

--- Every task that waits, but for those that wait for the shutdown itself; workers have a name.
--- Tasks that are in other functions of the program are told as well: they may be what keeps it.
local function still_running(s)
  local names = {} -- by the stack; false: of one that waits for the shutdown
  for co in pairs(s._waiting) do
    names[debug.traceback(co)] = false
  end
  for worker in pairs(s._workers) do
    if worker.co then
      names[debug.traceback(worker.co)] = worker.name
    end
  end
  local running = {}
  for _, task in ipairs(core.tasks()) do
    local name = names[task.traceback]
    if task.kind == "task" and task.status ~= "running" and name ~= false then
      running[#running + 1] = {
        name = name, what = task.what, spawned = task.spawned,
        traceback = task.traceback,
      }
    end
  end
  return running
end

-- -- Hooks --------------------------------------------------------------------------------------

local function with_traceback(err)
  return { err = err, traceback = debug.traceback(nil, 2) }
end

--- Calls a hook and writes down how it ended, unless its phase is over by then.
local function call(hook, entry, phase, c)
  local began = ctx.now()
  local ok, value, err = xpcall(hook.fn, with_traceback, c)
  if phase.took then
    return
  end
  entry.took = ctx.now() - began
  if ok and (value or err == nil) then
    entry.state = "done"
  elseif ok then
    entry.state, entry.err = c:done() and "timed out" or "failed", err
  elseif type(value) == "table" then
    entry.err, entry.traceback = value.err, value.traceback
  else
    entry.err = value -- no memory: for that, Lua asks no handler
  end
end

--- Runs all hooks of a phase at once, until the last has returned or c is done.
local function run_hooks(hooks, phase, c)
  local began, tasks, waiting = ctx.now(), {}, false
  for i, hook in ipairs(hooks) do
    phase.hooks[i] = { name = hook.name, state = "failed", took = 0 }
    tasks[i] = ctx.go(call, hook, phase.hooks[i], phase, c)
  end
  for _, task in ipairs(tasks) do
    task:wait(c)
    waiting = waiting or task:status() == "waiting"
  end
  if waiting then
    -- Whoever listens to c has been woken in the same turn, and now gets to say so.
    ctx.sleep(ctx.background(), 0)
  end
  for i, entry in ipairs(phase.hooks) do
    local status = tasks[i]:status()
    if status == "failed" then -- no memory to call it, or to write down how it ended
      entry.state, entry.err = "failed", select(2, tasks[i]:wait())
    elseif status ~= "done" then
      entry.state, entry.took = "timed out", ctx.now() - began
    end
  end
end

-- -- Phases ---------------------------------------------------------------------------------------

--- Each is off the list when its task has ended; after the soft cancel none is added. One that
--- could not begin, or raised nil, is still there.
local function wait_for_workers(s, c)
  for worker in pairs(s._workers) do
    local task = worker.task
    task:wait(c)
    if task:status() == "failed" and s._workers[worker] then
      s._workers[worker] = nil
      table.insert(s._failed, { name = worker.name, err = select(2, task:wait()) })
    end
  end
  return not next(s._workers)
end

--- What the phases do beside their hooks, which come after. True, or nothing when time was up.
local actions = {}

--- The balancer has to see that the server is not ready, before connections are refused (B22).
function actions.delay(s)
  return ctx.sleep(s._base, s._delay)
end

function actions.stop(s, _, cause)
  s._softened_at = ctx.now()
  s._soften(cause)
  return true
end

--- The grace counts from the soft cancel; a drain that took longer has used it up (B9).
function actions.cancel(s, _, cause)
  local _ <close> = s._cancel -- also when there is no memory to wait
  local grace, cancel <close> = ctx.with_deadline(s._base, s._softened_at + s._grace)
  wait_for_workers(s, grace)
  s._cancel(cause)
  return true
end

function actions.wait(s, c)
  return wait_for_workers(s, c)
end

--- Closing a coroutine runs its <close> variables; none of them can wait any more. The list of
--- tasks is asked for since that lets the scheduler find out.
local function close_workers(s)
  local closed = false
  for worker in pairs(s._workers) do
    if worker.co and coroutine.status(worker.co) == "suspended" then
      worker.below, closed = closed, worker
      s._workers[worker] = nil
      coroutine.close(worker.co)
    end
  end
  core.tasks()
  while closed do
    closed.task:wait() -- the report tells of it: it is not an error that nobody heard of
    closed = closed.below
  end
end

local function run_phase(s, phase, cause)
  local name = phase.name
  local action, in_time = actions[name], true
  -- The grace before the cancel is no part of that phase's own deadline, nor is the delay.
  if action and name ~= "wait" then
    action(s, nil, cause)
  end
  local ms = s._timeouts[name]
  if ms then
    local c, cancel <close> = ctx.with_timeout(s._base, ms,
      errors.new(("shutdown: the phase '%s' took longer than %s ms"):format(name,
        text.number("%g", ms))))
    c:name("shutdown." .. name)
    run_hooks(s._hooks[name] or {}, phase, c)
    in_time = name ~= "wait" or action(s, c)
  end
  for _, hook in ipairs(phase.hooks) do
    in_time = in_time and hook.state ~= "timed out"
  end
  phase.timed_out = not in_time
end

--- Runs one phase. What goes wrong in it, no memory included, stands in the report, and keeps no
--- later one from coming.
local function attempt(s, phase, cause)
  s._phase = phase.name
  local began = ctx.now()
  local ok, err = pcall(run_phase, s, phase, cause)
  phase.took = ctx.now() - began
  if not ok then
    phase.err = err
  end
end

local ORDER = { "readiness", "delay", "stop", "drain", "cancel", "wait", "force" }

local function is_clean(report, stuck)
  for _, phase in ipairs(report.phases) do
    stuck = stuck or phase.err ~= nil
    for _, hook in ipairs(phase.hooks) do
      if hook.state ~= "done" then
        return false
      end
    end
  end
  return not stuck and #report.failed == 0
end

--- Goes through all phases.
---@param s ctx.Shutdown
---@param cause any
---@return ctx.Shutdown.Report
function phases.run(s, cause)
  local began = ctx.now()
  local report = setmetatable({
    cause = cause, phases = {}, running = {}, failed = s._failed,
  }, Report)
  local stuck = false
  for i, name in ipairs(ORDER) do
    local phase = { name = name, hooks = {}, timed_out = false }
    report.phases[i], report.phases[name] = phase, phase
    if name == "force" then
      stuck = next(s._workers) ~= nil
      local ok, running = pcall(still_running, s)
      report.running = ok and running or report.running
    end
    attempt(s, phase, cause)
  end
  close_workers(s)
  report.took = ctx.now() - began
  report.clean = is_clean(report, stuck)
  return report
end

return phases
