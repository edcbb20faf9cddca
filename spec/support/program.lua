-- SPDX-License-Identifier: MIT
--- Programs as users run them: processes of their own, judged by what they print and how they end.
local luv = require "luv"

local program = {}

--- The text as one word for a shell.
---@param text string
---@return string
function program.quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local quoted = program.quoted

--- Runs a Lua file with the paths of this process. Answers what it wrote to stdout and to stderr,
--- and its exit code (or "signal N").
---@param file string
---@return string stdout, string stderr, integer|string code
function program.run_file(file)
  local errors = os.tmpname()
  local command = ("LUA_PATH=%s LUA_CPATH=%s %s %s 2>%s"):format(quoted(package.path),
    quoted(package.cpath), quoted(luv.exepath()), quoted(file), quoted(errors))
  local child = assert(io.popen(command))
  local output = child:read("a")
  local _, how, code = child:close()
  local from = assert(io.open(errors))
  local noise = from:read("a")
  from:close()
  os.remove(errors)
  return output, noise, how == "exit" and code or how .. " " .. tostring(code)
end

--- The same for a program that is given as text.
---@param text string
---@return string stdout, string stderr, integer|string code
function program.run(text)
  local file = os.tmpname()
  local out = assert(io.open(file, "w"))
  out:write(text)
  out:close()
  local output, noise, code = program.run_file(file)
  os.remove(file)
  return output, noise, code
end

--- The file of an example.
---@param name string
---@return string
function program.example(name)
  local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."
  return here .. "/../../examples/" .. name
end

return program
