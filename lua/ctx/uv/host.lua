-- SPDX-License-Identifier: MIT
--- What all of ctx.uv asks of luv.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local loop = require "ctx.loop"
local report = require "ctx.report"
local signal = require "ctx.signal"

local host = { uv = loop.uv }

--- A function for luv to call back: an error that left it would end the process. None of ours runs
--- the program's code, so what it reports is a defect, or no memory.
---@param fn fun(...)
---@return fun(...)
function host.guarded(fn)
  return function(...)
    if loop.over then
      return
    end
    local ok, err = pcall(fn, ...)
    if not ok then
      core.look_again() -- what came may still be there
      report.send("ctx.uv: " .. report.describe(err), "uv")
    end
  end
end

--- Waits under c for one of luv's requests. begin(callback) begins it, and answers as luv does;
--- `abort`, as for ctx.await, stops it.
---@async
---@param c ctx.Context
---@param begin fun(callback: fun(said: string?)): any, string?
---@param abort? userdata
---@return boolean|nil ok  false and luv's words; nil and an error of c
---@return any? err
function host.request(c, begin, abort)
  return core.await(c, function(resolve)
    local request, refused = begin(host.guarded(function(said)
      resolve(not said, said)
    end))
    if not request then
      resolve(false, refused)
    end
    return abort
  end)
end

--- Waits at the gate for `ms` of real time at most, or math.huge: for what other processes do,
--- which know no hand-moved clock. Look afterwards: the end of the time opens it, too, for all who
--- wait.
---@async
---@param at ctx.line.Gate
---@param c ctx.Context?
---@param name string  from line.name
---@param ms number
---@return true|nil ok
---@return any? err    c has ended
function host.wait_ms(at, c, name, ms)
  if ms == math.huge then
    return at:wait(c, name)
  end
  local alarm <close> = host.owned()
  alarm.handle = assert(host.uv.new_timer())
  host.uv.update_time()
  alarm.handle:start(math.ceil(ms), 0, host.guarded(function()
    at:open()
  end))
  return at:wait(c, name)
end

--- What an open handle says of one of its sides: `{ ip, port, family }`, or the path of a pipe.
---@param handle userdata
---@param method "getsockname"|"getpeername"
---@param what string  the caller's function
---@return { ip: string, port: integer, family: string }|string|nil
---@return any? err    code EBADF for a handle that has no address, as a terminal
function host.address(handle, method, what)
  if not handle[method] then
    return nil, failure.new("EBADF", what)
  end
  local found, said = handle[method](handle)
  if not found then
    return nil, failure.of(nil, said, what)
  end
  return found
end

host.close, host.owned = loop.close, loop.owned

-- Again after a program closed all handles with uv.walk: a write to a peer that has gone must be an
-- error, and not the end of the process.
host.ignore_sigpipe = signal.ignore_sigpipe

return host
