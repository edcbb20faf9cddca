-- SPDX-License-Identifier: MIT
--- Runs specs while memory fails: every test with a full collection at each allocation, and again
--- and again with the first allocation failing, the second, and so on until none is left to fail.
---
---     lua-static spec/support/stress.lua [OPTIONS] spec/*_spec.lua
---
---     --mode fail|collect|both   what to do to each test (both)
---     --seed N                   of the sampling (the time)
---     --seconds N                about how long all of it may take (120)
---     --jobs N                   files at a time (2)
---     --full                     no sampling: hours
---     --filter TEXT              only tests whose names contain it
---
--- A failed allocation may make a test fail: any error will do. What may not happen is a crash, a
--- hang, or that the library is not as before once memory is back: its counters, its memory, and a
--- small program that uses it all. "Once": one allocation fails; "after": a thousand from there on.
--- Callbacks that luv cannot call are lost; in other programs than lua-static, luv would exit. So
--- luv is spared where a test waits for it.
---
--- Each spec file has a process of its own, so that it may crash, and a small heap, so that a
--- collection is quick.
local uv = require "luv"

local SILENCE = 60000 -- ms without a sign of life: it hangs
local NOISY = 40      -- lines of a process that failed are shown

--- Files that are left out, by a pattern in their path or text, and why.
local left_out = {
  { "/scale_spec%.lua$", nil, "millions of contexts" },
  { "/traceback_spec%.lua$", nil, "compares processor times, of deep stacks" },
  { "/collections_spec%.lua$", nil, "compares processor times, of many values" },
  { "/uv_cost_spec%.lua$", nil, "compares processor times, of many waits" },
  { nil, "os%.execute", "starts processes" },
  { "/propagate_cost_spec%.lua$", nil, "compares processor times, of large headers" },
  { nil, "spec%.support%.locale", "starts processes" },
  { nil, "io%.popen", "starts processes" },
  { nil, "spec%.support%.program", "starts processes" },
  { nil, "uv%.spawn", "starts processes" },
}

-- Files that wait for luv's callbacks, each of which comes once: one that luv has no memory for is
-- lost. In these, memory fails only outside of luv (see shortage.lua).
local SPARES_LUV = { "ctx%.uv\"", "ctx%.http\"", "spec%.support%.http\"" }

-- Their tests have one task read what another writes: for a writer that died of no memory, they
-- would wait as long as they have patience, thousands of times. They only collect.
local COLLECT_ONLY = { "/uv_stream_spec%.lua$", "/wait_in_callback_spec%.lua$",
  "/close_in_wait_spec%.lua$", "/http_client_[%l_]*%.lua$",
  "/http_server_[%l_]*%.lua$", "/http_spans_spec%.lua$", "/http_defects_spec%.lua$",
  "/http_json_spec%.lua$", "/http_paths_spec%.lua$" }

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function reason_to_leave_out(path)
  local text = read(path)
  for _, rule in ipairs(left_out) do
    if rule[1] and path:find(rule[1]) or rule[2] and text:find(rule[2]) then
      return rule[3]
    end
  end
end

local function spares_luv(path)
  local text = read(path)
  for _, module in ipairs(SPARES_LUV) do
    if text:find(module) then
      return true
    end
  end
  return false
end

local function mode_of(path, mode)
  for _, pattern in ipairs(COLLECT_ONLY) do
    if path:find(pattern) then
      return mode ~= "fail" and "collect" or nil
    end
  end
  return mode
end

local function parse(args)
  local options = { mode = "both", seed = os.time() % 1000000, seconds = 120, jobs = 2,
    filter = "" }
  local paths = {}
  local i = 1
  while args[i] do
    local name = args[i]:match("^%-%-(%a+)$")
    if name == "full" then
      options.full = true
    elseif name then
      i = i + 1
      assert(options[name], "no such option: --" .. name)
      options[name] = type(options[name]) == "number" and math.tointeger(args[i]) or args[i]
    else
      paths[#paths + 1] = args[i]
    end
    i = i + 1
  end
  return options, paths
end

-- -- One process for one file ---------------------------------------------------------------------

--- Hears the lines that come from the pipes until they end.
local function listen(pipes, on_line, on_end)
  for _, pipe in ipairs(pipes) do
    local rest = ""
    pipe:read_start(function(_, bytes)
      if not bytes then
        pipe:close()
        on_line(rest)
        return on_end()
      end
      rest = (rest .. bytes):gsub("([^\n]*)\n", function(line)
        on_line(line)
        return ""
      end)
    end)
  end
end

--- Runs a file in a process of its own. on_line hears each line that it prints; then on_end is
--- called with what went wrong, or nil.
local function run_file(path, options, seconds, on_line, on_end)
  local pipes, patience = { uv.new_pipe(), uv.new_pipe() }, uv.new_timer()
  local process, verdict
  local left = #pipes + 1
  local function ended()
    left = left - 1
    if left == 0 then
      patience:close()
      on_end(verdict)
    end
  end
  process = assert(uv.spawn(uv.exepath(), {
    args = { "spec/support/stress_one.lua", path, mode_of(path, options.mode),
      tostring(options.seed), options.full and "inf" or tostring(seconds), options.filter,
      spares_luv(path) and "spare" or nil },
    stdio = { nil, pipes[1], pipes[2] },
  }, function(code, signal)
    if signal ~= 0 then
      verdict = verdict or "killed by signal " .. signal
    elseif code ~= 0 then
      verdict = "exit status " .. code
    end
    process:close()
    ended()
  end))
  local function wait_again()
    patience:start(SILENCE, 0, function()
      verdict = "hangs: silent for " .. SILENCE // 1000 .. " s"
      process:kill("sigkill")
    end)
  end
  wait_again()
  listen(pipes, function(line)
    wait_again()
    on_line(line)
  end, ended)
end

--- The lines of a process: signs of life, results, and what else it says, which is for people.
local function new_ear(totals)
  local ear = { doing = "start", noise = {}, failures = {} }
  function ear.hear(line)
    local kind, text = line:match("^@(%a+) (.*)$")
    if kind == "doing" then
      ear.doing = text
    elseif kind == "passed" then
      totals.passed = totals.passed + 1
    elseif kind == "failed" then
      table.insert(ear.failures, text)
    elseif kind == "skipped" then
      print("  left out: " .. text)
    elseif kind == "done" then
      ear.summary = text
    elseif line ~= "" then
      table.insert(ear.noise, line)
      if #ear.noise > NOISY then
        table.remove(ear.noise, 1)
      end
    end
  end
  return ear
end

--- Runs the file, and tells what came of it.
local function try(path, options, seconds, totals, on_end)
  local ear, began = new_ear(totals), uv.hrtime()
  run_file(path, options, seconds, ear.hear, function(verdict)
    if verdict or not ear.summary then
      table.insert(ear.failures, ("%s, in %s"):format(verdict or "ended early", ear.doing))
    end
    totals.failed = totals.failed + #ear.failures
    print(("%s: %s, in %.1f s"):format(path, ear.summary or "not finished",
      (uv.hrtime() - began) / 1e9))
    for _, failure in ipairs(ear.failures) do
      print("  FAIL " .. failure)
    end
    if #ear.failures > 0 then
      print("    " .. table.concat(ear.noise, "\n    "))
    end
    on_end()
  end)
end

local function main(args)
  local options, paths = parse(args)
  local totals, began = { passed = 0, failed = 0 }, uv.hrtime()
  io.stdout:setvbuf("line")
  print(("stress: mode %s, %s, seed %d"):format(options.mode,
    options.full and "nothing sampled" or "sampled for about " .. options.seconds .. " s",
    options.seed))
  local next_one = 0
  local function go_on()
    next_one = next_one + 1
    local path = paths[next_one]
    if not path then
      return nil
    end
    local why = reason_to_leave_out(path)
      or not mode_of(path, options.mode) and "waits for what others write"
    if why then
      print(("%s: left out: %s"):format(path, why))
      return go_on()
    end
    -- What a quick file leaves is the others'.
    local left = (options.seconds - (uv.hrtime() - began) / 1e9) * options.jobs
    try(path, options, math.max(1, left / (#paths - next_one + 1)), totals, go_on)
  end
  for _ = 1, options.jobs do
    go_on()
  end
  uv.run()
  print(("%d passed, %d failed"):format(totals.passed, totals.failed))
  os.exit(totals.failed == 0 and #paths > 0, true)
end

main(arg)
