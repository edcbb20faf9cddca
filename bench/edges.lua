-- SPDX-License-Identifier: MIT
-- What an operation costs in a bad place: beside a task that computes, beside many others, with
-- much input. A cost that grows with what does not concern it shows here, and in no row of the
-- table.
--
-- Each is a program of bench/edges, a process of its own that prints lines "name value unit".

local against = require "bench.against"
local shell = require "bench.shell"

local edges = {}

local PROGRAMS = { "fair", "after_funcs", "connections", "baggage" }
local WORK = {
  ["fair.echo"] = "an echo beside a task that computes 5 ms and says ctx.sleep(c, 0), median",
  ["fair.ticks"] = "… of 300 ticks, those that a timer of luv made meanwhile",
  ["fair.sigterm"] = "… SIGTERM, until the task has seen it",
  ["after_funcs.few"] = "after_func + stop beside 1000 pending",
  ["after_funcs.many"] = "… beside 65 534, one less than the room of a table",
  ["connections.few"] = "a connection for one request, CPU of the server, beside 1000 idle ones",
  ["connections.many"] = "… beside 16 381, some less than the room of a table",
  ["baggage.60kB"] = "to take over a baggage of 60 kB",
}

local lua = shell.quote(arg[-1])

-- The figures of one program: { { name, value, unit }, … }.
local function run(name, side, pin)
  local text, why = shell.output(("ulimit -n 20000 2>/dev/null; %s%s %s bench/edges/%s.lua")
    :format(pin, side.environment, lua, name))
  if not text then
    return nil, why
  end
  local figures = {}
  for figure, value, unit in text:gmatch("(%S+) (%S+) (%S+)\n") do
    figures[#figures + 1] = { name = figure, value = tonumber(value), unit = unit }
  end
  return figures
end

local function print_figures(both)
  for i, figure in ipairs(both[1]) do
    local line = ("%-17s %5s %10.2f"):format(figure.name, figure.unit, figure.value)
    local other = both[2] and both[2][i]
    if other then
      line = line .. (" %10.2f %8.3f"):format(other.value, other.value / figure.value)
    end
    print(line .. "  " .. (WORK[figure.name] or ""))
  end
end

local function wanted(options)
  if #options.filters == 0 then
    return PROGRAMS
  end
  for _, name in ipairs(options.filters) do
    if not shell.exists("bench/edges/" .. name .. ".lua") then
      return nil, "no edge " .. name .. "; there are " .. table.concat(PROGRAMS, ", ")
    end
  end
  return options.filters
end

-- Prints the table; false and why, if a program failed.
function edges.print(options, pin)
  local names, why = wanted(options)
  local sides
  if names then
    sides, why = against.sides(options)
  end
  if not sides then
    return false, why
  end
  local head = ("%-17s %5s"):format("edge", "unit")
  for _, side in ipairs(sides) do
    head = head .. (" %10s"):format(side.title)
  end
  print(head .. (sides[2] and "    ratio" or "") .. "  work")
  for _, name in ipairs(names) do
    local both = {}
    for i, side in ipairs(sides) do
      both[i], why = run(name, side, pin)
      if not both[i] then
        return false, why
      end
    end
    print_figures(both)
  end
  return true
end

return edges
