-- SPDX-License-Identifier: MIT
-- Runs the benchmarks and prints one table: ctx from Lua and from C beside the same work in Go.
--
--   ./dev bench [ROW…] [--runs N] [--scale X] [--peers go,node,…]
--   ./dev bench --instructions [ROW…] [--against COMMIT]
--   ./dev bench --edges [NAME…] [--against COMMIT]
--
-- The second is bench/instructions.lua, the third bench/edges.lua. For the table, ROW is a name of
-- bench/rows.lua or the start of one (W3, W3.idle); without any, all run. Each run
-- of a row is a process of its own, pinned to one core, and the programs take turns (A B A B …), so
-- that a busy spell of the machine falls on all of them. Figures are medians over the runs. Nothing
-- is asserted about time: a missed target is printed, and fails nothing.

local edges = require "bench.edges"
local instructions = require "bench.instructions"
local options_of = require "bench.options"
local programs = require "bench.programs"
local report = require "bench.report"
local rows = require "bench.rows"
local shell = require "bench.shell"

local function progress(format, ...)
  io.stderr:write(format:format(...))
end

local function fail(message)
  io.stderr:write("bench: ", message, "\n")
  os.exit(2)
end

-- ---- what to run --------------------------------------------------------------------------------

local function chosen_rows(filters)
  local chosen = {}
  for _, row in ipairs(rows) do
    local wanted = #filters == 0
    for _, filter in ipairs(filters) do
      wanted = wanted or options_of.picks(filter, row.name)
    end
    if wanted then
      chosen[#chosen + 1] = row
    end
  end
  return chosen
end

-- Without names, all.
local function chosen_peers(names)
  if not names then
    return programs.peers
  end
  local by_name, chosen = {}, {}
  for _, peer in ipairs(programs.peers) do
    by_name[peer.name] = peer
  end
  for name in names:gmatch("[^,]+") do
    chosen[#chosen + 1] = by_name[name] or fail("no peer " .. name)
  end
  return chosen
end

-- Fills in `command` and `has`, the set of its rows; returns nil and why if it cannot run.
local function prepare(program)
  local command, why = program.prepare()
  if not command then
    return nil, why
  end
  local list
  list, why = shell.output(command .. " list")
  if not list then
    return nil, why .. (program.needs and "; it needs " .. program.needs or "")
  end
  program.command, program.has = command, {}
  for name in list:gmatch("[^\n]+") do
    program.has[name] = true
  end
  program.has.W11 = program.serve ~= nil
  return true
end

-- The programs that can run, in the order of their turns, and a note on each that cannot. A peer
-- that was not asked for by name is no failure.
local function prepare_all(peers, options)
  local ready, notes = {}, {}
  for _, group in ipairs { peers, programs.ours } do
    for _, program in ipairs(group) do
      progress("preparing %s\n", program.title)
      local ok, why = prepare(program)
      if ok then
        ready[#ready + 1] = program
      else
        notes[#notes + 1] = ("MISSING: %s: %s"):format(program.title, why)
        notes.failed = notes.failed or options.peers or not program.note or program.name == "go"
      end
    end
  end
  return ready, notes
end

-- ---- running ------------------------------------------------------------------------------------

-- The last core: the first one tends to have the machine's own work.
local function pinning()
  if not shell.has("taskset") then
    return "", "not pinned: there is no taskset here"
  end
  local core = tonumber(shell.line("nproc", "1")) - 1
  return ("taskset -c %d "):format(core), "pinned to core " .. core
end

local function command_of(program, run, scale)
  if run == "W11" then
    return ("%s bench/http/drive.lua %s env %s")
      :format(shell.quote(arg[-1]), scale, program.serve:format(program.command))
  end
  return ("%s %s %s %s"):format(program.command, run, scale, program.mode or "")
end

-- One sample of every figure that the run prints: { [name] = { value, live, resident } }.
local function run_once(program, run, scale, pin)
  local command = command_of(program, run, scale)
  local text, why = shell.output(pin .. "env " .. command)
  if not text then
    return nil, why
  end
  local sample = {}
  for line in text:gmatch("[^\n]+") do
    local name, value, live, resident = line:match("^(%S+) (%S+) ?(%S*) ?(%S*)$")
    if not tonumber(value) then
      return nil, command .. " printed: " .. line
    end
    sample[name] = { value = tonumber(value), live = tonumber(live), resident = tonumber(resident) }
  end
  return sample
end

local function median(values)
  table.sort(values)
  local middle = #values // 2
  return #values % 2 == 1 and values[middle + 1] or (values[middle] + values[middle + 1]) / 2
end

local function median_figure(samples, name)
  local figure = {}
  for _, key in ipairs { "value", "live", "resident" } do
    local values = {}
    for _, sample in ipairs(samples) do
      values[#values + 1] = sample[name][key]
    end
    figure[key] = values[1] and median(values)
  end
  return figure
end

-- Runs one row on every program that has it, `runs` times in turn; adds to `figures` and `notes`.
local function measure(run, ready, options, figures, notes)
  local samples, broken = {}, {}
  progress("%s ", run)
  for _ = 1, options.runs do
    for _, program in ipairs(ready) do
      if program.has[run] and not broken[program] then
        progress(".")
        local sample, why = run_once(program, run, options.scale, options.pin)
        samples[program] = samples[program] or {}
        table.insert(samples[program], sample)
        if not sample then
          broken[program] = true
          notes[#notes + 1] = ("FAILED: %s in %s: %s"):format(run, program.title, why)
          notes.failed = true
        end
      end
    end
  end
  progress("\n")
  for program, of_program in pairs(samples) do
    for name in pairs(not broken[program] and of_program[1] or {}) do
      figures[program.name][name] = median_figure(of_program, name)
    end
  end
end

local function measure_all(chosen, ready, options, notes)
  local figures, done = {}, {}
  for _, program in ipairs(ready) do
    figures[program.name] = {}
  end
  for _, row in ipairs(chosen) do
    local run = row.run or row.name
    if not done[run] then
      done[run] = true
      measure(run, ready, options, figures, notes)
    end
  end
  return figures
end

-- ---- telling ------------------------------------------------------------------------------------

local function machine()
  local model = shell.line("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo", "unknown processor")
  local memory = shell.line("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")
  return ("%s, %s cores%s, %s"):format(model, shell.line("nproc", "?"),
    memory and (", %.0f GiB"):format(memory / 1024 ^ 2) or "", shell.line("uname -srm", ""))
end

local function versions(ready)
  local list = {}
  for _, program in ipairs(ready) do
    list[#list + 1] = program.version and program.version()
  end
  list[#list + 1] = "ctx " .. shell.line("git describe --always --dirty", "of no known commit")
  return table.concat(list, ", ")
end

local function load_average()
  return shell.line("cut -d' ' -f1 /proc/loadavg", "unknown")
end

local function print_head(ready, options, load, pinned)
  print(("Machine: %s. Load average before: %s."):format(machine(), load))
  print("Versions: " .. versions(ready) .. ".")
  print(("Median of %d runs at scale %g, each a process of its own, %s, in turn.")
    :format(options.runs, options.scale, pinned))
  print("Lua: the generational collector, lua5.4's default, beside Go with GOMAXPROCS=1. "
    .. "Lua incr.: the incremental one.")
  print("Times are of the processor, all threads of a process; W9g.wall, W11.wall and W11.p99 are "
    .. "of the wall.")
  print("Figures are noisy on a machine that does other work too: trust the ratios.")
end

local function table_of_times(options)
  local chosen = chosen_rows(options.filters)
  local load = load_average()
  local peers = chosen_peers(options.peers)
  local ready, notes = prepare_all(peers, options)
  local pinned
  options.pin, pinned = pinning()
  local figures = measure_all(chosen, ready, options, notes)
  print_head(ready, options, load, pinned)
  print("\n" .. report.times(chosen, figures))
  local others = report.others(chosen, figures, ready)
  if others then
    print("\n" .. others)
  end
  local bytes = report.bytes(chosen, figures)
  if bytes then
    print("\n" .. bytes .. "\n(Resident memory is what counts: it also has what C allocates. "
      .. "Live: the collector's own account.)")
  end
  if notes[1] then
    print("\n" .. table.concat(notes, "\n"))
  end
  if notes.failed then
    os.exit(1)
  end
end

local function main(...)
  local options, wrong = options_of.parse { ... }
  if not options then
    fail(wrong .. "\n" .. options_of.USAGE)
  elseif not (options.instructions or options.edges) then
    return table_of_times(options)
  end
  local ok, why = (options.edges and edges or instructions).print(options, (pinning()))
  if not ok then
    fail(why)
  end
end

main(...)
