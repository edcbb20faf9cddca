-- SPDX-License-Identifier: MIT
--- The fuzzer of the API: rounds of random operations, each in a process of its own, so that a
--- crash ends one round and not the run.
---
---     ./dev fuzz api [--seconds N] [--rounds N] [--seed S] [--jobs N]
---
--- Round k of a run has the seed S + k - 1: `./dev fuzz api --seed THAT --rounds 1` plays it again,
--- with the same choices; when sockets answer is up to the machine. A round has failed if it
--- crashed, did not end, or says what is wrong; its last operations are shown, and all that it
--- printed stays in build/fuzz/SEED. At the end the calls of each function are told; one that never
--- returned, in all the rounds, fails the run.
local annotations = require "spec.docs.annotations"
local uv = require "luv"

local PATIENCE_MS = 90000 -- of one round
local MEMORY = { "plenty", "deep", "collect", "shortage" } -- by seed
local SHOWN = 50          -- operations before a failure
local ROOT = (assert(uv.fs_realpath(arg[0])):gsub("/spec/fuzz/[^/]*$", ""))
local FOLDER = ROOT .. "/build/fuzz"

local options = { seed = os.time() * 1000 + uv.os_getpid() % 1000, jobs = 1 }
for i = 1, #arg, 2 do
  options[arg[i]:match("^%-%-(%l+)$")] = assert(math.tointeger(arg[i + 1]), arg[i])
end
if not options.rounds and not options.seconds then
  options.seconds = 60
end

local lua = assert(os.getenv("CTX_BUILD"), "CTX_BUILD is not set") .. "/lua-static"
local totals = {} -- name → { calls, raised, last_error }
local passed, failed = 0, 0

-- -- One round ------------------------------------------------------------------------------------

--- Reads what a round prints.
local function note_line(round, line)
  local name, calls, raised, err = line:match("^calls (%S+) (%d+) (%d+) ?(.*)")
  if name then
    local total = totals[name] or { calls = 0, raised = 0 }
    totals[name] = total
    total.calls, total.raised = total.calls + calls, total.raised + raised
    total.last_error = err ~= "" and err or total.last_error
  elseif line:find("^op ") then
    round.operations = round.operations + 1
    round.ring[round.operations % SHOWN] = line
  elseif line:find("^wrong") then
    round.wrong[#round.wrong + 1] = line:sub(7)
  elseif line == "over" then
    round.over = true
  else
    round.what = round.what or line
  end
end

local function read_from(round, chunk)
  uv.fs_write(round.output, chunk, -1)
  round.rest = round.rest .. chunk
  for line in round.rest:gmatch("([^\n]*)\n") do
    note_line(round, line)
  end
  round.rest = round.rest:match("[^\n]*$")
end

local function tell_failure(round, why)
  print(("FAILED: seed %d: %s (%s)"):format(round.seed, why, round.what or "before it began"))
  for _, line in ipairs(round.wrong) do
    print("  | " .. line)
  end
  if not round.over then
    for i = 1, SHOWN do
      local line = round.ring[(round.operations + i) % SHOWN]
      if line then print("  > " .. line) end
    end
  end
  local errors = io.open(round.folder .. "/stderr")
  for line in (errors:read(6000) or ""):gmatch("[^\n]+") do
    print("  ! " .. line)
  end
  errors:close()
end

local function judge(round, code, signal)
  local why
  if round.slow then
    why = ("not over after %d s"):format(PATIENCE_MS // 1000)
  elseif signal ~= 0 or code ~= 0 then
    why = ("ended by %s"):format(signal ~= 0 and "signal " .. signal or "exit code " .. code)
  elseif round.wrong[1] or not round.over then
    why = "something is wrong"
  end
  uv.fs_close(round.output)
  if why then
    failed = failed + 1
    tell_failure(round, why)
  else
    passed = passed + 1
    os.execute(("rm -rf '%s'"):format(round.folder))
  end
end

--- Finalizers that Lua has no stack or memory to call leave behind what they were to free.
local function environment(memory)
  local list, variables = {}, uv.os_environ()
  local leaks = memory ~= "shortage" and memory ~= "deep"
  variables.ASAN_OPTIONS = ("%s:handle_abort=1:detect_leaks=%d"):format(
    variables.ASAN_OPTIONS or "", leaks and 1 or 0)
  for name, value in pairs(variables) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

--- Starts the round with this seed; calls over() when it has ended and has been judged.
local function start(seed, over)
  local folder = ("%s/%d"):format(FOLDER, seed)
  assert(os.execute(("rm -rf '%s' && mkdir -p '%s/cwd'"):format(folder, folder)))
  local round = { seed = seed, folder = folder, ring = {}, operations = 0, wrong = {}, rest = "",
    output = assert(uv.fs_open(folder .. "/stdout", "w", 420)) }
  local memory = MEMORY[seed % #MEMORY + 1]
  local pipe, timer = uv.new_pipe(false), uv.new_timer()
  local errors = assert(uv.fs_open(folder .. "/stderr", "w", 420))
  local open, handle = 2, nil
  local code, signal
  local function done()
    open = open - 1
    if open == 0 then
      judge(round, code, signal)
      over()
    end
  end
  handle = assert(uv.spawn(lua, {
    args = { ROOT .. "/spec/fuzz/round.lua", tostring(seed), memory }, env = environment(memory),
    cwd = folder .. "/cwd", stdio = { nil, pipe, errors },
  }, function(exit_code, exit_signal)
    code, signal = exit_code, exit_signal
    timer:close()
    handle:close()
    done()
  end))
  uv.fs_close(errors)
  pipe:read_start(function(_, chunk)
    if chunk then
      read_from(round, chunk)
    else
      pipe:close()
      done()
    end
  end)
  -- First it may say where all wait, then, by ASan, where it is itself.
  local signals = { "sigquit", "sigabrt" }
  timer:start(PATIENCE_MS, 3000, function()
    handle:kill(table.remove(signals, 1) or "sigkill")
    round.slow = true
  end)
end

-- -- The run --------------------------------------------------------------------------------------

local function run()
  local began, seed, running = uv.hrtime(), options.seed, 0
  local function may_begin()
    if options.rounds then
      return seed < options.seed + options.rounds
    end
    return (uv.hrtime() - began) / 1e9 < options.seconds
  end
  local function more()
    while running < options.jobs and may_begin() do
      running = running + 1
      seed = seed + 1
      start(seed - 1, function()
        running = running - 1
        more()
      end)
    end
  end
  more()
  uv.run()
end

--- The functions that never returned, and why not, as far as is known.
local function never_called()
  local list = {}
  for name in pairs(annotations.read(ROOT)) do
    local total = totals[name]
    if not total or total.calls == total.raised then
      list[#list + 1] = name .. (total and total.last_error and ": " .. total.last_error or "")
    end
  end
  table.sort(list)
  return list
end

local function tell_calls()
  local names = {}
  for name in pairs(totals) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local total = totals[name]
    print(("  %-36s %7d calls %7d raised"):format(name, total.calls, total.raised))
  end
end

io.stdout:setvbuf("line")
print(("fuzz: seed %d; a round again: ./dev fuzz api --rounds 1 --seed ITS-SEED"):format(
  options.seed))
run()
tell_calls()
local missing = never_called()
if passed == 0 then
  print("never called: not counted, as no round ended well")
elseif missing[1] and (passed + failed) > 1 then
  failed = failed + 1
  print("never called: " .. table.concat(missing, "\n  "))
end
print(("seed %d"):format(options.seed))
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
