-- SPDX-License-Identifier: MIT
--- The one place where this library speaks by itself: errors that nobody waits for, lost cancels.
local core = require "ctx.core"
local errors = require "ctx.errors"
local want = require "ctx.want"

local shared = core.shared("ctx.report")
local report = {}

local function to_stderr(message)
  io.stderr:write("ctx: ", message, "\n")
end

shared.report = shared.report or to_stderr
shared.told = shared.told or setmetatable({}, { __mode = "k" })

--- Replaces the function that reports go to; nil brings back the one that writes to stderr.
---@param fn? fun(message: string, kind: string)
---@return fun(message: string, kind: string) previous
function report.set(fn)
  want.argument(fn == nil or type(fn) == "function", "set_report", 1, "fn", "a function or nil",
    fn)
  local previous = shared.report
  shared.report = fn or to_stderr
  return previous
end

--- The text of an error, also of one that cannot be printed.
---@param err any
---@return string
local function describe(err)
  local ok, text = pcall(tostring, err)
  return ok and text or "(an error object that cannot be printed)"
end

report.describe = describe

--- What the reporter raises has nowhere to go: a report of a failed report would fail, too.
local function send(message, kind)
  pcall(shared.report, message, kind)
end

--- Sends one report.
---@param message any
---@param kind string
function report.send(message, kind)
  send(describe(message), kind)
end

--- Calls a caller's `on_…` function, which only listens: what it raises is reported, and never
--- replaces the result of what it listens to.
---@param kind string  of the report; the module
---@param name string  of the function, for the report
---@param fn function
---@param ... any
function report.guard(kind, name, fn, ...)
  local ok, err, trace = errors.call(fn, ...)
  if not ok then
    send(("%s: %s failed: %s%s"):format(kind, name, describe(err), trace and "\n" .. trace or ""),
      kind)
  end
end

core.hook("report", report.send)

--- This error is told elsewhere: no report of a task that failed with it.
---@param err any
function report.told(err)
  shared.told[err] = true
end

core.hook("task_failed", function(err, trace)
  if err ~= nil and shared.told[err] then
    return
  end
  send("a task failed, and nobody waited for it: " .. describe(err)
    .. (trace and "\n" .. trace or ""), "task")
end)

--- The first error of a group that nobody asked for; that its tasks were cancelled is no news, and
--- neither is what the scope of the group was left with.
core.hook("group_failed", function(err, left_with)
  if not errors.is(err, errors.canceled) and not errors.is(left_with, err) then
    send("a group failed, and nobody waited for it: " .. describe(err)
      .. (type(err) == "table" and err.traceback and "\n" .. err.traceback or ""), "group")
  end
end)

core.hook("foreign_error", function(co, err)
  send("a coroutine that had waited failed: " .. debug.traceback(co, describe(err)), "coroutine")
end)

core.hook("lost_cancel", function(where)
  send("lost cancel: the context made at " .. where:gsub(":%s*$", "")
    .. " was collected, and its cancel was never called", "lost_cancel")
end)

--- What every waiting task waits in, with its stack.
---@return string
function report.asleep()
  local lines = {}
  for _, task in ipairs(core.tasks()) do
    if task.status == "waiting" then
      lines[#lines + 1] = ("%s waiting in %s%s\n%s"):format(task.kind, task.what,
        task.spawned and ", started at " .. task.spawned:gsub(":%s*$", "") or "", task.traceback)
    end
  end
  return table.concat(lines, "\n")
end

core.hook("asleep", report.asleep)

return report
