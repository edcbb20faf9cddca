-- SPDX-License-Identifier: MIT
--- Internal: when the hand-moved clock stands still.
---
--- The law: time jumps to the next deadline as soon as nothing else can happen. Something can,
--- while luv has a request under way (a file, a name, work on another thread, a connection that is
--- being made), or an active handle that may bring something from outside. These never do, and hold
--- nothing up:
---
--- * sockets that listen, signals, watched files: they wait for somebody to begin;
--- * sockets whose other end is in this process: what is sent there arrives at once, and what
---   sends it is a task;
--- * timers: they wait for time. While a task is in ctx.await, for this timer perhaps, one that is
---   due within 100 ms of real time counts all the same;
--- * handles that are not referenced, and so those that an earlier test has left behind;
--- * requests that an earlier test has left behind, but while a task is in ctx.await, for one of
---   its own perhaps: two seconds then.
---
--- Time that stands still for two real seconds, in which no task runs, is reported once, with what
--- it waits for; and for a minute at most. Where there is no deadline to jump to, the clock waits
--- two seconds also for what never brings anything: then it is a dead end. Whether the loop turns
--- does not count: a timer that ticks, or an idle handle, would put off the end for ever.
local core = require "ctx.core"
local handles = require "ctx.testing.handles"
local loop = require "ctx.loop"
local report = require "ctx.report"
local text = require "ctx.text"

local still = {}

local shared, uv = handles.shared, loop.uv

-- All in ms of real time.
local SOON = 100
local IN_DOUBT = 200 -- that bytes within this process may be under way; hardly any ever are
local TOLD_AFTER = 2000
local LONGEST = 60000
local PULSE = 10

-- -- What may answer ------------------------------------------------------------------------------

local BRINGS_NOTHING = { signal = true, fs_event = true, fs_poll = true, prepare = true,
  check = true, idle = true }
local STREAMS = { tcp = true, pipe = true, poll = true }

--- Whether an active handle may bring something from outside; nil, if it is not known yet. `soon`:
--- a timer that is due within so many ms does; false: none does.
local function brings(handle, soon, quiet)
  local kind = handle:get_type()
  if BRINGS_NOTHING[kind] or handles.is_ours(handle) then
    return false
  elseif kind == "timer" then
    return soon and handle:get_due_in() <= soon
  elseif STREAMS[kind] then
    local is_quiet = quiet[handle:fileno()]
    if is_quiet == nil then
      return true
    end
    return not is_quiet and nil
  end
  return true
end

--- Whether a socket within this process has more to write than the other end takes.
local function is_blocked(handle, quiet)
  local kind = handle:get_type()
  return (kind == "tcp" or kind == "pipe") and handle:get_write_queue_size() > 0
    and quiet[handle:fileno()] ~= nil
end

-- The same for each instance of this module, since the last one's hook serves all.
---@class ctx.testing.Watch
---@field name? string  of the test
---@field at? number    the time that stands still
---@field began number  since when, in ns
---@field told boolean
---@field old boolean   a request that was under way before the test may be so still
local watch = shared.watch or { began = 0, told = false, old = false }
shared.watch = watch

--- "yes", "no", "perhaps", or "old": for all that is known, only a request of an earlier test; and
--- the handles that may.
---@param soon number|false
---@return string
---@return any[]
local function judge(soon)
  local quiet = core.quiet_sockets()
  local put_aside, may, in_doubt, blocked = {}, {}, false, false
  for _, handle in ipairs((handles.all())) do
    blocked = blocked or is_blocked(handle, quiet)
    if handle:is_active() and handle:has_ref() then
      local does = brings(handle, soon, quiet)
      in_doubt = in_doubt or does == nil
      local list = does and may or put_aside
      list[#list + 1] = handle
    end
  end
  local alive = handles.alive_without(put_aside)
  watch.old = watch.old and (alive or may[1] ~= nil)
  -- A write that is blocked is a request, too, and cannot be told from others.
  if alive and (may[1] or not blocked) then
    return (may[1] or not watch.old) and "yes" or "old", may
  end
  return (in_doubt or blocked) and "perhaps" or "no", may
end

-- -- For how long it has stood --------------------------------------------------------------------

local function why(may)
  local names = {}
  for i = 1, math.min(#may, 5) do
    names[i] = tostring(may[i])
  end
  if #may > 5 then
    names[#names + 1] = ("and %d more"):format(#may - 5)
  end
  return may[1] and "these are open and may still answer: " .. table.concat(names, ", ")
    or "a request to luv is under way"
end

local function tell(may, stood)
  watch.told = true
  report.send(("testing: %s: time has stood still for %s s, since %s\n%s"):format(
    watch.name or "the hand-moved clock", text.number("%.0f", stood / 1000), why(may),
    report.asleep()), "testing")
end

local function pulse() end

--- Makes the loop turn now and then, although nothing happens.
function still.start()
  local timer = shared.pulse
  if not timer or timer:is_closing() then
    local scope <close> = loop.owned()
    timer = assert(uv.new_timer())
    scope.handle = timer
    timer:unref()
    shared.pulse = timer
    scope.handle = false
  end
  if not timer:is_active() then
    timer:start(PULSE, PULSE, pulse)
  end
end

function still.stop()
  local timer = shared.pulse
  if timer and not timer:is_closing() then
    timer:stop()
  end
end

--- A test begins: reports name it, and tell it once.
---@param name string?
function still.begin(name)
  watch.name, watch.at, watch.told = name, nil, false
  watch.old = handles.has_requests() or false
end

local LIMITS = { yes = LONGEST, old = TOLD_AFTER, perhaps = IN_DOUBT, no = 0 }

--- Asked when no task is ready, and luv has something open: whether to wait for that. `last`: there
--- is no deadline to jump to. `awaits`: a task is in ctx.await. `stirred`: one has run since the
--- last question.
core.hook("may_answer", function(last, awaits, stirred)
  local answer, may = judge(last and math.huge or awaits and SOON)
  if answer == "old" and not awaits then
    answer = "no"
  end
  if answer == "no" and not last then
    return false
  end
  still.start()
  if stirred or watch.at ~= core.now() then
    watch.at, watch.began = core.now(), uv.hrtime()
  end
  local stood = (uv.hrtime() - watch.began) / 1e6
  if stood >= math.max(LIMITS[answer], last and TOLD_AFTER or 0) then
    return false
  elseif stood >= TOLD_AFTER and not watch.told then
    tell(may, stood)
  end
  return true
end)

return still
