-- SPDX-License-Identifier: MIT
--- What ctx.shutdown does, phase by phase, and what it tells about that.
local core = require "ctx.core"
local errors = require "ctx.errors"
local owner = require "ctx.owner"
local report_of = require "ctx.shutdown.report"
local workers = require "ctx.shutdown.workers"
local text = require "ctx.text"

local phases = {}

-- -- Hooks --------------------------------------------------------------------------------------

--- Calls a hook and writes down how it ended, unless its phase is over by then.
local function call(hook, entry, phase, c)
  local what = ("the hook '%s', %s"):format(hook.name, errors.place(hook.fn))
  local _ <close> = owner.claim(what)
  local began = core.now()
  local ok, value, err = errors.call(hook.fn, c)
  if phase.took then
    return
  end
  entry.took = core.now() - began
  if not ok then
    entry.err, entry.traceback = value, err and err .. "\n\tin " .. what
  elseif value or err == nil then
    entry.state = "done"
  else
    entry.state, entry.err = c:done() and "timed out" or "failed", err
  end
end

--- Runs all hooks of a phase at once, until the last has returned or c is done.
local function run_hooks(hooks, phase, c)
  local began, tasks, waiting = core.now(), {}, false
  for i, hook in ipairs(hooks) do
    phase.hooks[i] = { name = hook.name, state = "failed", took = 0 }
    tasks[i] = core.go(call, hook, phase.hooks[i], phase, c)
  end
  for _, task in ipairs(tasks) do
    workers.outlast(task, c)
    waiting = waiting or task:status() == "waiting"
  end
  if waiting then
    -- Hooks that wait on c have been woken in the same turn, and have their chance to end now.
    core.sleep(core.background(), 0)
  end
  for i, entry in ipairs(phase.hooks) do
    local status = tasks[i]:status()
    if status == "failed" then -- no memory to call it, or to write down how it ended
      entry.state, entry.err = "failed", select(2, tasks[i]:wait())
    elseif status ~= "done" then
      entry.state, entry.took = "timed out", core.now() - began
    end
  end
end

-- -- Phases ---------------------------------------------------------------------------------------

--- What the phases do before their hooks. It is no part of a phase's own deadline.
local before = {}

--- The balancer has to see that the server is not ready, before connections are refused.
function before.delay(s)
  core.sleep(s._base, s._delay)
end

function before.stop(s, cause)
  s._softened_at = core.now()
  s._soften(cause)
end

--- The grace counts from the soft cancel; a drain that took longer has used it up.
function before.cancel(s, cause)
  local _ <close> = s._cancel -- also when there is no memory to wait
  local left = math.max(0, s._grace - (core.now() - s._softened_at))
  local grace, cancel <close> = core.with_timeout(s._base, left)
  workers.wait(s, grace)
  s._cancel(cause)
end

local function run_phase(s, phase, cause)
  local name, in_time = phase.name, true
  if before[name] then
    before[name](s, cause)
  end
  local ms = s._timeouts[name]
  if ms then
    local c, cancel <close> = core.with_timeout(s._base, ms,
      errors.new(("shutdown: the phase '%s' took longer than %s ms"):format(name,
        text.number("%g", ms))))
    c:name("shutdown." .. name)
    run_hooks(s._hooks[name] or {}, phase, c)
    in_time = name ~= "wait" or workers.wait(s, c)
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
  local began = core.now()
  local ok, err = pcall(run_phase, s, phase, cause)
  phase.took = core.now() - began
  if not ok then
    phase.err = err
  end
end

local ORDER = { "readiness", "delay", "stop", "drain", "cancel", "wait", "force" }

--- Goes through all phases.
---@async
---@param s ctx.shutdown.Shutdown
---@param cause any
---@return ctx.shutdown.Report
function phases.run(s, cause)
  local began = core.now()
  local report = report_of.new(cause, s._failed)
  local stuck = false
  for i, name in ipairs(ORDER) do
    local phase = { name = name, hooks = {}, timed_out = false }
    report.phases[i], report.phases[name] = phase, phase
    if name == "force" then
      stuck = s._workers.size > 0
      local ok, running = pcall(report_of.still_running, s)
      report.running = ok and running or report.running
    end
    attempt(s, phase, cause)
  end
  workers.force(s)
  report.took = core.now() - began
  report.clean = report_of.is_clean(report, stuck)
  return report
end

return phases
