-- SPDX-License-Identifier: MIT
--- Tests without sleeps: a clock that is moved by hand, and a check that nothing is left behind.
---
---     it("gives up after its budget", function()
---       testing.run(function(root, clock)
---         local c, cancel <close> = ctx.with_timeout(root, 500)
---         assert.is_nil(ctx.sleep(c, 60000))     -- takes no real time
---         assert.equal(500, clock:elapsed())
---       end)
---     end)
---
--- When every task is parked, time jumps to the next deadline or to the end of the next sleep. It
--- does not while luv may still bring something from outside (ctx.testing.still): then the real
--- loop turns until that comes. When nothing can happen any more, the run fails and shows every
--- stack.
---
--- A run always ends, once its function has: tasks that are left get a bounded time, are listed as
--- leaks, and are given up, so that the next test begins as this one did.
local clocks = require "ctx.testing.clock"
local core = require "ctx.core"
local errors = require "ctx.errors"
local leaks = require "ctx.testing.leaks"
local loop = require "ctx.loop"
local report = require "ctx.report"
local still = require "ctx.testing.still"
local want = require "ctx.want"

---@class ctx.testing
local testing = { clock = clocks.new, snapshot = leaks.snapshot }

local GRACE = 10000   -- ms of the hand-moved clock
local PATIENCE = 2000 -- ms of real time in which no task ends
local ROUNDS = 20     -- of tasks that others start as they are collected or given up

-- -- One run -------------------------------------------------------------------------------------

---@class ctx.testing.Run
---@field name string
---@field clock ctx.testing.Clock
---@field grace number      ms that the clock may move on after the end
---@field patience number   ms of real time
---@field debugging boolean  before
---@field previous function|false  the reporter before
---@field snapshot ctx.testing.Snapshot
---@field task ctx.Task
---@field failed table?     with what fn raised
---@field trace string?
---@field stuck string?     every stack, if all tasks were asleep
---@field restless boolean? tasks were left when their time was over
---@field leaks string?
local Run = { __name = "ctx.testing.Run" }
Run.__index = Run

--- Runs fn as ctx.run does, until it is over.
function Run:drive(fn)
  local root, cancel = core.with_cancel(core.background())
  root:name("testing.run")
  core.count_young()
  self.task = core.go(fn, root, self.clock)
  if core.drive(self.task) then
    cancel()
    if self.task:status() == "failed" then
      self.failed, self.trace = table.pack(select(2, self.task:wait())), self.task:traceback() or ""
    end
  else
    self.stuck = ("%s: all tasks are asleep, and nothing can wake them\n%s"):format(self.name,
      report.asleep())
    cancel(self.stuck)
  end
end

--- Gives the tasks that are left their bounded time; and those that finalizers start.
function Run:wait()
  local began = core.now()
  still.start()
  for round = 1, ROUNDS do
    self.restless = not core.drive_young(self.grace - (core.now() - began), self.patience)
    if self.restless or round == ROUNDS then
      return
    end
    local serial = core.serial()
    -- Twice: what a finalizer lets go of in the first round is collected in the second.
    collectgarbage()
    collectgarbage()
    if core.serial() == serial then
      return
    end
  end
end

--- Gives requests to luv that nobody waits for, since their callers have left, their time to end.
function Run:wait_for_requests()
  local until_ns = loop.uv.hrtime() + self.patience * 1e6
  while self.snapshot:_has_requests() ~= false and loop.uv.hrtime() < until_ns do
    loop.uv.run("once") -- the pulse of ctx.testing.still ends it
  end
end

--- Ends what is left: nothing of it may run in the next test.
function Run:give_up()
  local err = errors.wrap(errors.canceled,
    self.stuck or self.name .. ": given up, since its test is over")
  report.told(err)
  local others = {}
  for _, task in ipairs(self.snapshot:_tasks()) do
    others[task.co] = task.kind == "coroutine" or nil
  end
  for _ = 1, ROUNDS do
    -- What their <close> variables start has not begun to run.
    if core.give_up(self.snapshot._since, err, others) then
      break
    end
  end
  core.tell_failures() -- none of these, and now: not in the next test
  self.snapshot:_leave()
end

--- From here on lost cancels are collected, not printed; until the run is closed.
function Run:begin(real)
  self.debugging = core.debug(true)
  self.snapshot = leaks.snapshot()
  self.snapshot._in_run = true
  self.previous = report.set(function(message, kind)
    if kind ~= "lost_cancel" then
      self.previous(message, kind)
    end
  end)
  still.begin(self.name)
  self.clock = real and clocks.real() or clocks.new()
end

--- Puts everything back.
function Run:__close()
  still.begin(nil)
  still.stop()
  if self.clock then
    self.clock:close()
  end
  if self.previous then
    report.set(self.previous)
  end
  core.debug(self.debugging)
end

--- All of it. Raises only without memory.
function Run:whole(fn)
  self:drive(fn)
  self:wait()
  if not self.restless then
    self:wait_for_requests()
  end
  core.tell_failures()
  self.leaks = self.snapshot:_told(self.name, self.restless)
end

--- The error of the test with its traceback, and the leaks beside it.
function Run:raise()
  local err, trace = self.failed[1], self.trace
  if type(err) == "string" then
    error(err .. "\n" .. trace .. (self.leaks and "\n" .. self.leaks or ""), 0)
  end
  -- An object goes on as it is.
  report.send("testing.run: " .. report.full(err, trace), "testing")
  if self.leaks then
    report.send("testing.run: " .. self.leaks, "testing")
  end
  error(err, 0)
end

--- What the run comes to: what fn returned, or an error.
function Run:conclude()
  if self.stuck then
    error(self.stuck, 0)
  elseif self.failed then
    self:raise()
  elseif self.leaks then
    error(self.leaks, 0)
  end
  return self.task:wait()
end

-- -- testing.run ----------------------------------------------------------------------------------

local OPTIONS = { name = want.text, real = want.flag, grace = want.duration,
  patience = want.duration }

---@class ctx.testing.Options
---@field name? string   how leaks call the spec; by default where the function stands
---@field real? boolean  keep the real clock
---@field grace? number  ms that the hand-moved clock may move on after the function: 10 000
---@field patience? number  ms of real time to wait then for the next task to end: 2000

--- Runs fn(root, clock) as ctx.run does, under a hand-moved clock, with ctx.debug on; then checks
--- that no task, context or luv handle is left. Raises fn's error, "all tasks are asleep", or the
--- list of what leaked.
---@param fn fun(root: ctx.Context, clock: ctx.testing.Clock): ...
---@param options? ctx.testing.Options
---@return any ...  what fn returned
function testing.run(fn, options)
  want.fn(fn, "run", 1)
  options = want.options(options or {}, "run", 2, OPTIONS)
  if not select(2, coroutine.running()) or not core.may_drive() then
    error("testing.run: this is within a task or a callback; start a task with ctx.go", 2)
  end
  local run = setmetatable({
    name = options.name or errors.place(fn), debugging = core.debug(), previous = false,
    grace = options.grace or GRACE, patience = options.patience or PATIENCE,
  }, Run)
  do
    local _ <close> = run
    run:begin(options.real)
    local whole, err = pcall(run.whole, run, fn)
    run:give_up()
    -- Handles that are being closed need one more turn.
    loop.uv.run("nowait")
    if not whole then
      error(err, 0)
    end
  end
  return run:conclude()
end

return testing
