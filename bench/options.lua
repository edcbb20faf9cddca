-- SPDX-License-Identifier: MIT
-- The command line of ./dev bench.

local rows = require "bench.rows"

local options = {}

options.USAGE = [[
usage: ./dev bench [ROW…] [--runs N] [--scale X] [--peers go,node,…]
       ./dev bench --instructions [ROW…] [--against COMMIT]
       ./dev bench --edges [NAME…] [--against COMMIT]

Without an option: the table, ctx from Lua and from C beside Go and other peers, on the clock of
the processor. --instructions: how many instructions each operation of ctx from Lua takes, counted
by callgrind. --edges: what one operation costs beside many others. --against: the same for another
commit, which is built in build/against, and the ratio.]]

local TAKES_NUMBER = { runs = true, scale = true }
local TAKES_TEXT = { peers = true, against = true }
local FLAGS = { instructions = true, edges = true }

-- "W3" picks W3.idle.derive, but "W2" not W2b.
function options.picks(filter, name)
  return name == filter or name:sub(1, #filter + 1) == filter .. "."
end

local function is_row(filter)
  for _, row in ipairs(rows) do
    if options.picks(filter, row.name) or options.picks(filter, row.run or "") then
      return true
    end
  end
  return false
end

-- One argument with what follows it: how many arguments that was, or nil and what is wrong.
local function read_one(found, argument, value)
  local name = argument:match("^%-%-(%l+)$")
  if TAKES_NUMBER[name] then
    local number = tonumber(value or "")
    if not (number and number > 0 and number < math.huge) then
      return nil, argument .. " takes a positive number"
    end
    found[name] = number
    return 2
  elseif TAKES_TEXT[name] then
    if not value or value == "" or value:find("^%-") then
      return nil, argument .. (name == "peers" and " takes names" or " takes a commit")
    end
    found[name] = value
    return 2
  elseif FLAGS[name] then
    found[name] = true
    return 1
  elseif argument:find("^%-") or argument == "" then
    return nil, "no option " .. argument
  end
  found.filters[#found.filters + 1] = argument
  return 1
end

local function check_together(found)
  local only = found.instructions and "--instructions" or found.edges and "--edges"
  if found.instructions and found.edges then
    return nil, "--instructions or --edges, not both"
  elseif found.against and not only then
    return nil, "--against goes with --instructions or --edges"
  elseif only and found.peers then
    return nil, "--peers does not go with " .. only
  elseif only and (found.runs or found.scale) then
    return nil, ("--%s does not go with %s, which has fixed counts")
      :format(found.runs and "runs" or "scale", only)
  end
  for _, filter in ipairs(found.edges and {} or found.filters) do
    if not is_row(filter) then
      return nil, "no row " .. filter
    end
  end
  return found
end

-- { filters, runs, scale, peers, against, instructions, edges }, or nil and what is wrong.
function options.parse(arguments)
  local found = { filters = {} }
  local i = 1
  while i <= #arguments do
    local taken, wrong = read_one(found, arguments[i], arguments[i + 1])
    if not taken then
      return nil, wrong
    end
    i = i + taken
  end
  local ok, wrong = check_together(found)
  if not ok then
    return nil, wrong
  end
  found.runs, found.scale = found.runs or 5, found.scale or 1
  return found
end

return options
