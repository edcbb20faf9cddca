-- SPDX-License-Identifier: MIT
--- A shortage of memory that can spare luv: for programs that wait for luv's callbacks, each of
--- which comes once. What luv has no memory to call, nobody hears of; and of a request that it has
--- begun and cannot finish, it forgets the half. So nothing fails within luv's functions and its
--- loop then, but for the turns of our scheduler, which the loop calls.
local has_alloc, alloc = pcall(require, "alloc")
local core = require "ctx.core"
local loop = require "ctx.loop"

local NEVER = math.maxinteger
local SHORTAGE = 1000 -- requests: how long fail_after goes on

-- Elsewhere than in lua-static memory never fails: what is tried is done once, with memory.
if not has_alloc then
  local function none()
    return 0
  end
  alloc = { fail_once = none, fail_after = none, reset = none, call = function(fn, ...)
    return fn(...)
  end }
  package.loaded.alloc = alloc
end

local shortage = { raised = 0 } -- callbacks that raised: luv would have ended the program

local arm           -- the function of alloc that makes it fail
local left, counted -- requests: until it fails, from the last pause; so far
local pausing = false
local below = false -- only in what the loop calls

--- Goes on as if there had been no pause.
local function resume()
  pausing = false
  if not arm then
    return
  elseif left > 0 then
    arm(left)
  elseif arm == alloc.fail_after and left > -SHORTAGE then
    arm(1)
  else
    alloc.fail_once(NEVER)
  end
end

local function pause()
  local requests = alloc.reset()
  pausing = true
  counted, left = counted + requests, left - requests
end

--- As `how`, one of alloc's functions that make memory fail, but between pauses only.
---@return fun(n: integer)
function shortage.armed(how)
  return function(n)
    arm, left, counted = how, n, 0
    pausing = below
    if not below then resume() end
  end
end

--- Ends it, and tells how many requests were counted.
---@return integer
function shortage.over()
  if not pausing then
    pause()
  end
  arm = nil
  return counted
end

local function back(...)
  resume()
  return ...
end

local function again(...)
  if arm and not pausing then
    pause()
  end
  return ...
end

local function heard(ok, ...)
  if ok then
    shortage.raised = shortage.raised - 1
    return ...
  end
  if not below then
    error(..., 0)
  end
end

local function sparing(fn)
  return function(...)
    if not arm then
      return fn(...)
    elseif pausing then
      return again(fn(...)) -- what has raised below has not paused again
    end
    pause()
    return back(fn(...))
  end
end

local function spare_all(functions)
  for name, fn in pairs(functions) do
    if type(fn) == "function" then
      functions[name] = sparing(fn)
    end
  end
end

--- From now on luv is spared. Must come before modules that keep its functions.
function shortage.spare_luv()
  for _, name in ipairs({ "turn", "rang", "woken" }) do
    local call = core[name]
    core[name] = function(...)
      shortage.raised = shortage.raised + 1 -- until it has returned
      resume()
      return heard(again(pcall(call, ...)))
    end
  end
  loop.prepare:start(core.turn) -- it had the one from before
  spare_all(loop.uv)
  for name, class in pairs(debug.getregistry()) do
    if type(name) == "string" and name:find("^uv_") and type(class) == "table"
      and type(class.__index) == "table" then
      spare_all(class.__index)
    end
  end
end

--- For a program that turns the loop itself. From now on memory fails only in what the loop calls:
--- turns of the scheduler, and callbacks of the streams and listeners that are started; all of ours
--- are guarded. A stream of the program's own has `read_start_spared`.
function shortage.reach_callbacks()
  below = true
  for name, class in pairs(debug.getregistry()) do
    local methods = type(name) == "string" and name:find("^uv_") and type(class) == "table"
      and class.__index
    for _, method in ipairs({ "read_start", "listen" }) do
      local start = type(methods) == "table" and methods[method]
      if start then
        methods[method .. "_spared"] = start
        methods[method] = function(handle, ...)
          local given = table.pack(...)
          local callback = given[given.n]
          given[given.n] = function(...)
            shortage.raised = shortage.raised + 1 -- until it has returned
            resume()
            return heard(again(pcall(callback, ...)))
          end
          return start(handle, table.unpack(given, 1, given.n))
        end
      end
    end
  end
end

return shortage
