-- SPDX-License-Identifier: MIT
--- A circuit breaker: stops calling a service that keeps failing, and lets a few calls find out
--- whether it has recovered.
---
---     local payments = breaker.new { name = "payments", failures = 5, cooldown = 10000 }
---     local receipt, err = payments:call(c, charge, order)
---     if errors.is(err, breaker.open) then … end
local core = require "ctx.core"
local errors = require "ctx.errors"
local fifo = require "ctx.fifo"
local report = require "ctx.report"
local want = require "ctx.want"

---@class ctx.breaker
---@field open ctx.errors.Error  The error of a call that was not made.
local breaker = {}

local shared = core.shared("ctx.breaker")
shared.open = shared.open or errors.new("circuit breaker open")

breaker.open = shared.open

local BUCKETS = 10 -- the window of a rate moves on in steps of a tenth

---@class ctx.breaker.Options
---@field name? string        for errors
---@field failures? integer   so many in a row open it; 5 by default, none if there is a rate
---@field rate? number        so large a part of the calls, from 0 to 1, …
---@field window? number      … within so many ms, 10 000 by default, …
---@field minimum? integer    … if there were as many calls, 10 by default, opens it
---@field cooldown? number    ms that it stays open, 30 000 by default
---@field probes? integer     calls that must succeed then, and the most at a time; 1 by default
---@field is_failure? fun(err: any): any  whether an error counts; by default each does
---@field on_change? fun(from: string, to: string)

local OPTIONS = {
  name = want.string,
  failures = want.count,
  rate = want.rule("a number above 0, at most 1,", function(value)
    return type(value) == "number" and value > 0 and value <= 1
  end),
  window = want.rule("a positive number of ms, and not math.huge,", function(value)
    return want.is_ms(value) and value > 0 and value < math.huge
  end),
  minimum = want.count,
  cooldown = want.positive_ms,
  probes = want.count,
  is_failure = want.fn,
  on_change = want.fn,
}

---@class ctx.breaker.Breaker
---@field _state "closed"|"open"|"half-open"
---@field _era integer      rises with each change: outcomes of calls from before do not count
---@field _in_a_row integer failures, while closed
---@field _buckets table    { step =, calls =, failed = } for the window of a rate
---@field _until number     while open: when it will let probes through
---@field _probing integer  while half-open: probes under way, except overdue ones
---@field _waiting ctx.fifo.Fifo of their permits, and of some that are settled
---@field _passed integer   probes that have succeeded
local Breaker = {}
local metatable = { __name = "ctx.breaker.Breaker", __index = Breaker }

--- Makes a breaker, which is closed at first.
---@param options? ctx.breaker.Options
---@return ctx.breaker.Breaker b
---@nodiscard
function breaker.new(options)
  options = want.options(options, "new", 1, OPTIONS)
  local failures = options.failures or (options.rate and math.huge or 5)
  return setmetatable({
    _name = options.name, _failures = failures, _rate = options.rate,
    _step_ms = (options.window or 10000) / BUCKETS, _minimum = options.minimum or 10,
    _cooldown = options.cooldown or 30000, _probes = options.probes or 1,
    _is_failure = options.is_failure, _on_change = options.on_change,
    _state = "closed", _era = 0, _in_a_row = 0, _buckets = {}, _until = 0, _probing = 0,
    _waiting = fifo.new(), _passed = 0,
  }, metatable)
end

-- -- States --------------------------------------------------------------------------------------

local function change(self, state)
  local from = self._state
  self._state, self._era = state, self._era + 1
  self._in_a_row, self._buckets, self._passed = 0, {}, 0
  self._probing, self._waiting = 0, fifo.new()
  if state == "open" then
    self._until = core.now() + self._cooldown
  end
  if self._on_change then
    report.guard("breaker", "on_change", self._on_change, from, state)
  end
end

--- Time alone ends the open state; the next call looks at it.
local function current(self)
  if self._state == "open" and core.now() >= self._until then
    change(self, "half-open")
  end
  return self._state
end

--- Counts a call of the closed state; true if the rate says that it must open.
local function count_in_window(self, is_failure)
  local step = core.now() // self._step_ms
  local at = step % BUCKETS + 1
  local bucket = self._buckets[at]
  if not bucket or bucket.step ~= step then
    bucket = { step = step, calls = 0, failed = 0 }
    self._buckets[at] = bucket
  end
  bucket.calls = bucket.calls + 1
  bucket.failed = bucket.failed + (is_failure and 1 or 0)
  local calls, failed = 0, 0
  for _, each in pairs(self._buckets) do
    if each.step > step - BUCKETS then
      calls, failed = calls + each.calls, failed + each.failed
    end
  end
  return calls >= self._minimum and failed / calls >= self._rate
end

local function record_closed(self, is_failure)
  local over_rate = self._rate and count_in_window(self, is_failure)
  self._in_a_row = is_failure and self._in_a_row + 1 or 0
  if is_failure and (over_rate or self._in_a_row >= self._failures) then
    change(self, "open")
  end
end

--- A probe lets go of its place.
local function leave(self, permit)
  if permit._due then
    permit._due = false
    self._probing = self._probing - 1
  end
end

--- What became of a probe, which counts also when it took longer than it held its place.
local function record_probe(self, permit, is_failure)
  leave(self, permit)
  if is_failure then
    change(self, "open")
  elseif is_failure == false then
    self._passed = self._passed + 1
    if self._passed >= self._probes then
      change(self, "closed")
    end
  end
end

-- -- Permits -------------------------------------------------------------------------------------

---@class ctx.breaker.Permit
---@field _breaker ctx.breaker.Breaker?
---@field _era integer
---@field _due number|false  of a probe: until then it keeps others out
---@field _c ctx.Context?
---@field _calls boolean?  it is that of `call`
local Permit = {}
local permit_metatable = { __name = "ctx.breaker.Permit", __index = Permit }

--- What became of a call: true failed, false did not, nil says nothing.
local function settle(permit, is_failure)
  local of = permit._breaker
  permit._breaker = nil
  if not of or permit._era ~= of._era then
    return
  elseif of._state == "half-open" then -- nothing is let through in the open state
    record_probe(of, permit, is_failure)
  elseif is_failure ~= nil then
    record_closed(of, is_failure)
  end
end

--- Tells the breaker that the call has succeeded. Only the first call of a method of a permit
--- counts.
function Permit:succeed()
  want.self(self, permit_metatable, "succeed")
  settle(self, false)
end

--- Tells the breaker that the call has failed.
function Permit:fail()
  want.self(self, permit_metatable, "fail")
  settle(self, true)
end

--- Whether the caller gave up: that says nothing about the called service.
local function given_up(c)
  return c ~= nil and c:err() == errors.canceled
end

--- A permit without an outcome: an error that leaves the scope is a failure, and leaving the scope
--- in another way counts as nothing. If a call's permit has no outcome, and its coroutine is not
--- being closed, which unwinds all of it, then the error was nil.
function permit_metatable.__close(permit, err)
  local raised = err ~= nil or permit._breaker and permit._calls and debug.getinfo(2, "l") ~= nil
  settle(permit, raised and not given_up(permit._c) or nil)
end

--- Lets go of probes that are settled, or overdue: a probe that hangs, or whose permit was dropped,
--- would keep all others out for ever.
local function expire(self)
  local now, waiting = core.now(), self._waiting
  while waiting.count > 0 and (fifo.peek(waiting)._due or 0) <= now do
    leave(self, fifo.pop(waiting))
  end
end

local function allow(self, c)
  local state = current(self)
  if state == "half-open" then
    expire(self)
  end
  if state == "open" or state == "half-open" and self._probing + self._passed >= self._probes then
    return nil, self._name and errors.wrap(breaker.open, self._name) or breaker.open
  end
  local permit = setmetatable({ _breaker = self, _era = self._era, _due = false, _c = c },
    permit_metatable)
  if state == "half-open" then
    fifo.push(self._waiting, permit)
    permit._due = core.now() + self._cooldown
    self._probing = self._probing + 1
  end
  return permit
end

--- Returns a permit to make one call, to be closed: `local permit <close>, err = b:allow()`. Call
--- permit:succeed() or permit:fail(); without either, the call does not count, as when the caller
--- gave up. When a probe has told nothing after the cooldown's time, another one is let through.
---@return ctx.breaker.Permit? permit
---@return ctx.errors.Error? err  is breaker.open
---@nodiscard
function Breaker:allow()
  want.self(self, metatable, "allow")
  local permit, err = allow(self)
  return permit, err
end

--- Hears what fn returned, and hands it on.
local function judge(self, permit, c, ...)
  local ok, err = ...
  if ok or err == nil then
    settle(permit, false)
  elseif given_up(c) then
    settle(permit, nil)
  else
    settle(permit, not self._is_failure or not not self._is_failure(err))
  end
  return ...
end

--- Calls fn(c, …), unless the breaker is open. It has failed when it raises, or returns nil or
--- false and an error that counts, a deadline included; but not when c was cancelled: that the
--- caller gave up says nothing about the called service.
---@async
---@param c ctx.Context
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return any ... what fn returned; or nil and an error, which is breaker.open
function Breaker:call(c, fn, ...)
  want.self(self, metatable, "call")
  want.context(c, "call")
  want.fn(fn, "call", 2)
  local err = c:ended()
  if err ~= nil then
    return nil, err
  end
  local scope <close>, refused = allow(self, c)
  if not scope then
    return core.refused(nil, refused)
  end
  scope._calls = true
  return judge(self, scope, c, fn(c, ...))
end

--- Returns the state of the breaker. Time alone ends the open state.
---@return "closed"|"open"|"half-open" state
function Breaker:state()
  want.self(self, metatable, "state")
  return (current(self))
end

--- Returns the ms until the breaker lets a probe through; 0 when it is not open.
---@return number ms
function Breaker:retry_after()
  want.self(self, metatable, "retry_after")
  return current(self) == "open" and self._until - core.now() or 0
end

return breaker
