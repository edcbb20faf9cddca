-- SPDX-License-Identifier: MIT
--- The one place where this library speaks by itself: errors that nobody waits for, lost cancels.
local core = require "ctx.core"
local errors = require "ctx.errors"
local tasks = require "ctx.tasks"
local text = require "ctx.text"
local want = require "ctx.want"

local shared = core.shared("ctx.report")
local report = {}

local function to_stderr(message)
  io.stderr:write("ctx: ", message, "\n")
end

shared.report = shared.report or to_stderr
shared.refusals = shared.refusals or {}
-- The traceback of the generator that raised this object.
shared.inner = shared.inner or setmetatable({}, { __mode = "k" })
shared.told = shared.told or setmetatable({}, { __mode = "k" })

--- Of each line that has lost cancels, how many it lost; of all others, once there are too many.
---@type table<string, { lost: integer, told: integer }>
shared.losses = shared.losses or {}
shared.lines = shared.lines or 0

--- Sends reports to `fn` instead of stderr, and returns the previous function; nil brings that
--- back.
---@param fn? fun(message: string, kind: string)
---@return fun(message: string, kind: string) previous
function report.set(fn)
  if fn ~= nil then
    want.fn(fn, "set_report", 1)
  end
  local previous = shared.report
  shared.report = fn or to_stderr
  shared.losses, shared.lines = {}, 0 -- this one has not heard of them
  return previous
end

local describe = errors.describe
report.describe = describe

-- The types of values with an identity. A traceback that is kept for the error 42 would be shown
-- for each error that is 42; and NaN is no key.
local OBJECTS = { table = true, userdata = true, ["function"] = true, thread = true }

--- The text of an error, with the traceback of where it was raised, if that is known.
---@param err any
---@param trace? string
---@return string
function report.full(err, trace)
  local kept = type(err) == "table" and rawget(err, "traceback")
  trace = trace or type(kept) == "string" and kept
  local inner = OBJECTS[type(err)] and shared.inner[err]
  if inner then
    trace = trace and inner .. "\nwhich was iterated here:\n" .. trace or inner
  end
  return trace and describe(err) .. "\n" .. trace or describe(err)
end

--- What a generator of ctx.wrap raises in the coroutine that iterates: a text with the generator's
--- traceback; an object as it is, whose traceback goes to the report.
core.hook("generator_failed", function(err, trace)
  if type(err) == "string" then
    return err .. "\n" .. trace
  elseif err == nil then
    return errors.raised(nil, trace)
  end
  if OBJECTS[type(err)] then
    shared.inner[err] = trace
  end
  return err
end)

--- Sends one report. What the reporter raises has nowhere to go: a report of a failed report would
--- fail, too.
---@param message any
---@param kind string
function report.send(message, kind)
  pcall(shared.report, describe(message), kind)
end

local send = report.send

--- Where a caller's function stands, as the last line of a report on it: a function that ends with
--- a tail call leaves no line of its own in a traceback.
---@param fn any
---@param what string  what it is: "the worker 'feed'"
---@return string
function report.place(fn, what)
  return ("\n\tin %s, %s"):format(what, errors.place(fn))
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
    send(("%s: %s failed: %s%s")
      :format(kind, name, report.full(err, trace), report.place(fn, name)), kind)
  end
end

core.hook("report", send)

--- This error is told elsewhere: no report of a task that failed with it.
---@param err any
function report.told(err)
  shared.told[err] = true
end

core.hook("task_failed", function(err, trace)
  if err ~= nil and shared.told[err] then
    return
  end
  send("a task failed, and nobody waited for it: " .. report.full(err, trace), "task")
end)

--- The first error of a group that nobody waited for. Two need no report: that its tasks were
--- cancelled, and the error with which the scope of the group was left.
core.hook("group_failed", function(err, left_with)
  if not errors.is(err, errors.canceled) and not errors.is(left_with, err) then
    send("a group failed, and nobody waited for it: " .. report.full(err), "group")
  end
end)

core.hook("foreign_error", function(co, err)
  send("a coroutine that had waited failed: " .. describe(err) .. "\n" .. core.traceback(co),
    "coroutine")
end)

-- -- Lost cancels ---------------------------------------------------------------------------------

-- A line that loses one cancel loses thousands. So it is told of the first, and then of how many
-- there are at 10, 100, 1000 and so on, and when a ctx.run ends. Chunks may have any number of
-- names: those beyond LINES are counted together.
local LINES = 1000
local OTHERS = "lines that are not named, since there are more than " .. LINES

local function tell(where, loss)
  loss.told = loss.lost
  send(("lost cancel: the context made at %s was collected, and its cancel was never called%s")
    :format(where, loss.lost > 1 and (" (%d of them so far)"):format(loss.lost) or ""),
    "lost_cancel")
end

core.hook("lost_cancel", function(where)
  where = tasks.place(where)
  local losses = shared.losses
  if not losses[where] and shared.lines >= LINES then
    where = OTHERS
  end
  if not losses[where] then
    losses[where] = { lost = 0, told = 0 }
    shared.lines = shared.lines + 1
  end
  local loss = losses[where]
  loss.lost = loss.lost + 1
  if loss.lost >= 10 * loss.told then
    tell(where, loss)
  end
end)

--- The cancels that were lost since the function for reports was set, and the lines that lost them.
---@return integer lost
---@return string[] places
function report.losses()
  local lost, places = 0, {}
  for where, loss in pairs(shared.losses) do
    lost = lost + loss.lost
    places[#places + 1] = loss.lost > 1 and ("%s (%d times)"):format(where, loss.lost) or where
  end
  text.sort(places)
  return lost, places
end

--- The end of a ctx.run: tells the counts of lost cancels that have not been told.
function report.tell_counts()
  for where, loss in pairs(shared.losses) do
    if loss.lost > loss.told then
      tell(where, loss)
    end
  end
end

--- Values that a coroutine yields when the scheduler has resumed it, after a wait, come to nobody.
core.hook("dropped", function(co)
  local info = debug.getinfo(co, 1, "Sl")
  local where = info and ("%s:%d"):format(info.short_src, info.currentline) or "?"
  if not shared.refusals[where] then
    shared.refusals[where] = true
    send(where .. ": a coroutine that had waited yielded values, and nobody gets them: in place of "
      .. "coroutine.wrap use ctx.wrap\n" .. core.traceback(co), "coroutine")
  end
end)

--- A loop that does not look at what its waits return would have stopped all others: the scheduler
--- makes it wait, and each such line is told once.
core.hook("refusals", function(where)
  if not shared.refusals[where] then
    shared.refusals[where] = true
    send(where .. "asked what has ended (a context, or what it waits for) 100 times in a row; it "
      .. "should look at what its waits return", "ended_context")
  end
end)

--- What the waiting tasks wait in, with their stacks.
---@return string
function report.asleep()
  local waiting = {}
  for _, task in ipairs(core.tasks()) do
    if task.status == "waiting" then
      waiting[#waiting + 1] = task
    end
  end
  return table.concat(tasks.texts(waiting), "\n")
end

core.hook("asleep", report.asleep)

return report
