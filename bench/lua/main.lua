-- SPDX-License-Identifier: MIT
-- The benchmark rows, done with `ctx` from Lua: one process per row, for bench/run.lua.
--
--   lua bench/lua/main.lua list
--   lua bench/lua/main.lua ROW [SCALE [generational|incremental]]
--
-- A row prints one or more lines: name figure [live_bytes rss_bytes]; the figure is in ns for each
-- operation, unless bench/rows.lua names another unit.

local meter = require "bench.lua.meter"

-- Each file gives a list of { name, run }.
local rows = {}
for _, file in ipairs { "derive", "tree", "read", "group", "parked", "pending" } do
  for _, row in ipairs(require("bench.lua." .. file)) do
    rows[#rows + 1] = row
    rows[row[1]] = row[2]
  end
end

local function main(name, scale, mode)
  if name == "list" then
    for _, row in ipairs(rows) do
      print(row[1])
    end
    return
  end
  local run = rows[name] or error("no row " .. tostring(name), 0)
  meter.scale = tonumber(scale or 1) or error("SCALE is a number, not " .. scale, 0)
  -- Named, since the default differs: lua5.4 is generational, a program that embeds Lua is not.
  collectgarbage(mode or "generational")
  run()
end

main(...)
