-- SPDX-License-Identifier: MIT
--- Processes that live no longer than their context.
---
--- Each is the leader of a process group of its own, and what it starts belongs to that, unless it
--- takes care not to. When the context ends the group gets SIGTERM, and SIGKILL after a grace, also
--- if the leader has ended before; then the leader has been reaped, and its children are init's.
--- The grace is real time, also under a hand-moved clock: processes know no other.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local group = require "ctx.uv.group"
local host = require "ctx.uv.host"
local launch = require "ctx.uv.launch"
local line = require "ctx.line"
local paths = require "ctx.uv.path"
local text = require "ctx.text"
local want = require "ctx.want"

local uv = host.uv

local WAIT, CLOSE = line.name("process:wait"), line.name("process:close")
local END = line.name("the end of a process")
local CHANNELS = { "stdin", "stdout", "stderr" }
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
---@field _ended ctx.line.Gate   opens when it has ended, and when all is over
---@field _terminator ctx.Task|false  ends its group
---@field _over boolean          none is left, or after a SIGKILL it makes no difference
---@field _stop fun(): boolean   stops watching the context
local Process = {}
local metatable = { __name = "ctx.uv.Process", __index = Process }

local process = { class = Process }

-- -- Ending ---------------------------------------------------------------------------------------

--- Whether luv will not tell of its end, since others closed the handle, as uv.walk(close) does.
local function is_robbed(self)
  return self.code == nil and self._handle:is_closing()
end

--- Waits until the group is gone, or the grace over. Of the leader's end libuv tells; of its
--- children's nobody does.
local function outlast(self)
  local until_ms = uv.hrtime() / 1e6 + self._grace
  while not self._group:is_gone() do
    local left = until_ms - uv.hrtime() / 1e6
    if left <= 0 then
      return
    end
    local watched = self.code or is_robbed(self)
    host.wait_ms(self._ended, nil, END, watched and math.min(left, LOOK_MS) or left)
  end
end

local function over(self)
  self._over = true
  self._stop()
  self._ended:open()
end

--- A task of its own runs this: between the two signals it must wait, and the caller that asks for
--- the end may be in a place that cannot wait, or be closed while it waits.
local function terminate(self)
  self._group:signal(self._grace > 0 and "sigterm" or "sigkill")
  pcall(outlast, self) -- without memory for it the grace is over
  self._group:signal("sigkill")
  while self.code == nil and not is_robbed(self) do
    self._ended:wait(nil, END)
  end
  over(self)
end

--- Whether its group is being ended, and no lack of memory has stopped that.
local function is_ending(self)
  return self._terminator and self._terminator:status() ~= "failed"
end

--- Begins to end its group, unless that has begun. Without memory for that it has no grace.
local function begin_end(self)
  if self._over or is_ending(self) then
    return
  end
  local ok, task = pcall(core.go, terminate, self)
  if ok then
    self._terminator = task
  else
    self._group:signal("sigkill")
  end
end

local function on_exit(self, code, by)
  self.code, self.signal = code, by
  self._group:orphan()
  host.close(self._handle)
  self._ended:open()
  if not is_ending(self) and self._group:is_gone() then
    over(self)
  end
end

-- -- Starting -------------------------------------------------------------------------------------

--- Internal: start, once the arguments have been checked.
---@param c ctx.Context
---@param file string
---@param options ctx.uv.ProcessOptions
---@return ctx.uv.Process|nil
---@return any? err  of the system, with a `code`; or that of c
function process.run(c, file, options)
  local err = c:ended() or paths.fault(file, "start " .. file)
  if err then
    return nil, err
  end
  host.ignore_sigpipe()
  local self = setmetatable({
    interrupted = false, _grace = options.grace or GRACE_MS, _over = false, _terminator = false,
  }, metatable)
  local child <close> = launch.child()
  local ok
  ok, err = launch.launch(child, c, file, options, function(code, by)
    on_exit(self, code, by)
  end)
  if not ok then
    return core.refused(nil, err)
  end
  for _, name in ipairs(CHANNELS) do
    self[name] = child[name] or nil
  end
  self._handle, self.pid, self._group = child.handle, child.pid, group.new(child.pid)
  self._ended = line.gate(child.handle)
  child.handle:unref()
  self._stop = core.after_func(c, function()
    self.interrupted = not self._over
    begin_end(self)
  end)
  child.kept = true
  return self
end

--- Starts a program, and returns while it runs. It ends with c at the latest; use `<close>` to end
--- it with a scope.
---@param c ctx.Context
---@param file string  looked for in PATH
---@param options? ctx.uv.ProcessOptions
---@return ctx.uv.Process|nil process  to be closed
---@return any? err  of the system, with a `code`; or that of c
function process.start(c, file, options)
  want.context(c, "start")
  want.string(file, "start", 2, "file")
  options = want.options(options, "start", 3, launch.options)
  local started, err = process.run(c, file, options)
  return started, err
end

-- -- Using it -------------------------------------------------------------------------------------

--- Whether it has ended, and so has its group if that is being ended.
local function is_over(self)
  return self._over or self.code ~= nil and not is_ending(self)
end

--- Waits for that.
local function outwait(self, c, name)
  while not is_over(self) do
    if is_robbed(self) and not is_ending(self) then
      return nil, failure.closed(name, failure.ROBBED)
    end
    local ok, err = self._ended:wait(c, name)
    if not ok and not is_over(self) then
      return nil, err
    end
  end
  return true
end

---@class ctx.uv.Exit
---@field code integer
---@field signal integer  0 unless a signal ended it

--- Waits for the end of the process, and while its group is being ended, for the end of that. The
--- end of c ends only the wait.
---@async
---@param c ctx.Context
---@return ctx.uv.Exit|nil exit
---@return any? err  that of c
function Process:wait(c)
  want.self(self, metatable, "wait")
  want.context(c, "wait")
  local ok, err = outwait(self, c, WAIT)
  if not ok then
    return nil, err
  elseif not self.code then
    return nil, failure.closed("wait", failure.ROBBED)
  end
  return { code = self.code, signal = self.signal }
end

--- What luv calls a signal: it takes a name that it does not know for none at all.
local SIGNAL = want.rule('the name of a signal, such as "sigterm",', function(name)
  local number = type(name) == "number" and math.tointeger(name)
  name = type(name) == "string" and text.lower(name)
  if number and number >= 0 and number < 65 then
    return true, number
  elseif name and name:find("^sig") and uv.constants[text.upper(name)] then
    return true, name
  end
  return false
end, "name")

--- Sends a signal to the whole group of the process, which may outlive it.
---@param name? string|integer  as for ctx.signal; "sigterm" unless told otherwise
---@return true|nil ok
---@return any? err  code ESRCH when none of its group is left
function Process:kill(name)
  want.self(self, metatable, "kill")
  local found = name == nil and "sigterm" or SIGNAL(name, "kill", 1)
  if self._over then
    return nil, failure.new("ESRCH", "kill")
  end
  local ok, said = self._group:signal(found)
  if not ok then
    return nil, failure.of(nil, said, "kill")
  end
  return true
end

local function close_pipes(self)
  for _, name in ipairs(CHANNELS) do
    if self[name] then
      self[name]:close()
    end
  end
end

--- Whether none of its group is left.
---@private
---@return boolean
function Process:_is_gone()
  return self._over or self._group:is_gone()
end

--- Ends its group as the end of its context would, and waits for that.
---@private
---@async
function Process:_end()
  begin_end(self)
  outwait(self, nil, CLOSE)
end

--- Ends the group of the process as the end of its context would, waits for that, and closes the
--- pipes. When `c` ends, only the wait does.
---@async
---@param c? ctx.Context  of the wait; as long as the end takes
---@return true|nil ok
---@return any? err  the context's error; the pipes are closed and the group is ended all the same
function Process:close(c)
  want.self(self, metatable, "close")
  if c ~= nil then
    want.context(c, "close")
  end
  local err = not self._over and c and c:ended() or nil
  if not (self._over or err) then
    core.check_wait(c, CLOSE)
  end
  begin_end(self)
  local ok
  if not err then
    ok, err = outwait(self, c, CLOSE)
  end
  close_pipes(self)
  return ok, err
end

--- Leaving the scope does the same; in a coroutine that is being closed, and in luv's callbacks,
--- where nothing can wait, it begins that and does not wait for it.
metatable.__close = function(self)
  begin_end(self)
  local ok, err = true, nil
  if pcall(core.check_wait, nil, CLOSE) then
    ok, err = pcall(outwait, self, nil, CLOSE)
  end
  close_pipes(self)
  if not ok then -- no memory
    error(err, 0)
  end
end
metatable.__tostring = function(self)
  return ("ctx.uv.Process (%d%s)"):format(self.pid, self.code and ", ended" or "")
end

return process
