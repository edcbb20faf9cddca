-- SPDX-License-Identifier: MIT
--- Programs as processes of their own, for specs of signals: started, listened to, killed, waited
--- for. Each wait takes a context.
local ctx = require "ctx"
local uv = require "luv"

local process = {}

---@class spec.Process
---@field pid integer
---@field output string   what came on stdout and stderr so far
---@field code integer?   once it has ended
---@field signal integer? what killed it, or 0
local Process = {}
Process.__index = Process

--- The interpreter that runs these specs.
local function interpreter()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return i < 0 and arg[i] or "lua5.4"
end

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

--- Starts Lua with these arguments: a file and its arguments, or "-e" and a program.
---@param ... string
---@return spec.Process
function process.lua(...)
  local self = setmetatable({ output = "" }, Process)
  local out, err = uv.new_pipe(false), uv.new_pipe(false)
  self._pipes = { out, err }
  self._handle, self.pid = uv.spawn(interpreter(), {
    args = { ... }, env = environment(), stdio = { nil, out, err },
  }, function(code, signal)
    self.code, self.signal = code, signal
    self._handle:close()
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

return process
