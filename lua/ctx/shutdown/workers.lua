-- SPDX-License-Identifier: MIT
--- The workers of a shutdown: the tasks that it waits for, and closes when force comes.
local core = require "ctx.core"
local errors = require "ctx.errors"
local owner = require "ctx.owner"

local workers = {}

---@class ctx.shutdown.Worker
---@field shutdown ctx.shutdown.Shutdown
---@field place integer|false  in the roster
---@field name string          where its function stands
---@field task ctx.Task|false
---@field co thread|false      while it runs
---@field returned boolean
---@field below ctx.shutdown.Worker|false  in the pile of those that force has closed
local Worker = { __name = "ctx.shutdown.Worker" }
Worker.__index = Worker

--- Removes the worker when it has returned or raised. If neither (closed, or raised nil), the
--- task's status tells.
function Worker:__close(err)
  local s = self.shutdown
  self.co = false
  if self.returned or err ~= nil then
    s._workers:remove(self)
  end
  if err ~= nil then
    table.insert(s._failed, { name = self.name, err = err })
  end
end

local function returned(worker, ...)
  worker.returned = true
  return ...
end

local function work(worker, fn, ...)
  local _ <close> = worker
  local _ <close> = owner.claim("the worker " .. worker.name)
  worker.co = coroutine.running()
  return returned(worker, fn(worker.shutdown._root, ...))
end

--- Starts fn(root, …) as a worker.
---@param s ctx.shutdown.Shutdown
---@param fn function
---@param ... any
---@return ctx.Task
function workers.start(s, fn, ...)
  local worker = setmetatable({
    shutdown = s, name = errors.place(fn), place = false, task = false, co = false,
    returned = false, below = false,
  }, Worker)
  -- From here on, and not from its first turn, which may be after the last look at the workers.
  s._workers:add(worker)
  local ok, task = pcall(core.go, work, worker, fn, ...)
  if not ok then -- no memory
    s._workers:remove(worker)
    error(task, 0)
  end
  worker.task = task
  return task
end

--- Waits for the task as long as c lives. Once c is over it is not asked again, for each of a crowd
--- of tasks.
---@async
---@param task ctx.Task
---@param c ctx.Context
function workers.outlast(task, c)
  local status = task:status()
  if not c:done() or status == "done" or status == "failed" then
    task:wait(c)
  end
end

--- Each leaves the list when its task has ended; after the soft cancel none is added. A worker that
--- could not begin, or raised nil, is still there.
---@async
---@param s ctx.shutdown.Shutdown
---@param c ctx.Context
---@return boolean over
function workers.wait(s, c)
  local list = s._workers
  for _, worker in ipairs(table.move(list, 1, #list, 1, {})) do
    workers.outlast(worker.task, c)
    if worker.task:status() == "failed" and list:remove(worker) then
      table.insert(s._failed, { name = worker.name, err = select(2, worker.task:wait()) })
    end
  end
  return #list == 0
end

--- Closes those that are left. Closing a coroutine runs its <close> variables; none of them can
--- wait any more. The list of tasks is asked for since that lets the scheduler find out.
---@param s ctx.shutdown.Shutdown
function workers.force(s)
  local list, closed = s._workers, false
  for i = #list, 1, -1 do
    local worker = list[i]
    if worker and worker.co and coroutine.status(worker.co) == "suspended" then
      worker.below, closed = closed, worker
      list:remove(worker)
      coroutine.close(worker.co)
    end
  end
  core.tasks()
  while closed do
    closed.task:wait() -- the report tells of it: it is not an error that nobody heard of
    closed = closed.below
  end
end

return workers
