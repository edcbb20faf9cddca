-- SPDX-License-Identifier: MIT
--- One flight for each key: callers that ask for the same key at the same time share one call.
---
---     local user, err, shared = users:call(c, id, load_user, id)
---
--- Every caller waits with its own context. The flight belongs to no caller: it goes on while one
--- waits, and is cancelled when all have left.
local core = require "ctx.core"
local errors = require "ctx.errors"
local owner = require "ctx.owner"
local registry = require "ctx.registry"
local want = require "ctx.want"

---@class ctx.singleflight
local singleflight = {}

local KEY = want.rule("anything but nil and NaN", function(key)
  return key ~= nil and key == key
end, "key")

---@class ctx.singleflight.Singleflight
---@field _flights ctx.registry.Registry  of ctx.singleflight.Flight, by their keys
local Singleflight = {}
local metatable = { __name = "ctx.singleflight.Singleflight", __index = Singleflight }

--- Makes a set of flights, which is empty at first.
---@return ctx.singleflight.Singleflight sf
function singleflight.new()
  return setmetatable({ _flights = registry.new() }, metatable)
end

---@class ctx.singleflight.Flight
---@field group ctx.singleflight.Singleflight
---@field key any
---@field c ctx.Context      of the flight; has the values of the first caller's
---@field cancel ctx.Cancel
---@field task ctx.Task
---@field callers integer    that wait
---@field joined integer     that ever waited
---@field over boolean
---@field raised any?        what it raised, once somebody has asked
local Flight = {}

local function forget(flight)
  local flights = flight.group._flights
  if registry.get(flights, flight.key) == flight then
    registry.remove(flights, flight.key)
  end
end

local LEFT = errors.new("singleflight: all callers have left")

--- A caller leaves, on whatever way. After the last nobody wants the result, so nobody may join.
function Flight.__close(flight)
  flight.callers = flight.callers - 1
  if flight.callers == 0 and not flight.over then
    forget(flight)
    flight.cancel(LEFT)
  end
end

--- The flight is over, on whatever way. The next caller starts a new one.
local Landing = {
  __close = function(landing)
    local flight = landing.flight
    flight.over = true
    forget(flight)
    flight.cancel()
  end,
}

local function fly(landing, fn, ...)
  local scope <close> = landing
  local _ <close> = owner.claim("the flight of " .. errors.place(fn))
  return fn(...)
end

local function start(self, c, key, fn, ...)
  local own, cancel = core.with_cancel(core.without_cancel(c))
  local flight = setmetatable({
    group = self, key = key, c = own, cancel = cancel, callers = 0, joined = 0, over = false,
  }, Flight)
  flight.task = core.go(fly, setmetatable({ flight = flight }, Landing), fn, own, ...)
  registry.set(self._flights, key, flight)
  return flight
end

--- The flight of this key, if one is under way. One that ran out of memory may have had none to say
--- that it is over.
local function flight_of(self, key)
  local flight = registry.get(self._flights, key)
  local status = flight and flight.task:status()
  if status == "failed" or status == "done" then
    forget(flight)
    flight.cancel()
    return nil
  end
  return flight
end

--- What every caller gets. An error that was raised is one object for all, with its traceback.
local function result(flight, value, err)
  local task = flight.task
  if task:status() == "failed" then
    flight.raised = flight.raised or errors.raised(err, task:traceback())
    value, err = nil, flight.raised
  end
  return value, err, flight.joined > 1
end

--- Waits for the flight of this key, which the first caller starts: fn(flight's context, …) in a
--- task of its own. If the result comes in the turn in which c ends, it is returned.
---
--- Returns what fn did, its first two results; or nil and the error that it raised; or nil and the
--- error of c. The third tells whether others wait, or waited, for the same flight.
---@async
---@param c ctx.Context
---@param key any  neither nil nor NaN
---@param fn fun(c: ctx.Context, ...): any, any
---@param ... any
---@return any value
---@return any? err  what fn returned or raised; or that of c
---@return boolean shared
function Singleflight:call(c, key, fn, ...)
  want.self(self, metatable, "call")
  want.context(c, "call")
  KEY(key, "call", 2)
  want.fn(fn, "call", 3)
  local ended = c:ended()
  if ended ~= nil then
    return nil, ended, false
  end
  core.check_wait(c, "singleflight:call")
  local flight = flight_of(self, key) or start(self, c, key, fn, ...)
  flight.callers, flight.joined = flight.callers + 1, flight.joined + 1
  local scope <close> = flight
  local _, err = flight.task:wait(c)
  if flight.over then
    return result(flight, flight.task:wait())
  end
  return nil, err, flight.joined > 1
end

--- Forgets the flight of this key: the next caller starts a new one, and waiters of the old one go
--- on waiting.
---@param key any
function Singleflight:forget(key)
  want.self(self, metatable, "forget")
  KEY(key, "forget", 1)
  registry.remove(self._flights, key)
end

return singleflight
