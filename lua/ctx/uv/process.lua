-- SPDX-License-Identifier: MIT
--- Processes that live no longer than their context (B24).
---
--- Each is the leader of a process group of its own, and what it starts belongs to that, unless it
--- takes care not to. When the context ends the group gets SIGTERM, and SIGKILL after a grace, also
--- if the leader has ended before; then the leader has been reaped, and its children are init's.
--- The grace is real time, also under a hand-moved clock: processes know no other.
local core = require "ctx.core"
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local gate = require "ctx.uv.gate"
local group = require "ctx.uv.group"
local host = require "ctx.uv.host"
local known = require "ctx.uv.options"
local want = require "ctx.want"
local paths = require "ctx.uv.path"
local stream = require "ctx.uv.stream"

local check, check_context = want.argument, want.context
local uv = host.uv

local GRACE_MS = 2000
local LOOK_MS = 10 -- between two looks at whether a group is gone, of which nothing tells us

---@class ctx.uv.Process
---@field pid integer
---@field stdin? ctx.uv.Stream   with the option "pipe"
---@field stdout? ctx.uv.Stream
---@field stderr? ctx.uv.Stream
---@field code? integer          once it has ended
---@field signal? integer        that ended it, or 0
---@field interrupted boolean    its context ended while it, or what it started, ran
---@field _handle userdata
---@field _group ctx.uv.Group
---@field _grace number          ms
---@field _ended ctx.uv.Gate     opens when it has ended, and when all is over
---@field _ending boolean?       its group is being ended
---@field _over boolean          nobody is left, or after a SIGKILL it makes no difference
---@field _stop fun(): boolean   stops watching the context
local Process = {}
local metatable = { __name = "ctx.uv.Process", __index = Process }

local process = { class = Process }

-- -- Ending ---------------------------------------------------------------------------------------

--- Waits until the group is gone, or the grace over. Of the leader's end libuv tells; of its
--- children's nobody does.
local function outlast(self)
  local until_ms = uv.hrtime() / 1e6 + self._grace
  while not self._group:is_gone() do
    local left = until_ms - uv.hrtime() / 1e6
    if left <= 0 then
      return
    end
    self._ended:wait_ms(ctx.background(), self.code and math.min(left, LOOK_MS) or left)
  end
end

local function over(self)
  self._over = true
  self._stop()
  self._ended:open()
end

local function terminate(self)
  if self._ending or self._over then
    return
  end
  self._ending = true
  if self.code == nil then
    self._handle:ref()
  end
  self._group:signal(self._grace > 0 and "sigterm" or "sigkill")
  outlast(self)
  self._group:signal("sigkill")
  while self.code == nil do
    self._ended:wait(ctx.background())
  end
  over(self)
end

local function on_exit(self, code, by)
  self.code, self.signal = code, by
  self._group:orphan()
  host.close(self._handle)
  self._ended:open()
  if not self._ending and self._group:is_gone() then
    over(self)
  end
end

-- -- Starting -------------------------------------------------------------------------------------

--- One entry of luv's stdio list, and the stream for our end if it is a pipe.
local function channel(what, fd)
  if what == "pipe" then
    local handle = assert(uv.new_pipe(false))
    return handle, handle
  elseif what == "inherit" then
    return fd
  elseif stream.is(what) then
    return what:handle()
  elseif math.type(what) == "integer" then
    return what
  end
end

--- luv's list of "NAME=value", from that or from a table by name.
local function environment(env)
  if not env or #env > 0 then
    return env
  end
  local list = {}
  for name, value in pairs(env) do
    list[#list + 1] = name .. "=" .. tostring(value)
  end
  return list
end

local CHANNELS = { "stdin", "stdout", "stderr" }

---@class ctx.uv.ProcessOptions
---@field args? string[]                   without the name of the file in front
---@field env? table<string, any>|string[] all of its environment; by default ours
---@field cwd? string
---@field uid? integer
---@field gid? integer
---@field stdin? "pipe"|"inherit"|integer|ctx.uv.Stream   by default nothing, /dev/null
---@field stdout? "pipe"|"inherit"|integer|ctx.uv.Stream
---@field stderr? "pipe"|"inherit"|integer|ctx.uv.Stream
---@field grace? number                    ms from SIGTERM to SIGKILL; 2000; 0: SIGKILL at once

local function spawn(self, file, options)
  local stdio, pipes = {}, {}
  for i, name in ipairs(CHANNELS) do
    stdio[i], pipes[name] = channel(options[name], i - 1)
  end
  local handle, pid = uv.spawn(file, {
    args = options.args, env = environment(options.env), cwd = options.cwd,
    uid = options.uid, gid = options.gid, stdio = stdio, detached = true,
  }, host.guarded(function(code, by)
    on_exit(self, code, by)
  end))
  if not handle then
    for _, pipe in pairs(pipes) do
      host.close(pipe)
    end
    return nil, pid
  end
  for name, pipe in pairs(pipes) do
    self[name] = stream.new(pipe)
  end
  self._handle, self.pid, self._group = handle, pid, group.new(pid)
  handle:unref()
  return self
end

--- Starts a program, and returns while it runs. It ends with c at the latest; use `<close>` to end
--- it with a scope.
---@param c ctx.Context
---@param file string  looked for in PATH
---@param options? ctx.uv.ProcessOptions
---@return ctx.uv.Process|nil
---@return any? err
function process.start(c, file, options)
  check_context(c, "start")
  check(type(file) == "string", "start", 2, "file", "a string", file)
  options = options == nil and {} or options
  want.options(options, "start", 3, known.start)
  if c:err() then
    return nil, failure.ended(c)
  end
  local wrong = paths.fault(file, "start " .. file)
  if wrong then
    return nil, wrong
  end
  for _, name in ipairs(CHANNELS) do
    if stream.is(options[name]) and options[name]:is_closed() then
      return nil, failure.closed("start " .. file, options[name]._closed)
    end
  end
  host.ignore_sigpipe()
  local self = setmetatable({
    interrupted = false, _grace = options.grace or GRACE_MS, _ended = gate.new(), _over = false,
  }, metatable)
  local ok, said = spawn(self, file, options)
  if not ok then
    return nil, failure.of(c, said, "start " .. file)
  end
  self._stop = ctx.after_func(c, function()
    self.interrupted = not self._over
    terminate(self)
  end)
  return self
end

-- -- Using it -------------------------------------------------------------------------------------

---@class ctx.uv.Exit
---@field code integer
---@field signal integer  0 unless a signal ended it

--- Waits for its end, and while its group is being ended, for the end of that. c ends the waiting
--- only.
---@async
---@param c ctx.Context
---@return ctx.uv.Exit|nil
---@return any? err
function Process:wait(c)
  want.self(self, metatable, "wait")
  check_context(c, "wait")
  while not self._over and (self._ending or not self.code) do
    core.check_wait(c, "process:wait")
    if not self.code then
      self._handle:ref()
    end
    local ok, err = self._ended:wait(c)
    if not ok then
      if #self._ended == 0 and not self.code then
        self._handle:unref()
      end
      return nil, err
    end
  end
  return { code = self.code, signal = self.signal }
end

--- What luv calls the signal: it takes what it does not know for none at all.
local function signal_of(name)
  if math.type(name) == "integer" then
    return name >= 0 and name < 65 and name or nil
  end
  name = type(name) == "string" and name:lower()
  return name and name:find("^sig") and uv.constants[name:upper()] and name or nil
end

--- Sends a signal to its whole group, which may be there when it has ended.
---@param name? string|integer  as for ctx.signal; "sigterm" unless told otherwise
---@return true|nil ok
---@return any? err  code ESRCH when nobody is left
function Process:kill(name)
  want.self(self, metatable, "kill")
  local found = signal_of(name == nil and "sigterm" or name)
  check(found, "kill", 1, "name", 'the name of a signal, such as "sigterm"', name)
  if self._over then
    return nil, failure.new("ESRCH", "kill")
  end
  local ok, said = self._group:signal(found)
  if not ok then
    return nil, failure.of(nil, said, "kill")
  end
  return true
end

--- Ends its group as the end of its context would, and waits for that.
---@private
---@async
function Process:_end()
  terminate(self)
  if not self._over then
    self:wait(ctx.background())
  end
end

--- Ends its group as the end of its context would, waits for that, and closes the pipes.
---@async
function Process:close()
  want.self(self, metatable, "close")
  self:_end()
  for _, name in ipairs(CHANNELS) do
    if self[name] then
      self[name]:close()
    end
  end
end

metatable.__close = Process.close
metatable.__tostring = function(self)
  return ("ctx.uv.Process %d%s"):format(self.pid, self.code and " (ended)" or "")
end

return process
