-- SPDX-License-Identifier: MIT
-- A soak: random fan-outs, permits, channels, cancels, timeouts, sockets that fail and tasks that
-- raise, in rounds. After each round everything must be as it was after the first ones.
--
--   ./dev soak [--seconds N] [--seed N] [--round SECONDS] [--late MS] [--resident KB]
--
-- Fails (exit 1) if memory, luv's handles, descriptors, tasks or contexts grew beyond the bounds of
-- bench/soak/sample.lua, a task was parked past its deadline by more than --late (1000 ms), a
-- permit or a cancel was lost, a report did not come, or some work did not come out even. The seed
-- gives the same choices; when sockets answer is up to the machine. --resident is what the
-- process's memory may grow by beside a quarter: more than 8192 under a sanitizer, which keeps what
-- was freed.

local uv = require "luv"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local semaphore = require "ctx.semaphore"
local sample = require "bench.soak.sample"
local sockets = require "bench.soak.sockets"
local tasks = require "bench.soak.tasks"

local USAGE = "usage: ./dev soak [--seconds N] [--seed N] [--round SECONDS] [--late MS] "
  .. "[--resident KB]"
local DRIVERS = 40
local PERMITS = 5
local MAX_MS = 120 -- of one piece of work
local WARM_ROUNDS = 3 -- the most of these is what later ones are compared with
local WATCH_MS = 100

local function options_of(arguments)
  local options = {
    seconds = 600, seed = os.time() * 1000 + uv.os_getpid() % 1000, late = 1000,
    resident = sample.may_grow.resident_kb.more,
  }
  for i = 1, #arguments, 2 do
    local name, value = arguments[i]:match("^%-%-(%a+)$"), tonumber(arguments[i + 1])
    if not (name == "round" or options[name]) or not value or value < 0 then
      io.stderr:write(USAGE, "\n")
      os.exit(2)
    end
    options[name] = value
  end
  options.round = options.round or math.max(0.3, math.min(5, options.seconds / 10))
  return options
end

-- xorshift: the same numbers in every Lua release.
local function random_of(seed)
  local state = (math.tointeger(seed) or 1) ~ 0x5DEECE66D
  return function(n)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return (state >> 1) % n + 1
  end
end

-- ---- watching ----------------------------------------------------------------------------------

local function fail(soak, format, ...)
  local text = format:format(...)
  if #soak.failures < 20 then
    soak.failures[#soak.failures + 1] = text
    print("FAILED: " .. text)
  end
  soak.failed = true
end

local function note_lateness(soak, deadline, what)
  local late = ctx.now() - deadline
  soak.worst_late = math.max(soak.worst_late, late)
  if late > soak.late then
    fail(soak, "%s was %.0f ms past its deadline", what, late)
  end
end

-- By a timer that knows nothing of ctx: it also sees the task that is never woken.
local function watch(soak)
  local timer = assert(uv.new_timer())
  timer:start(WATCH_MS, WATCH_MS, function()
    soak.most_tasks = math.max(soak.most_tasks, ctx.counters().tasks)
    soak.most_handles = math.max(soak.most_handles, sample.handles())
    for work, deadline in pairs(soak.open) do
      if ctx.now() - deadline > soak.late then
        soak.open[work] = nil
        note_lateness(soak, deadline, work.name)
      end
    end
  end)
  return timer
end

-- Groups that are closed by <close> also report a timeout that nothing waited for.
local function collect_reports(soak)
  ctx.set_report(function(message, kind)
    local expected = message:find(tasks.ON_PURPOSE, 1, true)
      or kind == "group" and message:find(tostring(ctx.deadline_exceeded), 1, true)
    if expected then
      soak.reports[kind] = (soak.reports[kind] or 0) + 1
    else
      fail(soak, "an unexpected report (%s): %s", kind, message)
    end
  end)
end

-- ---- work --------------------------------------------------------------------------------------

local function list_of(...)
  local list = {}
  for _, kinds in ipairs { ... } do
    for name, run in pairs(kinds) do
      list[#list + 1] = { name = name, run = run }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- One piece of work under a deadline of its own; `parent` may end it sooner.
local function work_once(soak, parent)
  local kind = soak.kinds[soak.random(#soak.kinds)]
  local c, cancel <close> = ctx.with_timeout(parent, soak.random(MAX_MS))
  local work = { name = kind.name }
  soak.open[work] = c:deadline()
  if soak.random(10) == 1 then
    ctx.go(function()
      ctx.sleep(c, soak.random(MAX_MS))
      cancel()
    end)
  end
  local ok, err = xpcall(kind.run, debug.traceback, soak, c)
  if not ok then
    fail(soak, "%s: %s", kind.name, err)
  end
  if soak.open[work] then
    soak.open[work] = nil
    note_lateness(soak, c:deadline(), kind.name)
  end
  soak.done = soak.done + 1
end

-- Until `load` is done. In hard rounds that also cuts short what is going on.
local function drive(soak, load, hard)
  while not load:err() do
    work_once(soak, hard and load or soak.root)
    if soak.random(3) == 1 then
      ctx.sleep(load, soak.random(10))
    end
  end
  return true
end

-- Servers outlive their clients, so that these end by themselves in soft rounds.
local function run_round(soak, ms)
  local servers <close>, server_ctx = errgroup.with_context(soak.root)
  soak.ports = sockets.open(servers, server_ctx)
  local load, cancel <close> = ctx.with_timeout(soak.root, ms)
  local drivers <close> = errgroup.new()
  local hard = soak.random(2) == 1
  for _ = 1, DRIVERS do
    drivers:go(drive, soak, load, hard)
  end
  drivers:wait()
end

-- ---- judging -----------------------------------------------------------------------------------

local function check_round(soak)
  local figures, wrong = sample.quiet(soak.root, soak.base)
  if wrong then
    fail(soak, "round %d: %s", soak.round, wrong)
  end
  local held = soak.permits:held()
  if held ~= 0 then
    fail(soak, "round %d: %d permit(s) lost", soak.round, held)
  end
  if (soak.reports.task or 0) ~= soak.raised then
    fail(soak, "round %d: %d tasks raised unheard, %d reports", soak.round, soak.raised,
      soak.reports.task or 0)
  end
  soak.base = soak.base or figures
  if soak.round <= WARM_ROUNDS then
    soak.base.lua_kb = math.max(soak.base.lua_kb, figures.lua_kb)
    soak.base.resident_kb = math.max(soak.base.resident_kb, figures.resident_kb)
  end
  return figures
end

local function print_round(soak, figures)
  print(("%7.1f s  round %-4d %8d done %6d tasks at most %5d handles at most  late %4.0f ms  "
    .. "%6.0f KB Lua %6.0f KB resident  %d handles %d descriptors")
    :format((ctx.now() - soak.began) / 1000, soak.round, soak.done, soak.most_tasks,
      soak.most_handles, soak.worst_late, figures.lua_kb, figures.resident_kb, figures.handles,
      figures.descriptors))
  soak.most_tasks, soak.most_handles = 0, 0
end

local function soak_for(soak, options)
  local deadline = soak.began + options.seconds * 1000
  local figures
  repeat
    soak.round = soak.round + 1
    run_round(soak, options.round * 1000)
    figures = check_round(soak)
    print_round(soak, figures)
  until ctx.now() >= deadline or #soak.failures >= 20
  local grown = sample.growth(figures, soak.base)
  if grown then
    fail(soak, "after %d rounds: %s", soak.round, grown)
  end
end

local function main(root, options)
  local soak = {
    root = root, key = ctx.key("soak"), random = random_of(options.seed), began = ctx.now(),
    late = options.late, worst_late = 0, most_tasks = 0, most_handles = 0, round = 0, done = 0,
    open = {}, failures = {}, reports = {}, raised = 0,
    permits = semaphore.new(PERMITS), permits_n = PERMITS,
    kinds = list_of(tasks.kinds, sockets.kinds),
  }
  collect_reports(soak)
  local timer = watch(soak)
  soak_for(soak, options)
  timer:close()
  ctx.set_report(nil)
  return soak
end

io.stdout:setvbuf("line")
collectgarbage("incremental", 200, 100, 9)
local options = options_of(arg)
sample.may_grow.resident_kb.more = options.resident
print(("soak: seed %d, %g s in rounds of %g s; late is more than %g ms"):format(options.seed,
  options.seconds, options.round, options.late))
local soak = ctx.run(main, options)
print(("soak: %d pieces of work in %d rounds, the latest %.0f ms past its deadline: %s"):format(
  soak.done, soak.round, soak.worst_late,
  soak.failed and "FAILED; seed " .. math.tointeger(options.seed) or "all as it must be"))
os.exit(not soak.failed, true)
