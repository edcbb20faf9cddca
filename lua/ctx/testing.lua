-- SPDX-License-Identifier: MIT
--- Tests without sleeps: a clock that is moved by hand, and a check that nothing is left behind.
---
---     it("gives up after its budget", function()
---       testing.run(function(root, clock)
---         local c, cancel <close> = ctx.with_timeout(root, 500)
---         assert.is_nil(ctx.sleep(c, 60000))     -- takes no real time
---         assert.equal(500, clock:elapsed())
---       end)
---     end)
---
--- When every task is parked, time jumps to the next deadline or to the end of the next sleep. It
--- does not while a task waits for something outside (ctx.await, a socket): then the real loop
--- turns until that comes. When nothing can happen any more, the run fails and shows every stack.
local core = require "ctx.core"
local ctx = require "ctx"
local loop = require "ctx.loop"
local want = require "ctx.want"

-- Where ctx.signal keeps the handle that ignores SIGPIPE, made when it is first loaded.
local signals = core.shared("ctx.signal")

local testing = {}

-- -- The clock ------------------------------------------------------------------------------------

---@class ctx.testing.Clock
---@field _began number
---@field _real boolean? it is not, or no more, this one that holds the real clock off
local Clock = {}
local metatable = { __name = "ctx.testing.Clock", __index = Clock }

--- The time now, in ms, as ctx.now() tells it.
function Clock:now()
  want.self(self, metatable, "now")
  return ctx.now()
end

--- The ms that have passed since the clock was installed.
function Clock:elapsed()
  want.self(self, metatable, "elapsed")
  return ctx.now() - self._began
end

--- Lets `ms` pass: every deadline, sleep and ready task due until then runs, in order. In a task
--- this is a sleep that nothing ends early.
---@param ms number
function Clock:advance(ms)
  want.self(self, metatable, "advance")
  want.argument(want.is_ms(ms), "advance", 1, "ms", "a time in ms", ms)
  if coroutine.isyieldable() then
    core.jump(ms)
    ctx.sleep(ctx.background(), ms)
  else
    core.advance(ms)
  end
end

--- Runs everything that is ready, without moving time.
function Clock:settle()
  want.self(self, metatable, "settle")
  self:advance(0)
end

--- Brings the real clock back. Again: nothing.
function Clock:close()
  want.self(self, metatable, "close")
  if not self._real then
    self._real = true
    core.fake_clock(false)
  end
end

metatable.__close = Clock.close

--- Installs a clock that is moved by hand, until it is closed: `local clock <close> = …`. Within
--- the scope of another it is a second face of that, which goes on when this one is closed.
---@return ctx.testing.Clock
function testing.clock()
  local nested = core.fake_clock(true)
  return setmetatable({ _began = ctx.now(), _real = nested }, metatable)
end

--- The real one, so far as it can be a clock of this class.
local function real_clock()
  return setmetatable({ _began = ctx.now(), _real = true }, metatable)
end

-- -- Leaks ----------------------------------------------------------------------------------------

local function our_handle(handle)
  return handle == loop.timer or handle == loop.idle or handle == loop.poll
    or handle == signals.pipe or loop.standing[handle]
end

--- luv's open handles, as a set, without the scheduler's own.
local function open_handles()
  local handles, failure = {}, nil
  local function add(handle)
    if not handle:is_closing() and not our_handle(handle) then
      handles[handle] = true
    end
  end
  -- Should a callback raise, also for want of memory, luv would end the process.
  core.reserve()
  loop.uv.walk(function(handle)
    local ok, err = pcall(add, handle)
    failure = failure or not ok and err
  end)
  if failure then
    error(failure, 0)
  end
  return handles
end

---@class ctx.testing.Snapshot
local Snapshot = {}
local snapshot_metatable = { __name = "ctx.testing.Snapshot", __index = Snapshot }

--- What there is now, to compare with later.
---@return ctx.testing.Snapshot
function testing.snapshot()
  collectgarbage()
  local contexts, tasks = setmetatable({}, { __mode = "k" }), {}
  for _, live in ipairs(core.contexts()) do
    contexts[live.context] = true
  end
  -- By their stacks: the only thing that tells one from another, as threads are used again.
  for _, task in ipairs(core.tasks()) do
    tasks[task.traceback] = (tasks[task.traceback] or 0) + 1
  end
  return setmetatable({
    _contexts = contexts, _tasks = tasks, _handles = open_handles(), _lost = core.counters().lost,
  }, snapshot_metatable)
end

--- "file:line: " as C writes it, without what follows the line.
local function place(where)
  return (where:gsub(":%s*$", ""))
end

local function leaked_tasks(self, leaks)
  local seen = {}
  for _, task in ipairs(core.tasks()) do
    local trace = task.traceback
    seen[trace] = (seen[trace] or 0) + 1
    local new = seen[trace] > (self._tasks[trace] or 0)
    if new and task.kind ~= "main" and task.status ~= "running" then
      local spawned = task.spawned and place(task.spawned)
        or "(unknown: an after-func, or ctx.debug was off)"
      leaks[#leaks + 1] = ("a %s %s in %s, started at %s\n%s")
        :format(task.kind, task.status, task.what, spawned, task.traceback)
    end
  end
end

local function leaked_contexts(self, leaks)
  for _, live in ipairs(core.contexts()) do
    if not self._contexts[live.context] then
      leaks[#leaks + 1] = ("a context that was never cancelled: %s%s")
        :format(tostring(live.context), live.made and " made at " .. place(live.made) or "")
    end
  end
  local lost, where = core.counters().lost - self._lost, ""
  if self._where then
    -- Only what was made since has a known place: others are lost by who made them.
    lost, where = #self._where, ", made at " .. table.concat(self._where, ", ")
  end
  if lost > 0 then
    leaks[#leaks + 1] = ("%d lost cancel(s): contexts collected before their cancel was called%s")
      :format(lost, where)
  end
end

--- Everything that came since and is still there: one text for each leak.
---@return string[]
function Snapshot:leaks()
  want.self(self, snapshot_metatable, "leaks")
  -- Twice: what a finalizer lets go of in the first round is collected in the second.
  collectgarbage()
  collectgarbage()
  local leaks = {}
  leaked_tasks(self, leaks)
  leaked_contexts(self, leaks)
  for handle in pairs(open_handles()) do
    if not self._handles[handle] then
      leaks[#leaks + 1] = "an open luv handle: " .. tostring(handle)
    end
  end
  return leaks
end

--- Raises an error that names the spec and each leak, if there is any.
---@param name string what leaked
function Snapshot:check(name)
  want.self(self, snapshot_metatable, "check")
  local leaks = self:leaks()
  if #leaks > 0 then
    error(("%s leaks %d thing(s):\n%s"):format(name, #leaks, table.concat(leaks, "\n")), 0)
  end
end

-- -- Whole runs -----------------------------------------------------------------------------------

local function name_of(fn)
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

--- Collects the places of lost cancels instead of printing them.
local function collect_lost(into)
  local previous
  previous = ctx.set_report(function(message, kind)
    local where = kind == "lost_cancel" and message:match("made at (.-) was collected")
    if where then
      into[#into + 1] = where
    else
      previous(message, kind)
    end
  end)
  return previous
end

local OPTIONS = {
  name = { "a string", function(value) return type(value) == "string" end },
  real = { "a boolean", function(value) return type(value) == "boolean" end },
}

---@class ctx.testing.Options
---@field name? string   how leaks call the spec; by default where the function stands
---@field real? boolean  keep the real clock

--- Runs fn(root, clock) as ctx.run does, under a hand-moved clock, with ctx.debug on; then checks
--- that no task, context or luv handle is left. Raises fn's error, "all tasks are asleep", or the
--- list of what leaked.
---@param fn fun(root: ctx.Context, clock: ctx.testing.Clock): ...
---@param options? ctx.testing.Options
---@return any ... what fn returned
function testing.run(fn, options)
  want.fn(fn, "run", 1)
  options = options or {}
  want.options(options, "run", 2, OPTIONS)
  local debugging = ctx.debug()
  local lost = {}
  ctx.debug(true)
  local snapshot = testing.snapshot()
  snapshot._where = lost
  local report = collect_lost(lost)
  local clock = options.real and real_clock() or testing.clock()
  local results = table.pack(pcall(ctx.run, function(root)
    return fn(root, clock)
  end))
  clock:close()
  local clean, leaks = pcall(snapshot.check, snapshot, options.name or name_of(fn))
  ctx.set_report(report)
  ctx.debug(debugging)
  if not results[1] then
    error(results[2], 0)
  elseif not clean then
    error(leaks, 0)
  end
  return table.unpack(results, 2, results.n)
end

return testing
