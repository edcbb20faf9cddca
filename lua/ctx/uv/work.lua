-- SPDX-License-Identifier: MIT
--- Lua on another thread, in a state of its own.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local threads = require "ctx.uv.threads"
local want = require "ctx.want"

local work = {}

-- Luv has room for nine values each way, one of which is ours. Beyond that it writes over others
-- of its own, drops arguments, and trips over results.
local MOST = 8
-- A new Lua state opens a loop over there, where an error ends the process: for each of the usual
-- four threads two descriptors.
local DESCRIPTORS = 8

-- What runs over there: it may use nothing from here. An error or a result that cannot cross would
-- be printed there and lost, so both come back as values.
local function over_there(code, ...)
  local function told(err)
    local ok, text = pcall(tostring, err)
    local has_text = type(err) == "string" or type(err) == "number"
      or type(err) == "table" and getmetatable(err) ~= nil or type(err) == "userdata"
    if not ok or type(text) ~= "string" then
      text = ("(an error object that cannot be printed, a %s)"):format(type(err))
    elseif not has_text then
      text = ("(an error that is a %s value: %s)"):format(type(err), text)
    end
    return debug.traceback(text, 2)
  end
  local fn = assert(load(code, "=work", "b"))
  local results = table.pack(xpcall(fn, told, ...))
  if results.n > 9 then
    return false, ("%d results, and 8 can cross between threads"):format(results.n - 1)
  end
  for i = 2, results.n do
    local kind = type(results[i])
    if kind ~= "nil" and kind ~= "boolean" and kind ~= "number" and kind ~= "string" then
      return false, ("result %d is a %s, which cannot cross between threads"):format(i - 1, kind)
    end
  end
  return table.unpack(results, 1, results.n)
end

--- A function for another thread has nothing from here but its arguments and the globals there; and
--- its code must be Lua's.
local function check_fn(fn)
  want.argument(type(fn) == "function" and debug.getinfo(fn, "S").what ~= "C", "work", 2, "fn",
    "a function in Lua", fn, 1)
  local first, second = debug.getupvalue(fn, 1), debug.getupvalue(fn, 2)
  if second ~= nil or first ~= nil and first ~= "_ENV" then
    error("bad argument #2 to 'work' (fn: uses variables from outside; pass them as arguments)", 3)
  end
end

local CROSSES = { ["nil"] = true, boolean = true, number = true, string = true }

--- Raises at the caller's line if these cannot be the arguments of a function over there.
local function check_given(given)
  want.argument(given.n <= MOST, "work", MOST + 3, "…", MOST .. " arguments at most",
    given[MOST + 1], 1)
  for i = 1, given.n do
    want.argument(CROSSES[type(given[i])], "work", i + 2, "…",
      "a string, a number, a boolean or nil", given[i], 1)
  end
end

local spares = { __close = function(self)
  for _, fd in ipairs(self) do
    if fd then
      host.uv.fs_close(fd)
    end
  end
end }

--- Whether there are descriptors enough for new Lua states.
local function can_open()
  local open <close> = setmetatable({}, spares)
  local said
  for i = 1, DESCRIPTORS do
    open[i] = false -- makes room
    open[i], said = host.uv.fs_open("/dev/null", "r", 0)
    if not open[i] then
      break
    end
  end
  return said == nil, said
end

--- Waits for the end of it, whatever becomes of the caller. It holds one of the threads until then.
local function run(caller, code, given)
  local permit <close>, err = threads.permit(caller, "work", threads.COUNT)
  if not permit then
    return nil, err
  end
  return threads.await(core.background(), function(callback)
    local job = host.uv.new_work(over_there, host.guarded(function(ok, ...)
      permit:release()
      if ok == nil then
        callback("it could not be run")
      elseif not ok then
        callback("UNKNOWN: " .. ...)
      else
        callback(nil, ...)
      end
    end))
    local queued, refused = job:queue(code, table.unpack(given, 1, given.n))
    permit.running = queued and true or false
    return permit.running, refused
  end, { caller = caller })
end

local function finish(c, ok, ...)
  if ok then
    return ...
  end
  local err = ...
  return nil, ok == false and failure.of(c, tostring(err), "work") or err
end

--- Runs fn(…) on another thread, in a Lua state of its own. It sees its arguments, eight at most,
--- which are strings, numbers, booleans or nil, and the standard library; it returns such values,
--- eight at most. Globals that it sets may be there for the next, or not. An error there comes back
--- as an error here. It cannot be stopped: when c ends the caller goes on, and the result is
--- dropped; only the end of the program waits for it.
---@async
---@param c ctx.Context
---@param fn fun(...): ...
---@param ... any
---@return any ...  what fn returned; or nil and an error
function work.work(c, fn, ...)
  want.context(c, "work")
  check_fn(fn)
  local given = table.pack(...)
  check_given(given)
  core.check_wait(c, "uv.work")
  local err = c:ended()
  if err then
    return nil, err
  end
  local ready, said = can_open()
  if not ready then
    return core.refused(nil, failure.of(c, said, "work"))
  end
  local caller, cancel <close> = core.with_cancel(c)
  -- A task, since what luv needs for its end is lost when the program ends first.
  return finish(c, core.go(run, caller, string.dump(fn), given):wait(c))
end

return work
