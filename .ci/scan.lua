-- SPDX-License-Identifier: MIT
--- Reads C and Lua files as far as the tools of this folder need it: which lines are code, where
--- functions begin and end, what a file requires. The walls and the floors stand on it.
local scan = {}

---@class scan.File
---@field path string
---@field name string
---@field room string    the folder at the top, that below csrc
---@field is_lua boolean
---@field raw string[]   its lines as written
---@field lines string[] without comments
---@field code string[]  without comments and the insides of strings

-- ---- reading ------------------------------------------------------------------------------------

-- Blanks what a pattern finds, but keeps the lines, so that line numbers stay true.
local function blank(text)
  return (text:gsub("[^\n]", " "))
end

-- Comments and, unless `keep_strings`, the insides of strings become blanks.
local function strip_c(text, keep_strings)
  local out, at = {}, 1
  while at <= #text do
    local first, last = text:find("[/\"']", at)
    if not first then break end
    out[#out + 1] = text:sub(at, first - 1)
    local char = text:sub(first, first)
    local comment = char == "/"
    if text:sub(first, first + 1) == "/*" then
      last = select(2, text:find("*/", first + 2, true)) or #text
    elseif text:sub(first, first + 1) == "//" then
      last = (text:find("\n", first, true) or #text + 1) - 1
    elseif comment then
      comment = false
    else
      last = first
      repeat
        last = text:find("[\\\n" .. char .. "]", last + 1) or #text
        local escape = text:sub(last, last) == "\\"
        if escape then last = last + 1 end
      until not escape
    end
    local piece = text:sub(first, last)
    if comment then
      piece = blank(piece)
    elseif #piece > 1 and not keep_strings then
      piece = char .. blank(piece:sub(2, -2)) .. char
    end
    out[#out + 1] = piece
    at = last + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- Where the comment or string that starts at `at` ends; nil if there is none.
local function lua_literal_end(text, at)
  local comment = text:match("^%-%-()", at)
  local level = text:match("^%[(=*)%[", comment or at)
  if level then
    return select(2, text:find("]" .. level .. "]", at, true)) or #text, comment
  elseif comment then
    return (text:find("\n", at, true) or #text + 1) - 1, true
  end
  local quote = text:match("^[\"']", at)
  if not quote then return nil end
  local last = at
  repeat
    last = text:find("[\\\n" .. quote .. "]", last + 1) or #text
    local escape = text:sub(last, last) == "\\"
    if escape then last = last + 1 end
  until not escape
  return last, false
end

local function strip_lua(text, keep_strings)
  local out, at = {}, 1
  while at <= #text do
    local first = text:find("[-\"'[]", at)
    if not first then break end
    out[#out + 1] = text:sub(at, first - 1)
    local last, comment = lua_literal_end(text, first)
    local piece = text:sub(first, last or first)
    out[#out + 1] = last and (comment or not keep_strings) and blank(piece) or piece
    at = (last or first) + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

local function split(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- A file: its path and room, its lines as written, without comments, and without strings too.
---@return scan.File
function scan.read(path)
  local handle = assert(io.open(path))
  local text = handle:read("a")
  handle:close()
  local is_lua = path:find("%.lua$") or text:find("^#![^\n]*lua")
  local strip = is_lua and strip_lua or strip_c
  return {
    path = path,
    name = path:match("[^/]+$"),
    room = path:match("^csrc/%w+") or path:match("^%w+"),
    is_lua = is_lua and true or false,
    raw = split(text),
    lines = split(strip(text, true)),
    code = split(strip(text, false)),
  }
end

--- The paths of the files in these folders whose names fit one of the patterns, sorted.
function scan.find(folders, ...)
  local names = {}
  for _, pattern in ipairs({ ... }) do names[#names + 1] = ("-name '%s'"):format(pattern) end
  local command = "find %s -type f '(' %s ')' 2>/dev/null | LC_ALL=C sort"
  local paths = {}
  for path in io.popen(command:format(folders, table.concat(names, " -o "))):lines() do
    paths[#paths + 1] = path
  end
  return paths
end

-- ---- functions ----------------------------------------------------------------------------------

--- Calls found(first, last, signature) for each C function, which, as clang-format lays it out,
--- starts and ends in the first column.
function scan.each_c_function(file, found)
  local first
  for number, line in ipairs(file.code) do
    if line:find("^[%a_]") and not line:find("^#") then first = number end
    if first and line:find("%{%s*$") and not line:find("^%s+[^%s].*;") then
      local signature = table.concat(file.code, " ", first, number)
      local is_data = signature:find("^typedef") or signature:find("=%s*%{%s*$")
        or not signature:find("%(") or signature:find("^extern%s*\"")
      for last = number + 1, is_data and 0 or #file.code do
        if file.code[last]:find("^}") then
          found(first, last, signature)
          break
        end
      end
      first = nil
    end
  end
end

--- The name of the function with this signature, as `each_c_function` found it.
function scan.c_name(signature)
  return signature:gsub("__attribute__%s*%b()", ""):match("([%a_][%w_]*)%s*%(")
end

local OPENS = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }

--- Calls found(first, last) for each Lua function. A `describe` is none: it holds tests as a file
--- holds functions.
function scan.each_lua_function(file, found)
  local stack = {}
  for number, line in ipairs(file.code) do
    for word in line:gmatch("[%a_][%w_]*") do
      if OPENS[word] then
        local counts = word == "function" and not line:find("%f[%w]describe%f[%W]")
          and not line:find("%f[%w]insulate%f[%W]")
        stack[#stack + 1] = counts and number or 0
      elseif CLOSES[word] then
        local first = table.remove(stack) or 0
        if first > 0 then found(first, number) end
      end
    end
  end
end

-- ---- rooms --------------------------------------------------------------------------------------

-- The Lua modules that all others stand on, and that stand on nothing but one another and C.
scan.GROUND = {}
for name in ([[errors fields fifo floor line loop owner registry report roster tasks text want
  why]]):gmatch("%w+") do
  scan.GROUND["lua/ctx/" .. name .. ".lua"] = true
end

-- Modules that only put together, for programs, what others make.
local FACES = { ["lua/ctx/init.lua"] = true, ["lua/ctx/http.lua"] = true,
  ["lua/ctx/uv.lua"] = true }

local function exists(path)
  local handle = io.open(path)
  if handle then handle:close() end
  return handle ~= nil
end

--- The file of a module of Lua; nil if it is not one of these.
---@return string?
function scan.path_of(module)
  local stem = "lua/" .. module:gsub("%.", "/")
  return exists(stem .. ".lua") and stem .. ".lua"
    or exists(stem .. "/init.lua") and stem .. "/init.lua" or nil
end

--- The room of a C or Lua file: its folder; of a module that has a folder of its own, that folder.
---@return string
function scan.room_of(path)
  local own = path:match("^(lua/.+)%.lua$")
  if scan.GROUND[path] then return "lua/ctx: ground floor" end
  if FACES[path] then return "lua/ctx: faces" end
  return own and exists(own .. "/.") and own or path:match("^(.*)/")
end

--- Calls found(name, number) for each module that a Lua file requires by name.
function scan.each_require(file, found)
  for number, line in ipairs(file.lines) do
    for name in line:gmatch("%f[%w_]require%s*%(?%s*[\"']([^\"']+)[\"']") do
      found(name, number)
    end
  end
end

return scan
