-- SPDX-License-Identifier: MIT
--- Waits until a number of tasks have ended, however each one ends: for work whose outcomes are
--- independent of one another.
---
---     local wg = waitgroup.new()
---     for _, sink in ipairs(sinks) do
---       wg:go(deliver, c, sink, event)
---     end
---     local ok, err = wg:wait(c)
local core = require "ctx.core"
local line = require "ctx.line"
local want = require "ctx.want"

---@class ctx.waitgroup
local waitgroup = {}

---@class ctx.waitgroup.WaitGroup
---@field _count integer    of what is not done
---@field _leaving integer  waits that are over and have not returned yet
---@field _waiters ctx.line.Line
local WaitGroup = {}
local metatable = { __name = "ctx.waitgroup.WaitGroup", __index = WaitGroup }

local WAIT = line.name("waitgroup:wait")
local N = want.whole()

--- Makes a wait group, which has nothing to wait for at first.
---@return ctx.waitgroup.WaitGroup wg
function waitgroup.new()
  return setmetatable({ _count = 0, _leaving = 0, _waiters = line.new() }, metatable)
end

--- Raises, as the method of this name and at this level of the stack, if `n` more cannot be
--- counted.
local function check(self, n, name, level)
  if self._count + n < 0 then
    error(("waitgroup:%s: the counter would be negative (%d%+d): more done than added")
      :format(name, self._count, n), level)
  elseif n > 0 and self._count == 0 and self._leaving > 0 then
    -- Go's "reused before previous Wait has returned": those were told that all is done, and what
    -- comes now would make that a lie. Go's other case, adding from zero while somebody waits, is
    -- the same one here, since at zero every wait is over at once.
    error(("waitgroup:%s: added to, from zero, before a wait that is over has returned; add before"
      .. " the wait, or use a new group"):format(name), level)
  end
end

--- At zero every wait is over. They return later; until then they are counted.
local function count(self, n)
  self._count = self._count + n
  while self._count == 0 and line.grant(self._waiters) do
    self._leaving = self._leaving + 1
  end
end

--- Counts n more things that must be done (fewer, if n is negative). Add before you start the task,
--- not in it; better, use go. Raises when the counter would be negative, and when the last wait is
--- over but has not returned.
---@param n? integer  1
function WaitGroup:add(n)
  want.self(self, metatable, "add")
  n = N(n == nil and 1 or n, "add", 1)
  check(self, n, "add", 3)
  count(self, n)
end

--- Counts one thing as done. Raises when none is left.
function WaitGroup:done()
  want.self(self, metatable, "done")
  check(self, -1, "done", 3)
  count(self, -1)
end

--- What a task closes when it ends, however it ends. One that called done as well is one too many,
--- and fails.
local counted = {
  __close = function(task)
    check(task.group, -1, "go", 0)
    count(task.group, -1)
  end,
}

local function run(task, fn, ...)
  local scope <close> = task
  return fn(...)
end

--- Starts a task and counts it until it ends, on whatever path. Its error is reported as one of
--- ctx.go's, unless somebody waits for the task.
---@param fn fun(...): ...
---@param ... any
---@return ctx.Task task
function WaitGroup:go(fn, ...)
  want.self(self, metatable, "go")
  want.fn(fn, "go", 1)
  check(self, 1, "go", 3)
  -- The task runs later, so it is counted in time, and not at all if it could not be started.
  local task = core.go(run, setmetatable({ group = self }, counted), fn, ...)
  self._count = self._count + 1
  return task
end

local function left(self)
  self._leaving = self._leaving - 1
end

--- Waits until everything is done, or c ends. When both happen in one turn, everything is done.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err  when c ended first
function WaitGroup:wait(c)
  want.self(self, metatable, "wait")
  local err
  if c ~= nil then
    want.context(c, "wait")
    err = c:ended()
  end
  if err ~= nil or self._count == 0 then
    return err == nil or nil, err
  end
  local waiter <close> = line.waiter(c, left, self)
  if self._count == 0 then
    return true
  end
  waiter:join(self._waiters)
  err = select(2, waiter:wait(WAIT))
  -- What was waited for may have ended c as its last act.
  if err ~= nil and self._count > 0 then
    return nil, err
  end
  return true
end

return waitgroup
