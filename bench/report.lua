-- SPDX-License-Identifier: MIT
-- The tables: figures by program and row in, text out.
--
-- A figure is { value, live, resident }: medians, the bytes only where a row prints them.

local report = {}

local NONE = "–"

-- Characters, not bytes: the rows' texts have some that are longer.
local function pad(text, width, left)
  local space = (" "):rep(width - utf8.len(text))
  return left and text .. space or space .. text
end

local function align(lines, left_columns)
  local widths = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do
      widths[i] = math.max(widths[i] or 0, utf8.len(cell))
    end
  end
  local text = {}
  for _, cells in ipairs(lines) do
    local padded = {}
    for i, cell in ipairs(cells) do
      padded[i] = pad(cell, widths[i], i <= left_columns)
    end
    text[#text + 1] = (table.concat(padded, "  "):gsub("%s+$", ""))
  end
  return table.concat(text, "\n")
end

local function number(value)
  if not value then
    return NONE
  end
  return (value < 100 and "%.1f" or "%.0f"):format(value)
end

local function times(ratio)
  return ratio and ("%.2fx"):format(ratio) or NONE
end

-- What the value may be at most, and how to print that; nil if there is no target, or not yet.
local function target_of(spec, key, base, figures)
  if spec and key == "value" and spec.limit then
    local limit = spec.limit(figures)
    return limit, limit and number(limit)
  end
  local ratio = spec and (key == "value" and spec.ratio or key == "resident" and spec.bytes)
  if ratio then
    return base and ratio * base, times(ratio)
  end
end

-- Four cells: the value, its ratio to Go's, the target, whether it is met.
local function judged(row, program, key, figures)
  local function of(name)
    local figure = figures[name] and figures[name][row.name]
    return figure and figure[key]
  end
  local value, base = of(program), of("go")
  local target, target_text = target_of(row[program], key, base, figures)
  local met = value and target and (value <= target and "yes" or "NO") or NONE
  return number(value), times(value and base and value / base), target_text or NONE, met
end

local function value_of(figures, program, row, key)
  local figure = figures[program] and figures[program][row.name]
  return number(figure and figure[key])
end

local function append(cells, ...)
  for i = 1, select("#", ...) do
    cells[#cells + 1] = (select(i, ...))
  end
end

-- The times. `rows` are those that were asked for.
function report.times(rows, figures)
  local head = { "row", "work", "unit", "Go", "Lua", "ratio", "at most", "met", "Lua incr.",
    "C", "ratio", "at most", "met" }
  local lines = { head }
  for _, row in ipairs(rows) do
    local cells = { row.name, row.work, row.unit or "ns", value_of(figures, "go", row, "value") }
    append(cells, judged(row, "lua", "value", figures))
    append(cells, value_of(figures, "lua_incremental", row, "value"))
    append(cells, judged(row, "c", "value", figures))
    lines[#lines + 1] = cells
  end
  return align(lines, 2)
end

local function has_bytes(row, figures)
  for _, of_program in pairs(figures) do
    if of_program[row.name] and of_program[row.name].resident then
      return true
    end
  end
  return false
end

-- The bytes of those rows that have any, or nil.
function report.bytes(rows, figures)
  local lines = { { "bytes each", "work", "Go", "(live)", "Lua", "(live)", "ratio", "at most",
    "met", "C", "(live)", "ratio", "at most", "met" } }
  for _, row in ipairs(rows) do
    if has_bytes(row, figures) then
      local cells = { row.name, row.work, value_of(figures, "go", row, "resident"),
        value_of(figures, "go", row, "live") }
      for _, program in ipairs { "lua", "c" } do
        local value, ratio, target, met = judged(row, program, "resident", figures)
        append(cells, value, value_of(figures, program, row, "live"), ratio, target, met)
      end
      lines[#lines + 1] = cells
    end
  end
  return lines[2] and align(lines, 2)
end

-- Go is one of the peers too, but has its columns in the other tables.
local function other_peers(programs)
  local others = {}
  for _, program in ipairs(programs) do
    if program.note and program.name ~= "go" then
      others[#others + 1] = program
    end
  end
  return others
end

local function value_and_bytes(figures, program, row)
  local text = value_of(figures, program, row, "value")
  local bytes = value_of(figures, program, row, "resident")
  return bytes == NONE and text or text .. ", " .. bytes .. " B"
end

-- What the other peers can do, beside Lua and Go, or nil; no target is set against them.
-- `programs` are those that could run.
function report.others(rows, figures, programs)
  local others = other_peers(programs)
  local head = { "row", "work", "unit", "Lua", "Go" }
  local notes = {}
  for _, peer in ipairs(others) do
    append(head, peer.title)
    notes[#notes + 1] = ("%s: %s."):format(peer.title, peer.note)
  end
  local lines = { head }
  for _, row in ipairs(rows) do
    local cells, known = { row.name, row.work, row.unit or "ns" }, false
    append(cells, value_and_bytes(figures, "lua", row), value_and_bytes(figures, "go", row))
    for _, peer in ipairs(others) do
      local text = value_and_bytes(figures, peer.name, row)
      known = known or text ~= NONE
      append(cells, text)
    end
    lines[#lines + 1] = known and cells or nil
  end
  return lines[2] and align(lines, 2) .. "\n" .. table.concat(notes, "\n")
end

return report
