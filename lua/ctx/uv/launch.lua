-- SPDX-License-Identifier: MIT
--- How a program is started: the options, what it finds at its descriptors, and the error when it
--- cannot be.
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local listener = require "ctx.uv.listener"
local stream = require "ctx.uv.stream"
local want = require "ctx.want"

local uv = host.uv

local launch = {}

local CHANNELS = { "stdin", "stdout", "stderr" }

--- A file's descriptor, or something of ours that has one.
local DESCRIPTOR = want.either("a descriptor, a stream or a listener", want.descriptor,
  want.rule("a stream", stream.is), want.rule("a listener", listener.is))
local CHANNEL = want.either('"pipe", "inherit", a descriptor, a stream or a listener',
  want.one_of("pipe", "inherit"), DESCRIPTOR)
local ID = want.whole(0, 0xfffffffe)

--- A word that the system can take as it is: a string, or a number.
local WORD = want.rule("a string without zero bytes", function(value)
  if math.type(value) then
    return true, tostring(value)
  end
  return want.text[2](value)
end)

--- The text of a variable: of a string, a number, a boolean, or an object that has one.
local function value_of(value)
  local kind = type(value)
  local metatable_of_value = kind == "table" and getmetatable(value)
  if kind == "number" or kind == "boolean"
    or type(metatable_of_value) == "table" and metatable_of_value.__tostring then
    value = tostring(value)
  end
  return want.text[2](value) and value
end

--- luv's list of "NAME=value", from such a list or a table by name.
local ENV = want.rule("a table", function(env)
  if type(env) ~= "table" then
    return false
  elseif rawget(env, 1) ~= nil then
    return want.list(want.text, 'a list of "NAME=value"')[2](env)
  end
  local list = {}
  for name, value in pairs(env) do
    if not want.text[2](name) or name == "" or name:find("=", 1, true) then
      return false, { at = "", expected = "the name of a variable", value = name }
    end
    local text = value_of(value)
    if not text then
      return false, { at = "." .. name, expected = want.text[1], value = value }
    end
    list[#list + 1] = name .. "=" .. text
  end
  return true, list
end)

local MOST = 1023 -- as many as the system gives a program by default

--- What a program finds at its descriptors from 3 on.
local FDS = want.rule("a table", function(fds)
  if type(fds) ~= "table" then
    return false
  end
  local given = {}
  for fd, value in pairs(fds) do
    if math.type(fd) ~= "integer" or fd < 3 or fd > MOST then
      return false, { at = "", expected = ("a descriptor from 3 to %d"):format(MOST), value = fd }
    end
    local fits, use = DESCRIPTOR[2](value)
    if not fits then
      return false, { at = ("[%d]"):format(fd), expected = DESCRIPTOR[1], value = value }
    end
    given[fd] = use == nil and value or use
  end
  return true, given
end)

---@class ctx.uv.ProcessOptions
---@field args? string[]                   without the name of the file in front
---@field env? table<string, any>|string[] all of its environment; by default ours
---@field cwd? string
---@field uid? integer
---@field gid? integer
---@field stdin? "pipe"|"inherit"|integer|ctx.uv.Stream|ctx.uv.Listener  by default /dev/null
---@field stdout? "pipe"|"inherit"|integer|ctx.uv.Stream|ctx.uv.Listener
---@field stderr? "pipe"|"inherit"|integer|ctx.uv.Stream|ctx.uv.Listener
---@field fds? table<integer, integer|ctx.uv.Stream|ctx.uv.Listener>  its descriptors from 3 on
---@field grace? number                    ms from SIGTERM to SIGKILL; 2000; 0: SIGKILL at once

launch.options = {
  args = want.list(WORD, "a list of strings"), env = ENV, cwd = want.text, uid = ID, gid = ID,
  stdin = CHANNEL, stdout = CHANNEL, stderr = CHANNEL, fds = FDS, grace = want.duration,
}

--- The descriptor for one entry of luv's stdio list.
local function descriptor_of(what, what_for)
  if type(what) == "number" then
    return what
  elseif what:is_closed() then
    return nil, failure.new("ECLOSED", what_for, ("%s is closed"):format(tostring(what)))
  end
  local fd, said = what:handle():fileno()
  if not fd then
    return nil, failure.of(nil, said, what_for)
  end
  return fd
end

--- What the program finds at its descriptors: the options, by the number.
local function wanted(options)
  local given = {}
  for fd, what in pairs(options.fds or {}) do
    given[fd] = what
  end
  for i, name in ipairs(CHANNELS) do
    given[i - 1] = options[name]
  end
  return given
end

--- luv's stdio list. Pipes that are made for it become the child's.
local function stdio_of(options, child, what_for)
  local stdio = {}
  for fd, given in pairs(wanted(options)) do
    local found, err = fd, nil
    if given ~= "inherit" and given ~= "pipe" then
      found, err = descriptor_of(given, what_for)
    end
    if err then
      return nil, err
    end
    stdio[fd + 1] = found
  end
  for i, name in ipairs(CHANNELS) do
    if options[name] == "pipe" then
      child[name] = assert(uv.new_pipe(false))
      stdio[i] = child[name]
    end
  end
  return stdio
end

local FOLDER = { ENOENT = true, ENOTDIR = true, EACCES = true, ELOOP = true, ENAMETOOLONG = true }

--- The error of a start: luv says the same of a program and of a working directory that is missing.
local function failed(c, said, what_for, cwd)
  local err = failure.of(c, said, what_for)
  if not cwd or not FOLDER[err.code] then
    return err
  end
  local stat, _, code = uv.fs_stat(cwd)
  code = code or stat and stat.type ~= "directory" and "ENOTDIR"
    or not uv.fs_access(cwd, "X") and "EACCES"
  if not code then
    return err
  end
  return failure.new(code, what_for, ("the working directory %q: %s")
    :format(cwd, failure.codes[code] and failure.codes[code].text or code))
end

--- Other processes have these sockets, too.
local function mark_inherited(options)
  for _, given in pairs(wanted(options)) do
    if listener.is(given) then
      given.inherited = true
    end
  end
end

---@class ctx.uv.Child
---@field handle userdata|false  luv's
---@field pid integer
---@field stdin userdata|ctx.uv.Stream|false   our end
---@field stdout userdata|ctx.uv.Stream|false
---@field stderr userdata|ctx.uv.Stream|false
---@field kept boolean  it has an owner
local Child = {}

--- Nobody has it: its start failed, or could not be finished. luv reaps it.
function Child:__close()
  if self.kept then
    return
  elseif self.handle then
    uv.kill(-self.pid, "sigkill")
  end
  for _, name in ipairs(CHANNELS) do
    local pipe = self[name]
    if pipe and stream.is(pipe) then
      pipe:close()
    elseif pipe then
      host.close(pipe)
    end
  end
end

--- Make it a <close> variable before the start. Until it is kept it ends with that.
---@return ctx.uv.Child
function launch.child()
  return setmetatable({ handle = false, pid = 0, stdin = false, stdout = false, stderr = false,
    kept = false }, Child)
end

--- Starts it, as the leader of a process group of its own.
---@param child ctx.uv.Child  gets what is made
---@param c ctx.Context  for the error
---@param file string
---@param options ctx.uv.ProcessOptions
---@param on_exit fun(code: integer, signal: integer)  when it is kept; it closes the handle
---@return true|nil ok
---@return any err
function launch.launch(child, c, file, options, on_exit)
  local what_for = "start " .. file
  local stdio, err = stdio_of(options, child, what_for)
  if not stdio then
    return nil, err
  end
  local handle, pid = uv.spawn(file, {
    args = options.args, env = options.env, cwd = options.cwd,
    uid = options.uid, gid = options.gid, stdio = stdio, detached = true,
  }, host.guarded(function(code, by)
    if child.kept then
      return on_exit(code, by)
    end
    host.close(child.handle)
  end))
  if not handle then
    return nil, failed(c, pid, what_for, options.cwd)
  end
  child.handle, child.pid = handle, pid
  for _, name in ipairs(CHANNELS) do
    child[name] = child[name] and stream.new(child[name])
  end
  mark_inherited(options)
  return true
end

return launch
