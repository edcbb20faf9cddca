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
local errors = require "ctx.errors"
local line = require "ctx.line"
local owner = require "ctx.owner"
local phases = require "ctx.shutdown.phases"
local roster = require "ctx.roster"
local signal = require "ctx.signal"
local want = require "ctx.want"
local workers = require "ctx.shutdown.workers"

local WAIT = line.name("shutdown:wait")

---@class ctx.shutdown
local shutdown = {}

---@class ctx.shutdown.Shutdown
---@field _softened_at number  when the workers were told to stop
local Shutdown = {}
local metatable = { __name = "ctx.shutdown.Shutdown", __index = Shutdown }

--- In ms. With no delay they come to less than the 30 s that Kubernetes gives a pod.
local TIMEOUTS = { __index = {
  readiness = 1000, stop = 1000, drain = 15000, cancel = 1000, wait = 5000, force = 1000,
} }
local HOOKS_OF = want.one_of("readiness", "stop", "drain", "cancel", "wait", "force")

local OPTIONS = {
  delay = want.duration, grace = want.duration, ready = want.flag,
  timeouts = want.options_of {
    readiness = want.duration, stop = want.duration, drain = want.duration,
    cancel = want.duration, wait = want.duration, force = want.duration,
  },
  signals = want.list(want.rule("the name of a signal that can be caught", function(name)
    name = signal.known(name)
    return name ~= nil, name
  end), "a list of names of signals"),
}

local BY_HAND = errors.new("shutdown") -- the cause, where none is given

-- -- Making one ---------------------------------------------------------------------------------

--- Ends the contexts and lets go of the signals: nothing here needs memory, and nothing happens
--- that has happened.
local function finish(self)
  local cause = self._beginning:cause()
  self._begin() -- done already; but the parent or a signal may have begun it, and not its cancel
  self._soften(cause)
  self._cancel(cause)
  self._phase = "over"
  if self._deafen then
    self._deafen()
  end
end

local function run(self)
  local _ <close> = owner.claim("the shutdown")
  local ok, report = pcall(phases.run, self, self._beginning:cause())
  finish(self)
  return ok and report or error(report, 0)
end

--- A coroutine that waits for the report. It is taken off when it is closed, too: its thread may
--- soon be another task's.
local Waiter = {}
Waiter.__close = function(waiter)
  waiter.shutdown._waiting[waiter.co] = nil
end

--- Begins the phases, unless they have begun, and waits for their end. Called by whichever comes
--- first: the after-func on the beginning, or a request for the report. So the workers hear of the
--- end though one of these was out of memory.
---@async
local function attend(self, c)
  local waiter <close> = setmetatable({ shutdown = self, co = coroutine.running() }, Waiter)
  self._waiting[waiter.co] = true
  self._runner = self._runner or core.go(run, self)
  local report, err = self._runner:wait(c)
  if self._runner:status() == "failed" then
    finish(self)
  end
  return report, err
end

--- Signals count from now on, not from run() on: one that comes while the server starts must not be
--- lost on it either. The second one kills.
local function arm(self, parent, signals)
  if #signals > 0 then
    local heard
    heard, self._deafen = signal.notify(core.background(), table.unpack(signals))
    self._beginning, self._begin = core.any(parent, heard)
  else
    self._beginning, self._begin = core.with_cancel(parent)
  end
  self._beginning:name("shutdown.beginning")
  core.after_func(self._beginning, function()
    local report, err = attend(self)
    if not report and not next(self._waiting) then
      error(err, 0) -- nobody else waits to hear of it
    end
  end)
end

---@alias ctx.shutdown.Name "readiness"|"delay"|"stop"|"drain"|"cancel"|"wait"|"force"

---@class ctx.shutdown.Options
---@field delay? number   ms between readiness off and the end of accepting: 0
---@field grace? number   ms that workers have from the soft cancel to the hard one: 0
---@field timeouts? table<ctx.shutdown.Name, number>  ms by phase
---@field signals? string[]  that begin it: { "sigint", "sigterm" }; may be empty
---@field ready? boolean  whether it is ready from the start: true

--- Prepares a shutdown. It begins when a signal comes, when parent is done, or by stop().
--- Contexts of workers and hooks have parent's values, and do not end with it: that is for the
--- phases to say.
---@param parent ctx.Context
---@param options? ctx.shutdown.Options
---@return ctx.shutdown.Shutdown s  to be closed
function shutdown.new(parent, options)
  want.context(parent, "new", 1, "parent")
  options = want.options(options, "new", 2, OPTIONS)
  local self = setmetatable({
    _base = core.without_cancel(parent),
    _delay = options.delay or 0,
    _grace = options.grace or 0,
    _timeouts = setmetatable(options.timeouts or {}, TIMEOUTS),
    _ready = options.ready ~= false,
    _hooks = {},
    _workers = roster.new(),
    _failed = {},
    _waiting = {}, -- the coroutines that wait for the report
    _silence = line.gate(), -- where they wait for the beginning; nobody ever opens it
  }, metatable)
  self._root, self._cancel = core.with_cancel(self._base)
  self._stopping, self._soften = core.with_cancel(self._root)
  self._root:name("shutdown")
  self._stopping:name("shutdown.stopping")
  local ok, err = pcall(arm, self, parent, options.signals or { "sigint", "sigterm" })
  if not ok then -- no memory: signals must not go where nobody hears them
    if self._deafen then
      self._deafen()
    end
    error(err, 0)
  end
  return self
end

-- -- Before the end -----------------------------------------------------------------------------

--- Returns the context of the workers, which is cancelled after the drain: the hard cancel.
---@return ctx.Context c
function Shutdown:context()
  want.self(self, metatable, "context")
  return self._root
end

--- Returns the context that is done when nothing new should be taken on, before the drain and the
--- grace: the soft cancel.
---@return ctx.Context c
function Shutdown:stopping()
  want.self(self, metatable, "stopping")
  return self._stopping
end

--- Returns what a readiness probe should answer. It is false for good once the shutdown has begun.
---@return boolean ready
function Shutdown:ready()
  want.self(self, metatable, "ready")
  return self._ready and not self._beginning:done()
end

--- Tells whether the server is ready, for servers that are not ready from the start.
---@param ready boolean
function Shutdown:set_ready(ready)
  want.self(self, metatable, "set_ready")
  self._ready = want.flag(ready, "set_ready", 1, "ready")
end

--- Returns the current phase: nil before the first, "over" after the last.
---@return ctx.shutdown.Name|"over"|nil phase
function Shutdown:phase()
  want.self(self, metatable, "phase")
  return self._phase or self._beginning:done() and "readiness" or nil
end

--- Adds a hook: fn(c) runs in the phase, beside the others of that phase, and should end with c,
--- whose deadline is the phase's. It fails by raising, or by returning nil or false and an error.
---@param phase ctx.shutdown.Name  not "delay"
---@param name string   what the report calls it
---@param fn fun(c: ctx.Context): any, any
function Shutdown:on(phase, name, fn)
  want.self(self, metatable, "on")
  HOOKS_OF(phase, "on", 1, "phase")
  want.string(name, "on", 2, "name")
  want.fn(fn, "on", 3)
  if self:phase() then
    error("on: the shutdown has begun, a new hook may come too late", 2)
  end
  local hooks = self._hooks[phase] or {}
  self._hooks[phase] = hooks
  hooks[#hooks + 1] = { name = name, fn = fn }
end

--- Starts a worker that the shutdown waits for: fn(c, …) as a task, with c = s:context(). From the
--- soft cancel on it starts none, and returns nil and the reason.
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return ctx.Task? task
---@return any? err  from the soft cancel on
function Shutdown:go(fn, ...)
  want.self(self, metatable, "go")
  want.fn(fn, "go", 1)
  if self._stopping:done() then
    return nil, self._stopping:ended()
  end
  local task = workers.start(self, fn, ...)
  return task
end

-- -- The end --------------------------------------------------------------------------------------

--- Begins the shutdown, and returns at once. Once it has begun, this does nothing, and the first
--- cause stays. May be called from anywhere, a luv callback included.
---@param cause? any  why the contexts end
function Shutdown:stop(cause)
  want.self(self, metatable, "stop")
  if cause == nil then
    cause = BY_HAND
  end
  self._begin(cause)
end

--- Waits until it begins, or c is done; the error, if that comes first.
local function wait_for_beginning(self, c)
  local either, cancel <close> = core.any(c, self._beginning)
  local _, err = self._silence:wait(either, WAIT)
  return not self._beginning:done() and err or nil
end

--- Waits for the end of the last phase, and returns the report; it does not begin the shutdown. The
--- result is nil and an error when c ends first, or when there is no memory for a report. Once the
--- shutdown is over, each call returns the same at once.
---@async
---@param c? ctx.Context
---@return ctx.shutdown.Report? report
---@return any? err  when c ended first, or there was no memory for a report
function Shutdown:wait(c)
  want.self(self, metatable, "wait")
  if c ~= nil then
    want.context(c, "wait")
  end
  local err = wait_for_beginning(self, c or core.background())
  if err ~= nil then
    return nil, err
  end
  return attend(self, c)
end

--- Waits for the beginning, by a signal or otherwise, and for all phases: the end of a main
--- function.
---@async
---@return ctx.shutdown.Report? report
---@return any? err  there was no memory for a report
function Shutdown:run()
  want.self(self, metatable, "run")
  local report, err = self:wait()
  return report, err
end

--- Leaving the scope begins it, with an error as the cause, and waits for its end.
function metatable:__close(cause)
  self:stop(cause)
  local report, err = self:wait()
  if not report then
    error(err, 0)
  end
end

function metatable:__tostring()
  return ("ctx.shutdown.Shutdown (%s, %d workers)"):format(self:phase() or "serving",
    self._workers.size)
end

return shutdown
