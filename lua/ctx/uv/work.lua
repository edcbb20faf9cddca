-- SPDX-License-Identifier: MIT
--- Lua on another thread, in a state of its own.
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local misuse = require "ctx.misuse"

local check, check_context = misuse.argument, misuse.context

local work = {}

-- What runs over there: it may use nothing from here. An error or a result that cannot cross would
-- be printed there and lost, so both come back as values.
local function over_there(code, ...)
  local fn = assert(load(code, "=work", "b"))
  local results = table.pack(xpcall(fn, debug.traceback, ...))
  for i = 2, results.n do
    local kind = type(results[i])
    if kind ~= "nil" and kind ~= "boolean" and kind ~= "number" and kind ~= "string" then
      return false, ("result %d is a %s, which cannot cross between threads"):format(i - 1, kind)
    end
  end
  return table.unpack(results, 1, results.n)
end

--- A function for another thread has nothing from here but its arguments and the globals there.
local function is_closed(fn)
  local first, second = debug.getupvalue(fn, 1), debug.getupvalue(fn, 2)
  return second == nil and (first == nil or first == "_ENV")
end

--- Runs fn(…) on another thread, in a fresh Lua state: it sees its arguments, which are strings,
--- numbers, booleans or nil, and the standard library; it returns such values. An error there comes
--- back as an error here. It cannot be stopped: when c ends the caller goes on, and the result is
--- dropped.
---@async
---@param c ctx.Context
---@param fn fun(...): ...
---@param ... any
---@return any ... what fn returned, or nil, err
function work.work(c, fn, ...)
  check_context(c, "work")
  check(type(fn) == "function", "work", 2, "fn", "a function", fn)
  if not is_closed(fn) then
    error("bad argument #2 to 'work' (fn: uses variables from outside; pass them as arguments)", 2)
  end
  local code, given = string.dump(fn), table.pack(...)
  local function finish(ok, ...)
    if ok then
      return ...
    end
    local err = ...
    return nil, ok == false and failure.new("UNKNOWN", "work", tostring(err)) or err
  end
  return finish(ctx.await(c, function(resolve)
    local job = host.uv.new_work(over_there, host.guarded(function(ok, ...)
      if ok == nil then
        resolve(false, "it could not be run")
      else
        resolve(ok, ...)
      end
    end))
    local queued, refused = job:queue(code, table.unpack(given, 1, given.n))
    if not queued then
      resolve(false, refused)
    end
  end))
end

return work
