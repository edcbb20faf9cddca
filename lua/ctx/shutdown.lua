-- SPDX-License-Identifier: MIT
--- The end of a server, in named phases that each have a deadline of their own.
---
---     ctx.run(function(root)
---       local s <close> = shutdown.new(root, { delay = 5000, timeouts = { drain = 20000 } })
---       s:on("stop", "http", function() server:close() end)
---       s:on("drain", "http", function(c) return requests:wait(c) end)
---       s:go(consume_queue)                   -- a worker: consume_queue(c), with c = s:context()
---       local report = s:run()                -- until SIGINT or SIGTERM, and then phase by phase
---       print(report)
---     end)
---
--- Readiness off → delay → stop accepting → drain → cancel the root → wait for the workers →
--- force. What goes wrong in one phase never keeps the next from coming.
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local signal = require "ctx.signal"
local phases = require "ctx.shutdown.phases"

local shutdown = {}

---@class ctx.Shutdown
local Shutdown = {}
local metatable = { __name = "ctx.shutdown", __index = Shutdown }

--- In ms. With no delay they come to less than the 30 s that Kubernetes gives a pod.
local TIMEOUTS = {
  readiness = 1000, stop = 1000, drain = 15000, cancel = 1000, wait = 5000, force = 1000,
}
local OPTIONS = { delay = true, grace = true, timeouts = true, signals = true, ready = true }

-- -- Making one ---------------------------------------------------------------------------------

local function kind(value)
  local class = getmetatable(value)
  return type(class) == "table" and class.__name or type(value)
end

local function is_ms(value)
  return type(value) == "number" and value >= 0
end

--- What is wrong with the options, or nil.
local function fault(options)
  for name in pairs(options) do
    if not OPTIONS[name] then
      return ("there is no option '%s'"):format(tostring(name))
    end
  end
  for _, name in ipairs({ "delay", "grace" }) do
    if options[name] ~= nil and not is_ms(options[name]) then
      return ("%s: milliseconds expected, got %s"):format(name, tostring(options[name]))
    end
  end
  for name, ms in pairs(options.timeouts or {}) do
    if not TIMEOUTS[name] then
      return ("timeouts: there is no phase '%s' with a timeout"):format(tostring(name))
    elseif not is_ms(ms) then
      return ("timeouts.%s: milliseconds expected, got %s"):format(name, tostring(ms))
    end
  end
  for _, name in ipairs(options.signals or {}) do
    if not signal.known(name) then
      return ("signals: '%s' is none that can be caught"):format(tostring(name))
    end
  end
end

local function timeouts_of(options)
  local timeouts = {}
  for name, ms in pairs(TIMEOUTS) do
    timeouts[name] = options.timeouts and options.timeouts[name] or ms
  end
  return timeouts
end

--- From now on, not from run() on: a signal that comes while the server starts must not be lost on
--- it either. The second one kills.
local function listen(self, signals)
  if #signals > 0 then
    local c, stop = signal.notify(ctx.background(), table.unpack(signals))
    self._deafen = stop
    ctx.after_func(c, function()
      self:stop(c:cause())
    end)
  end
end

---@class ctx.Shutdown.Options
---@field delay? number   ms between readiness off and the end of accepting: 0
---@field grace? number   ms that workers have from the soft cancel to the hard one: 0
---@field timeouts? table<string, number>  ms by phase
---@field signals? string[]  that begin it: { "sigint", "sigterm" }; may be empty
---@field ready? boolean  whether it is ready from the start: true

--- A shutdown that has not begun. It does when a signal comes, when parent is done, or by stop().
--- Contexts of workers and hooks have parent's values, and do not end with it: that is for the
--- phases to say.
---@param parent ctx.Context
---@param options? ctx.Shutdown.Options
---@return ctx.Shutdown
function shutdown.new(parent, options)
  if core.kind(parent) ~= "context" then
    error(("bad argument #1 to 'new' (parent: a context expected, got %s)")
      :format(kind(parent)), 2)
  end
  options = options or {}
  local wrong = fault(options)
  if wrong then
    error("bad argument #2 to 'new' (options: " .. wrong .. ")", 2)
  end
  local self = setmetatable({
    _base = ctx.without_cancel(parent),
    _delay = options.delay or 0,
    _grace = options.grace or 0,
    _timeouts = timeouts_of(options),
    _ready = options.ready ~= false,
    _hooks = {},
    _workers = {},
    _working = 0,
    _idle = core.queue(), -- who waits for the last worker
    _over = core.queue(), -- who waits for the report
  }, metatable)
  self._root, self._cancel = ctx.with_cancel(self._base)
  self._stopping, self._soften = ctx.with_cancel(self._root)
  self._root:name("shutdown")
  self._stopping:name("shutdown.stopping")
  self._forget = ctx.after_func(parent, function()
    self:stop(parent:cause())
  end)
  listen(self, options.signals or { "sigint", "sigterm" })
  return self
end

-- -- Before the end -----------------------------------------------------------------------------

--- The context that workers derive theirs from. It is cancelled after the drain: the hard cancel.
---@return ctx.Context
function Shutdown:context()
  return self._root
end

--- Done when nothing new should be taken on, with the time of the drain and the grace still to
--- come: the soft cancel.
---@return ctx.Context
function Shutdown:stopping()
  return self._stopping
end

--- What a readiness probe should say. False for good once the shutdown has begun.
---@return boolean
function Shutdown:ready()
  return self._ready and not self._phase
end

--- Says whether the server is ready, for those that are not from the start.
---@param ready boolean
function Shutdown:set_ready(ready)
  self._ready = ready
end

--- The phase it is in: nil before the first, "over" after the last.
---@return string?
function Shutdown:phase()
  return self._phase
end

--- Adds a hook: fn(c) runs in the phase, beside the others of that phase, and should end with c,
--- whose deadline is the phase's. It fails by raising, or by returning nil or false and an error.
---@param phase string  "readiness", "stop", "drain", "cancel", "wait" or "force"
---@param name string   what the report calls it
---@param fn fun(c: ctx.Context): any, any
function Shutdown:on(phase, name, fn)
  if not TIMEOUTS[phase] then
    error(("bad argument #1 to 'on' (phase: there is no phase '%s' that takes hooks)")
      :format(tostring(phase)), 2)
  elseif type(name) ~= "string" then
    error(("bad argument #2 to 'on' (name: a string expected, got %s)"):format(kind(name)), 2)
  elseif type(fn) ~= "function" then
    error(("bad argument #3 to 'on' (fn: a function expected, got %s)"):format(kind(fn)), 2)
  elseif self._phase then
    error("on: the shutdown has begun, a new hook may come too late", 2)
  end
  local hooks = self._hooks[phase] or {}
  self._hooks[phase] = hooks
  hooks[#hooks + 1] = { name = name, fn = fn }
end

---@class ctx.Shutdown.Worker
---@field shutdown ctx.Shutdown
---@field name string
---@field task ctx.Task
---@field co thread?  while it runs
local Worker = {}
Worker.__index = Worker

--- Leaves, on every path: when it returns or raises, or when force closes its coroutine.
function Worker:__close(err)
  local s = self.shutdown
  self.co, self.err = nil, err
  s._workers[self] = nil
  s._working = s._working - 1
  if err ~= nil then
    s._failed = s._failed or {}
    table.insert(s._failed, { name = self.name, err = err })
  end
  if s._working == 0 then
    while s._idle:wake() do end
  end
end

local function work(self, fn, ...)
  local worker <close> = self
  worker.co = coroutine.running()
  return fn(worker.shutdown._root, ...)
end

--- Starts a worker: fn(c, …) as a task, with c = s:context(), that the shutdown waits for. From
--- the soft cancel on it starts none: nil and the reason.
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return ctx.Task? task
---@return any? err
function Shutdown:go(fn, ...)
  if type(fn) ~= "function" then
    error(("bad argument #1 to 'go' (fn: a function expected, got %s)"):format(kind(fn)), 2)
  end
  if self._stopping:done() then
    return nil, errors.ended(self._stopping:err(), self._stopping:cause())
  end
  local info = debug.getinfo(fn, "S")
  local worker = setmetatable({
    shutdown = self, name = ("%s:%d"):format(info.short_src, info.linedefined),
  }, Worker)
  self._working = self._working + 1
  self._workers[worker] = true
  worker.task = ctx.go(work, worker, fn, ...)
  return worker.task
end

-- -- The end --------------------------------------------------------------------------------------

--- Begins the shutdown, and returns at once. Again, or later, it does nothing: the first cause
--- stays. May be called from anywhere, a luv callback included.
---@param cause? any  of the contexts' end
function Shutdown:stop(cause)
  if self._phase then
    return
  end
  self._phase = "readiness"
  self._forget()
  if cause == nil then
    cause = errors.new("shutdown")
  end
  ctx.go(function()
    self._report = phases.run(self, cause)
    self._phase = "over"
    if self._deafen then
      self._deafen()
    end
    while self._over:wake() do end
  end)
end

--- Waits for the end of the last phase: the report; or nil and an error, when c is done before.
--- Does not begin anything. Once it is over, it answers at once and always the same.
---@param c? ctx.Context
---@return ctx.Shutdown.Report? report
---@return any? err
function Shutdown:wait(c)
  if c ~= nil and core.kind(c) ~= "context" then
    error(("bad argument #1 to 'wait' (c: a context expected, got %s)"):format(kind(c)), 2)
  end
  while not self._report do
    local _, err = self._over:wait(c, "shutdown:wait")
    if err ~= nil then
      return nil, err
    end
  end
  return self._report
end

--- What main ends with: waits for the beginning, by a signal or otherwise, and for all phases.
---@return ctx.Shutdown.Report
function Shutdown:run()
  local report = self:wait()
  return report
end

--- Leaving the scope begins it, with an error as the cause, and waits for its end.
function metatable:__close(err)
  self:stop(err)
  self:wait()
end

function metatable:__tostring()
  return ("ctx.shutdown (%s): %d worker(s)"):format(self._phase or "serving", self._working)
end

return shutdown
