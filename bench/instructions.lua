-- SPDX-License-Identifier: MIT
-- How many instructions each operation takes, counted by callgrind: figures that a busy machine
-- does not change, as the program's clock is slowed down, too; and that tell one per cent.
--
-- Each row is a process of its own, pinned to one core, with a fixed count of operations. Callgrind
-- writes its counters down whenever the process asks for its processor time, which only the rows'
-- meter does; so what is counted are the parts that the table measures. W11 is counted as the
-- difference between a server that got some requests and one that got more, on one connection.

local against = require "bench.against"
local options_of = require "bench.options"
local rows = require "bench.rows"
local shell = require "bench.shell"

local instructions = {}

-- Of the operations that the table times: callgrind is fifty times as slow. More of those rows that
-- have few, so that the collector comes often enough to be the same on both sides.
local SCALE = { ["W3.idle"] = 0.05, ["W3.armed"] = 0.05, ["W4.idle"] = 0.05, ["W4.armed"] = 0.05,
  W9 = 0.02, ["W10.idle"] = 0.02, ["W10.armed"] = 0.02 }
local SCALE_OF_OTHERS = 0.01
local FEW, MANY = 200, 1200 -- requests
local UNCOUNTED = { W9g = true, ["W9g.default"] = true } -- pauses, which are no instructions
local NO_FIGURE = { ["W9.peak"] = true, ["W5.clock"] = true, ["W11.wall"] = true,
  ["W11.p99"] = true, ["W11.idle"] = true }

local lua = shell.quote(arg[-1])

local SLOW_CLOCK = "build/bench/slow_clock.so"

local function build_slow_clock()
  return shell.output(("mkdir -p build/bench && cc -O2 -shared -fPIC -o %s bench/slow_clock.c")
    :format(SLOW_CLOCK))
end

local function callgrind(out)
  return ("env LD_PRELOAD=%s valgrind -q --tool=callgrind --dump-before=clock "
    .. "--callgrind-out-file=%s"):format(SLOW_CLOCK, out)
end

-- The instructions of one part, which callgrind has written to this file.
local function total_of(path)
  local file = assert(io.open(path))
  local total = file:read("a"):match("\ntotals: (%d+)")
  file:close()
  return assert(tonumber(total), path .. " has no total")
end

-- The figures of one run: { [row] = instructions for each operation }.
local function count_row(run, side, pin, folder)
  local out = folder .. "/out"
  local command = ("%s%s CTX_BENCH_COUNTING=1 %s %s bench/lua/main.lua %s %g"):format(pin,
    side.environment, callgrind(shell.quote(out)), lua, run, SCALE[run] or SCALE_OF_OTHERS)
  local text, why = shell.output(command)
  if not text then
    return nil, why
  end
  local figures = {}
  for name, ops, parts in text:gmatch("(%S+) (%d+) (%S+)") do
    local sum = 0
    for part in parts:gmatch("%d+") do
      sum = sum + total_of(("%s.%s"):format(out, part))
    end
    figures[name] = sum / tonumber(ops)
  end
  return figures
end

local function count_requests(side, pin, folder)
  local totals = {}
  for i, requests in ipairs { FEW, MANY } do
    local out = ("%s/http-%d"):format(folder, i)
    local text, why = shell.output(("%s%s %s bench/http/ask.lua %d %s %s bench/http/hello.lua %s")
      :format(pin, side.environment, lua, requests, callgrind(shell.quote(out)), lua,
        "generational"))
    if not text then
      return nil, why
    end
    totals[i] = total_of(out)
  end
  return { ["W11.cpu"] = (totals[2] - totals[1]) / (MANY - FEW) }
end

local function count(run, side, pin)
  local folder = assert(shell.line("mktemp -d"))
  local ok, figures, why = pcall(run == "W11" and count_requests or count_row,
    table.unpack(run == "W11" and { side, pin, folder } or { run, side, pin, folder }))
  shell.output("rm -rf " .. shell.quote(folder))
  if not ok then
    return nil, figures
  end
  return figures, why
end

local function wanted(row, filters)
  if UNCOUNTED[row.run or row.name] or NO_FIGURE[row.name] then
    return false
  end
  for _, filter in ipairs(filters) do
    if options_of.picks(filter, row.name) or options_of.picks(filter, row.run or "") then
      return true
    end
  end
  return #filters == 0
end

local function line_of(row, sides, figures)
  local cells = { ("%-16s"):format(row.name) }
  for i in ipairs(sides) do
    cells[#cells + 1] = ("%12.1f"):format(figures[i][row.name])
  end
  if sides[2] then
    cells[#cells + 1] = ("%8.3f"):format(figures[2][row.name] / figures[1][row.name])
  end
  cells[#cells + 1] = " " .. row.work
  return table.concat(cells, " ")
end

-- Prints the table; false if a row failed.
function instructions.print(options, pin)
  local sides, why = against.sides(options)
  if not sides then
    return false, why
  end
  local built, failure = build_slow_clock()
  if not built then
    return false, failure
  end
  local head = ("%-16s"):format("row")
  for _, side in ipairs(sides) do
    head = head .. (" %12s"):format(side.title)
  end
  print("Instructions for each operation, by callgrind; each row a process of its own.")
  print(head .. (sides[2] and "    ratio" or "") .. "  work")
  local counted, failed = {}, nil
  for _, row in ipairs(rows) do
    local run = row.run or row.name
    if wanted(row, options.filters) then
      for i, side in ipairs(counted[run] and {} or sides) do
        counted[run] = counted[run] or {}
        local figures, wrong = count(run, side, pin)
        if not figures then
          failed = ("%s, %s: %s"):format(run, side.title, wrong)
          print("FAILED: " .. failed)
        end
        counted[run][i] = figures
      end
      local both = counted[run]
      if both[1] and both[1][row.name] and (not sides[2] or both[2] and both[2][row.name]) then
        print(line_of(row, sides, both))
      end
    end
  end
  return not failed, failed
end

return instructions
