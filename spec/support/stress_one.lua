-- SPDX-License-Identifier: MIT
--- The process that stress.lua starts for one spec file: PATH MODE SEED SECONDS FILTER, and
--- "spare" if nothing may fail within luv. Its lines that begin with @ are for stress.lua, the
--- others for people.
local path, mode, seed, seconds, filter, spared = table.unpack(arg)
seed, seconds = math.tointeger(seed), seconds == "inf" and math.huge or tonumber(seconds)

local alloc = require "alloc"
local core = require "ctx.core"
local ctx = require "ctx"
local loop = require "ctx.loop"
local minibusted = require "spec.support.minibusted"
local new_random = require "spec.support.random"
local shortage = require "spec.support.shortage"
local testing = require "ctx.testing"
local uv = require "luv"

local CLEANINGS = 20  -- turns that what a test left behind may take to go
local REPEATS = 24    -- of a run that left more memory in use than any before: pools fill up
local PATIENCE_MS = 5000 -- for tasks that wait for what others had no memory to do
local LEAST = 12      -- runs that each kind of failure gets, however short the time, but
local FILE_RUNS = 100 -- about so many for a file, and no more than a second of them for a test

io.stdout:setvbuf("line")

local function say(kind, ...)
  print("@" .. kind .. " " .. table.concat({ ... }, ": "))
end

local function quiet() end

-- -- Putting things back --------------------------------------------------------------------------

local kept = setmetatable({}, { __mode = "k" }) -- handles that were there before the first test

local function is_ours(handle)
  return kept[handle] or handle == loop.timer or handle == loop.prepare or handle == loop.poll
end

local function close_handles()
  uv.walk(function(handle)
    if not is_ours(handle) and not handle:is_closing() then
      handle:close()
    end
  end)
end

--- Ends whatever a test left behind that was cut short, with memory to be had again.
local function clean(test)
  test.clean()
  ctx.set_report(quiet)
  ctx.debug(false)
  core.fake_clock(false)
  core.shared("ctx.report").refusals = {} -- each line is told once
  for _ = 1, CLEANINGS do
    core.abandon(true)
    core.turn()
    core.tell_failures() -- which would wait for somebody to hear of them
    close_handles()
    -- Tasks that had not begun may wait for long by now; without any, until every request has come
    -- back.
    local now = core.counters()
    uv.run(now.parked > 0 and "nowait" or "default")
    now = core.counters()
    if now.tasks == 0 and now.parked == 0 and now.watchers == 0 then
      break
    end
  end
  -- Twice: what a finalizer lets go of in the first round is collected in the second. Of a chain of
  -- contexts that nobody has cancelled, each round lets go of one.
  local linked
  repeat
    linked = core.counters().linked
    collectgarbage()
    collectgarbage()
  until core.counters().linked >= linked
end

--- A small program that needs everything: deriving, watching, cancelling, sleeping, joining.
local function canary()
  return testing.run(function(root, clock)
    local c, cancel <close> = ctx.with_cancel(ctx.with_value(root, "key", "value"))
    local heard
    ctx.after_func(c, function() heard = c:cause() end)
    local task = ctx.go(function() return c:wait() end)
    local short, cancel_short <close> = ctx.with_timeout(c, 50)
    local slept, err = ctx.sleep(short, 100)
    assert(not slept and err == ctx.deadline_exceeded and clock:elapsed() == 50, "sleep")
    cancel("enough")
    assert(task:wait() == ctx.canceled, "join")
    assert(heard == "enough" and c:value("key") == "value", "after_func")
    local any, cancel_any <close> = ctx.any(root, c)
    assert(any:cause() == "enough", "any")
    assert(ctx.sleep(root, 10) and clock:elapsed() == 60, "second sleep")
  end)
end

local balanced = { "linked", "watchers", "deadlines", "tasks", "parked", "external" }
local before -- the counters when nothing has run yet

local lost = 0 -- finalizers, in all runs so far

--- Whether a finalizer was lost since this was asked last: what it would have let go of stays.
local function has_lost()
  local now = alloc.lost()
  local more = now > lost
  lost = now
  return more
end

--- nil when the library is as it was, or what is wrong with it.
local function damage()
  local now = core.counters()
  if has_lost() then
    before.linked = math.max(before.linked, now.linked)
  end
  for _, name in ipairs(balanced) do
    if now[name] ~= before[name] then
      return ("%s: %d, was %d"):format(name, now[name], before[name])
    end
  end
  local records = core.tasks()
  if records[1] then
    core.abandon(true)
    return ("%d records still in use, one a %s, %s in %s: %s"):format(#records, records[1].kind,
      records[1].status, records[1].what, records[1].traceback)
  end
  local ok, err = pcall(canary)
  if not ok then
    return "the library is broken afterwards: " .. tostring(err)
  end
end

-- -- One run --------------------------------------------------------------------------------------

--- Runs the test with the allocator armed, then puts things back. Returns whether it passed, its
--- error, how many allocations it made, and what is wrong with the library.
local function run(test, arm, n)
  arm(n)
  -- A debug hook that a test left behind needs memory, too: on the same line, none is called.
  local ok, err = pcall(test.run) debug.sethook()
  local count = arm == alloc.collect and alloc.reset() or shortage.over()
  clean(test)
  return ok, err, count, damage()
end

local most_bytes

--- Whether runs like this one leak: each of several leaves more memory in use than the one before.
local function leaks(test, arm, n)
  local bytes = alloc.bytes()
  if most_bytes and bytes <= most_bytes then
    return nil
  end
  local first = bytes
  for _ = 1, REPEATS do
    most_bytes = bytes
    local already_lost = lost
    say("doing", test.name, n, "has more memory in use than any before", bytes)
    run(test, arm, n)
    collectgarbage()
    bytes = alloc.bytes()
    if bytes <= most_bytes or lost > already_lost then
      return nil
    end
  end
  return ("memory grows with every run, by %d bytes in %d"):format(bytes - first, REPEATS)
end

local fail_once, fail_after = shortage.armed(alloc.fail_once), shortage.armed(alloc.fail_after)

local function count_only()
  fail_once(math.maxinteger)
end

--- What a run of this test costs: seconds, allocations, and how many times as large as now its heap
--- becomes. An error, if it fails by itself.
local function measure(test)
  local began, count, bytes
  for _ = 1, 3 do -- caches are filled, coroutines are pooled
    began, bytes = uv.hrtime(), alloc.bytes()
    alloc.peak()
    local ok, err, requests, broken = run(test, count_only)
    if not ok or broken then
      return nil, broken or tostring(err)
    end
    count = requests
  end
  return { seconds = (uv.hrtime() - began) / 1e9, count = count, growth = alloc.peak() / bytes }
end

-- -- Many runs ------------------------------------------------------------------------------------

local runs, sampled = 0, 0

--- The numbers to let fail, of `count` in about `budget` runs: all, or the first ones and then by
--- steps that grow, at random. What lies beyond `count` is asked for until nothing fails any more.
local function numbers(count, budget, random)
  local dense = budget >= count and math.huge or budget // 2
  local left = math.max(1, budget - budget // 2)
  local growth = (math.max(2, count / dense)) ^ (1 / left) - 1
  local n = 0
  return function()
    if n < dense then
      n = n + 1
    else
      local step = math.max(1, math.ceil(2 * growth * n))
      n = n + random(step)
    end
    return n
  end
end

local function fail_each(test, kind, cost, random)
  local count = cost.count
  local share = seconds == math.huge and math.huge or cost.share
  local least = math.min(LEAST, cost.most_runs, 1 / cost.seconds)
  local budget = math.max(2, math.ceil(least), share / cost.seconds)
  if budget < count then
    sampled = sampled + 1
  end
  local arm = kind == "once" and fail_once or fail_after
  for n in numbers(count, budget, random) do
    say("doing", test.name, kind, n)
    local ok, err, requests, broken = run(test, arm, n)
    runs = runs + 1
    broken = broken or leaks(test, arm, n)
    if not ok and requests < n then
      broken = broken or "failed, though nothing had: " .. tostring(err)
    end
    if broken then
      return say("failed", test.name, kind .. " " .. n, broken)
    elseif requests < n then
      return say("passed", test.name, kind, "up to " .. n)
    end
  end
end

--- A collection costs as much as the whole heap is large: where there are too many allocations for
--- the time, one comes at each k-th only.
local function collect_at_each(test, cost, random)
  local began = uv.hrtime()
  collectgarbage()
  local needed = (uv.hrtime() - began) / 1e9 * cost.growth * cost.count + cost.seconds
  local every = math.ceil(math.max(1, needed / cost.share))
  if every > 1 then
    every = every + random(every)
    sampled = sampled + 1
  end
  say("doing", test.name, "collect", every)
  local ok, err, _, broken = run(test, alloc.collect, every)
  runs = runs + 1
  if not ok or broken then
    say("failed", test.name, "a collection at every " .. every .. ". allocation",
      broken or tostring(err))
  else
    say("passed", test.name, "collect", every)
  end
end

--- The same for a test whichever others run.
local function seed_of(name)
  local hash = seed
  for i = 1, #name do
    hash = (hash * 31 + name:byte(i)) & 0xFFFFFFFF
  end
  return hash
end

--- Tests that are left out, by a text in their name, and why.
local unsuited = {
  ["a task that only yields starves no timer"] = "yields for ever if main fails",
  ["the cause of any of any is found however many lie between"] =
    "200 000 contexts: what is lost of them is let go of one by one, in as many collections",
  ["run says so at once, and not at a deadline that was given up"] = "waits for its deadline of a "
    .. "real minute if its cancel fails",
  ["survives a program that closes all of luv's handles"] = "may leave SIGPIPE deadly",
  ["not held any more when the sleeper is woken early"] =
    "sleeps a real minute if its cancel fails",
}

--- Tests whose memory must not fail, and why: collections they bear.
local unfailing = {
  ["uv.fs_* writes, reads, tells and removes"] =
    "luv keeps a directory that was opened for a task which then has no memory for it",
  ["uv.fs_* frees what comes too late: a file is closed"] =
    "lists a directory, and luv 1.44 keeps each such request",
  ["uv.fs_* tells what went wrong, and where"] = "the same",
  ["names have their permits back after whatever goes wrong"] =
    "luv is made to call nobody back; the finalizer, which is left then, needs memory, too",
  ["is counted when it is done with the first of several, too"] =
    "what is left of a context is its finalizer, and that needs memory, too",
  ["a request's body may be an object that can be called"] =
    "a client without a deadline waits for a server that could not begin",
  ["where nothing can wait serve raises, and the proper call serves"] = "the same",
  ["names no line where nobody knows the handler"] = "the same",
  ["waits on the main thread that are over at once let the loop turn"] =
    "waits for a task that could not begin, beside a handle that keeps the loop alive",
  ["a stream that is read gives every byte once, whatever the pieces"] =
    "reads until a writer ends that could not begin",
  ["loses no connection that arrives in the turn of the cancel"] =
    "waits for a connection that a task without memory took along",
}

local function is_in(list, test)
  for text, why in pairs(list) do
    if test.name:find(text, 1, true) then
      say("skipped", test.name, why)
      return true
    end
  end
  return false
end

local function stress(test, share, most_runs)
  local random = new_random(seed_of(test.name))
  test.prepare()
  say("doing", test.name, "plain")
  local cost, err = measure(test)
  if not cost then
    return say("failed", test.name, "by itself", err)
  end
  before = core.counters()
  cost.most_runs = most_runs
  if mode ~= "fail" then
    cost.share = share * (mode == "both" and 0.3 or 1)
    collect_at_each(test, cost, random)
  end
  if mode ~= "collect" and not is_in(unfailing, test) then
    cost.share = share * (mode == "both" and 0.35 or 0.5)
    fail_each(test, "once", cost, random)
    fail_each(test, "after", cost, random)
  end
end

local function main()
  if spared == "spare" then
    shortage.spare_luv()
    if mode ~= "collect" then
      require("spec.support.loopback").patience_ms = PATIENCE_MS
    end
  end
  local tests, chosen = minibusted.load(path), {}
  for _, test in ipairs(tests) do
    local wanted = test.name:find(filter, 1, true)
    if wanted and not is_in(unsuited, test) then
      chosen[#chosen + 1] = test
    end
  end
  ctx.set_report(quiet)
  canary()
  collectgarbage()
  collectgarbage()
  uv.walk(function(handle) kept[handle] = true end)
  before = core.counters()
  local began = uv.hrtime()
  for i, test in ipairs(chosen) do
    local left = seconds - (uv.hrtime() - began) / 1e9
    stress(test, math.max(left, 0.01) / (#chosen - i + 1), FILE_RUNS / #chosen)
  end
  minibusted.finish()
  say("done", ("%d tests, %d runs, %d times sampled"):format(#chosen, runs, sampled))
end

main()
