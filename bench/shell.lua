-- SPDX-License-Identifier: MIT
-- Running other programs, and asking the machine about itself.

local shell = {}

-- The output of a command, or nil and why not. Its stderr stays the terminal's.
function shell.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  local ok, how, code = pipe:close()
  if not ok then
    return nil, ("%s (%s %d)"):format(command, how, code)
  end
  return text
end

-- The first line of a command's output; `otherwise` when it fails or prints nothing.
function shell.line(command, otherwise)
  local text = shell.output(command .. " 2>/dev/null")
  return text and text:match("[^\n]+") or otherwise
end

function shell.has(program)
  return shell.line("command -v " .. program) ~= nil
end

function shell.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

function shell.exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

return shell
