-- SPDX-License-Identifier: MIT
--- Runs a program to its end and brings what it wrote.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local launch = require "ctx.uv.launch"
local line = require "ctx.line"
local process = require "ctx.uv.process"
local stream = require "ctx.uv.stream"
local want = require "ctx.want"

local SPAWN = line.name("uv.spawn")

local spawn = {}

local LIMIT = 16 * 1024 * 1024
local LINGER_MS = 1000

local OPTIONS = { stdin = want.string, limit = stream.bytes, linger = want.duration }
for name, rule in pairs(launch.options) do
  OPTIONS[name] = OPTIONS[name] or rule
end

---@class ctx.uv.SpawnOptions: ctx.uv.ProcessOptions
---@field stdin? string      what it reads from its standard input
---@field stdout? any        as for start; by default captured
---@field stderr? any
---@field limit? integer     bytes that may come from each of the two; 16 MiB
---@field linger? number     ms that the pipes may stay open after its end; 1000

---@class ctx.uv.Result: ctx.uv.Exit
---@field stdout? string      what was captured
---@field stderr? string
---@field incomplete? boolean the pipes were closed while somebody still held them

--- Collects what comes from the pipe, and tells full() when that is too much.
local function collect(c, pipe, limit, full)
  local parts, size = {}, 0
  for data in function() return pipe:read(c) end do
    local chunk, room = data, limit - size
    if room < #chunk then
      chunk = chunk:sub(1, room)
      full()
    end
    size = size + #chunk
    parts[#parts + 1] = chunk
  end
  pipe:close()
  return table.concat(parts)
end

--- Starts the tasks that move what goes in and comes out. Returns a table of them, by name, with a
--- gate that opens as each is done, and the number of those that are left.
local function start_pump(c, running, options, full)
  local pump = { left = 0, moved = line.gate("outside") }
  local function start(name, fn, ...)
    pump.left = pump.left + 1
    pump[name] = core.go(function(...)
      local _ <close> = setmetatable({}, { __close = function()
        pump.left = pump.left - 1
        pump.moved:open()
      end })
      return fn(...)
    end, ...)
  end
  if running.stdin then
    core.go(function()
      running.stdin:write(c, options.stdin) -- a program may end without having read it
      running.stdin:close()
    end)
  end
  for _, name in ipairs { "stdout", "stderr" } do
    if running[name] then
      start(name, collect, c, running[name], options.limit or LIMIT, full)
    end
  end
  return pump
end

--- Waits for the end of the pipes, which grandchildren may hold open, but not for ever. When c ends
--- meanwhile, they are ended, and what they wrote until then still comes; those that have left the
--- group are not waited for.
local function settle(c, running, pump, linger_ms)
  local uv = host.uv
  local until_ms = uv.hrtime() / 1e6 + linger_ms
  while pump.left > 0 do
    local left = until_ms - uv.hrtime() / 1e6
    if left <= 0 then
      return false
    end
    local _, err = host.wait_ms(pump.moved, not running.interrupted and c or nil, SPAWN, left)
    if err then
      local left_behind = running:_is_gone()
      running.interrupted = true
      running:_end()
      if left_behind then
        return false
      end
      until_ms = math.min(until_ms, uv.hrtime() / 1e6 + LINGER_MS)
    end
  end
  return true
end

local function start(c, file, options)
  local own = {}
  for key, value in pairs(options) do
    own[key] = value
  end
  own.limit, own.linger = nil, nil
  own.stdin = options.stdin and "pipe" or nil
  own.stdout = options.stdout or "pipe"
  own.stderr = options.stderr or "pipe"
  return process.run(c, file, own)
end

--- Why the run failed, if it did.
local function verdict(c, running, file, overflow)
  if running.interrupted then
    return c:ended()
  elseif overflow then
    return failure.new("ENOBUFS", "spawn " .. file, "more output than the limit allows")
  end
end

--- Runs a program: starts it, feeds it, collects its output, and waits for its end. A code other
--- than 0 is a result, not an error. When c ends, its process group is ended, with the grace, and
--- waited for; what it had written until then is the third result.
---@async
---@param c ctx.Context
---@param file string
---@param options? ctx.uv.SpawnOptions
---@return ctx.uv.Result|nil result
---@return any? err     code ENOBUFS: it wrote more than `limit`, and was ended for that
---@return ctx.uv.Result? partial  with an error, once it had been started
function spawn.spawn(c, file, options)
  want.context(c, "spawn")
  want.string(file, "spawn", 2, "file")
  options = want.options(options, "spawn", 3, OPTIONS)
  core.check_wait(c, SPAWN)
  core.breathe() -- to make a process takes a millisecond, also when there is no such program
  local running, err = start(c, file, options)
  if not running then
    return nil, err
  end
  local _ <close> = running
  -- The pipes live as long as the process, which c ends, and a little longer.
  local pipes, close_pipes <close> = core.with_cancel(core.without_cancel(c))
  local overflow = false
  local pump = start_pump(pipes, running, options, function()
    overflow = true
    running:kill("sigkill")
  end)
  local exit
  exit, err = running:wait(pipes)
  if not exit then
    return nil, err
  end
  local whole = settle(c, running, pump, options.linger or LINGER_MS)
  close_pipes()
  local result = {
    code = exit.code, signal = exit.signal, incomplete = not whole or nil,
    stdout = pump.stdout and pump.stdout:wait(), stderr = pump.stderr and pump.stderr:wait(),
  }
  err = verdict(c, running, file, overflow)
  if err then
    return nil, err, result
  end
  return result
end

return spawn
