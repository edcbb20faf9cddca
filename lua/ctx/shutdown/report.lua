-- SPDX-License-Identifier: MIT
--- What a shutdown tells when it is over.
local core = require "ctx.core"
local errors = require "ctx.errors"
local tasks = require "ctx.tasks"

local describe = errors.describe

local report = {}

---@class ctx.shutdown.Hook
---@field name string
---@field state string     "done", "failed" or "timed out"
---@field took number      ms
---@field err any?         of one that failed
---@field traceback string? of one that raised

---@class ctx.shutdown.Phase
---@field name string
---@field took number      ms
---@field timed_out boolean
---@field err any?         there was no memory for all of it
---@field hooks ctx.shutdown.Hook[]

---@class ctx.shutdown.Running
---@field name string?     of a worker: where its function stands
---@field owner string?    what it does, if a module started it
---@field what string      what it waits in
---@field spawned string?  where it was started, under ctx.debug
---@field traceback string

---@class ctx.shutdown.Report
---@field cause any        why it began
---@field took number      ms, all phases together
---@field clean boolean    no hook or worker failed, none was late, and nothing was left to force
---@field phases ctx.shutdown.Phase[]  also by name: report.phases.drain
---@field failed table[]   workers that raised: { name =, err = }
---@field running ctx.shutdown.Running[]  tasks that were there when force came
local Report = { __name = "ctx.shutdown.Report" }
Report.__index = Report

---@param cause any
---@param failed table[]
---@return ctx.shutdown.Report
function report.new(cause, failed)
  return setmetatable({ cause = cause, phases = {}, running = {}, failed = failed }, Report)
end

local function hook_lines(lines, hook)
  local err = hook.err ~= nil and ": " .. describe(hook.err) or ""
  lines[#lines + 1] = ("    %-24s %8.0f ms  %s%s"):format(hook.name, hook.took, hook.state, err)
end

local function phase_lines(lines, phase)
  local late = phase.timed_out and "  timed out" or ""
  late = phase.err == nil and late or "  failed: " .. describe(phase.err)
  lines[#lines + 1] = ("  %-26s %8.0f ms%s"):format(phase.name, phase.took, late)
  for _, hook in ipairs(phase.hooks) do
    hook_lines(lines, hook)
  end
end

local function who(task)
  return task.name and "worker " .. task.name or task.owner or "a task"
end

--- Tasks that are alike are one line, with their number; with their stack, unless all is well: then
--- they are such as end with the program, servers as a rule.
local function running_lines(lines, running, clean)
  local function text_of(task)
    local spawned = task.spawned and ", started at " .. tasks.place(task.spawned) or ""
    return ("%s, in %s%s%s"):format(who(task), task.what, spawned,
      clean and "" or "\n" .. task.traceback)
  end
  for _, group in ipairs(tasks.groups(running, text_of)) do
    local times = group.count > 1 and group.count .. " times " or ""
    lines[#lines + 1] = "  still running: " .. times .. group.text
  end
end

--- The whole of it as text, a line for each phase, hook and failure, and for what ran on.
function Report:__tostring()
  local lines = { ("shutdown: %s, %.0f ms, %s"):format(describe(self.cause), self.took,
    self.clean and "clean" or "not clean") }
  for _, phase in ipairs(self.phases) do
    phase_lines(lines, phase)
  end
  for _, worker in ipairs(self.failed) do
    lines[#lines + 1] = ("  worker %s failed: %s"):format(worker.name, describe(worker.err))
  end
  running_lines(lines, self.running, self.clean)
  return table.concat(lines, "\n")
end

--- Every task that waits, except those that wait for the shutdown itself; workers have a name.
--- Tasks that are in other functions of the program are told as well: they may be what keeps it.
---@param s ctx.shutdown.Shutdown
---@return ctx.shutdown.Running[]
function report.still_running(s)
  local names, running = {}, {}
  for _, worker in ipairs(s._workers) do
    if worker.co then
      names[worker.co] = worker.name
    end
  end
  for _, task in ipairs(core.tasks()) do
    if task.kind == "task" and task.status ~= "running" and not s._waiting[task.co] then
      running[#running + 1] = {
        name = names[task.co], owner = task.owner, what = task.what, spawned = task.spawned,
        traceback = task.traceback,
      }
    end
  end
  return running
end

---@param self ctx.shutdown.Report
---@param stuck boolean  workers were left to force
---@return boolean
function report.is_clean(self, stuck)
  for _, phase in ipairs(self.phases) do
    stuck = stuck or phase.err ~= nil
    for _, hook in ipairs(phase.hooks) do
      if hook.state ~= "done" then
        return false
      end
    end
  end
  return not stuck and #self.failed == 0
end

return report
