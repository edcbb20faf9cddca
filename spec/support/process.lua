-- SPDX-License-Identifier: MIT
--- Programs as processes of their own, for specs of signals: started, listened to, killed, waited
--- for. Each wait takes a context.
local ctx = require "ctx"
local program = require "spec.support.program"
local testing = require "ctx.testing"
local uv = require "luv"

local process = {}

local LIMIT_MS = 200000

---@class spec.Process
---@field pid integer
---@field output string   what came on stdout and stderr so far
---@field code integer?   once it has ended
---@field signal integer? what killed it, or 0
local Process = {}
Process.__index = Process

local function environment()
  local list = {}
  local changed = uv.os_environ()
  changed.LUA_PATH, changed.LUA_CPATH = package.path, package.cpath
  changed.LUA_INIT, changed.LUA_PATH_5_4, changed.LUA_CPATH_5_4 = nil, nil, nil
  for name, value in pairs(changed) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

local function changed(self)
  local resolve = self._resolve
  self._resolve = nil
  if resolve then
    resolve(true)
  end
end

local function close(pipe)
  if not pipe:is_closing() then
    pipe:close()
  end
end

local function over(self)
  return self.code and self._pipes[1]:is_closing() and self._pipes[2]:is_closing()
end

--- Starts a program, and hears what it prints.
local function start(file, args)
  local self = setmetatable({ output = "" }, Process)
  local input, out, err = uv.new_pipe(false), uv.new_pipe(false), uv.new_pipe(false)
  self._input, self._pipes = input, { out, err }
  self._handle, self.pid = uv.spawn(file, {
    args = args, env = environment(), stdio = { input, out, err },
  }, function(code, signal)
    self.code, self.signal = code, signal
    self._handle:close()
    close(input)
    changed(self)
  end)
  assert(self._handle, self.pid)
  for _, pipe in ipairs(self._pipes) do
    pipe:read_start(function(_, chunk)
      if chunk then
        self.output = self.output .. chunk
      else
        close(pipe)
      end
      changed(self)
    end)
  end
  return self
end

--- Starts Lua with these arguments: a file and its arguments, or "-e" and a program.
---@param ... string
---@return spec.Process
function process.lua(...)
  return start(uv.exepath(), { ... })
end

--- The same for a program in Perl, which every Debian has.
---@param text string
---@param ... string  its arguments
---@return spec.Process
function process.perl(text, ...)
  return start("perl", { "-e", text, ... })
end

--- Lua on a terminal of its own. util-linux's `script` stands between: to `write` is to type,
--- and what the terminal shows, an echo of that included, is the output.
---@param columns integer
---@param rows integer
---@param ... string
---@return spec.Process
function process.on_terminal(columns, rows, ...)
  local words = { "exec", program.quoted(uv.exepath()) }
  for i = 1, select("#", ...) do
    words[#words + 1] = program.quoted((select(i, ...)))
  end
  local command = ("stty cols %d rows %d; %s"):format(columns, rows, table.concat(words, " "))
  return start("script", { "-q", "-e", "-f", "-c", command, "/dev/null" })
end

local function next_change(self, c)
  local ok, err = ctx.await(c, function(resolve)
    self._resolve = resolve
  end)
  if not ok then
    self:kill("sigkill")
    error(("%s, after the process had printed:\n%s"):format(err, self.output), 0)
  end
end

--- Waits until it has printed `text`; it is an error if it ends before.
function Process:expect(c, text)
  while not self.output:find(text, 1, true) do
    if over(self) then
      error(("the process ended (%d, signal %d) without %q:\n%s")
        :format(self.code, self.signal, text, self.output), 0)
    end
    next_change(self, c)
  end
end

--- Writes to its stdin.
function Process:write(text)
  assert(self._input:write(text))
end

--- Closes our end of its stdout and stderr.
function Process:hang_up()
  close(self._pipes[1])
  close(self._pipes[2])
end

function Process:kill(signal)
  if not self.code then
    self._handle:kill(signal)
  end
end

--- Waits for its end.
---@return integer code
---@return integer signal
function Process:wait(c)
  while not over(self) do
    next_change(self, c)
  end
  return self.code, self.signal
end

--- Starts a process by `begin`, waits until it has printed `ready`, and lets fn(c, p) deal with it.
---@param begin fun(): spec.Process
---@param ready string
---@param fn fun(c: ctx.Context, p: spec.Process)
function process.play(begin, ready, fn)
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
    local p = begin()
    p:expect(c, ready)
    fn(c, p)
  end, { real = true })
end

return process
