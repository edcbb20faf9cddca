-- SPDX-License-Identifier: MIT
--- libuv's few threads, which files, lookups and work share.
---
--- What runs on a thread cannot be stopped. When its caller leaves, since its context has ended, it
--- goes on, and holds the thread until it is over: for ever, if it opens a FIFO that nobody writes
--- or asks a dead NFS. So everything that takes a thread begins here, under one guard: once all
--- threads have been held for a while by operations whose callers have left, others fail at once,
--- also those that wait for a thread, with an error of code EAGAIN; a report says so once. When one
--- of them ends after all, the rest goes on as before.
local core = require "ctx.core"
local host = require "ctx.uv.host"
local loop = require "ctx.loop"
local report = require "ctx.report"
local roster = require "ctx.roster"
local semaphore = require "ctx.semaphore"

local uv = host.uv

local threads = {}

--- How many there are.
threads.COUNT = math.max(1, math.tointeger(tonumber(os.getenv("UV_THREADPOOL_SIZE"))) or 4)

--- What refused operations say, in luv's words.
local TAKEN = "EAGAIN: all threads are taken by operations that were given up and still run"

-- Real time that they may be held before others are refused. Of what is given up most ends soon.
local PATIENCE_MS = 200

---@class ctx.uv.Job
---@field request userdata|false   luv's; false: it cannot be called back
---@field place integer|false      among the jobs
---@field left boolean             its caller has gone, and it runs on
---@field refused boolean          it never ran: it was called back, as no thread was free

-- The threads are the process's, so these are, too.
---@class ctx.uv.Threads
---@field jobs ctx.roster.Roster  of ctx.uv.Job, that have begun, and whose callers wait
---@field left integer       others that have begun
---@field taken boolean      all threads have been held by those for a while
---@field timer userdata?    tells when that is so
---@field permits table<string, ctx.semaphore.Semaphore>
local shared = core.shared("ctx.uv.threads") ---@type ctx.uv.Threads
shared.jobs = shared.jobs or roster.new()
shared.left = shared.left or 0
shared.taken = shared.taken or false
shared.permits = shared.permits or {}

--- Whether an operation that begins now would get none.
---@return boolean
function threads.are_taken()
  return shared.taken
end

-- -- The guard ------------------------------------------------------------------------------------

local function stop_timer()
  if shared.timer then
    host.close(shared.timer)
    shared.timer = nil
  end
end

--- Refuses what comes, and calls back what waits for a thread and will not get one.
local function refuse_others()
  stop_timer()
  if shared.left < threads.COUNT then
    return
  end
  shared.taken = true
  for _, job in ipairs(shared.jobs) do
    if job.request and not job.refused then
      job.refused = uv.cancel(job.request) ~= nil
    end
  end
  report.send(("ctx.uv: all %d threads are taken by operations that were given up and still run; "
    .. "until one ends, files, lookups and work fail with EAGAIN"):format(threads.COUNT), "uv")
end

--- An operation without a caller has begun to hold a thread, or has ended.
local function count(more)
  shared.left = shared.left + more
  if shared.left < threads.COUNT then
    shared.taken = false
    stop_timer()
  elseif not shared.taken and (not shared.timer or shared.timer:is_closing()) then
    local scope <close> = host.owned()
    local timer = assert(uv.new_timer())
    scope.handle, loop.standing[timer] = timer, true -- a test has not opened it
    uv.update_time()
    timer:start(PATIENCE_MS, 0, host.guarded(refuse_others))
    timer:unref()
    shared.timer = timer -- only now: before, it would pass for one that runs
    scope.handle = false
  end
end

-- -- Jobs -----------------------------------------------------------------------------------------

--- It has ended, on its thread or in the queue.
local function finish(job)
  shared.jobs:remove(job)
  if job.left then
    job.left = false
    count(-1)
  end
end

local Job = {
  -- The last resort, when luv had no memory to call back: only that held the job. At the end of the
  -- state, too, so it touches no handle.
  __gc = function(job)
    if job.left then
      shared.left = shared.left - 1
      shared.taken = shared.taken and shared.left >= threads.COUNT
    end
  end,
  -- It could not be begun.
  __close = function(job, err)
    if err ~= nil then
      finish(job)
    end
  end,
}

--- Its caller leaves: takes it from libuv's queue, or counts its thread as held.
local function leave(job)
  if not job.place or job.request and uv.cancel(job.request) then
    return
  end
  shared.jobs:remove(job)
  job.left = true
  count(1)
end

--- A job that is about to begin.
local function new_job()
  local job = setmetatable({ request = false, place = false, left = false, refused = false }, Job)
  shared.jobs:add(job)
  return job
end

---@class ctx.uv.Operation
---@field free? fun(...)        gets what comes too late, as that of ctx.await
---@field certain? boolean      it is done, also when its caller has left before it began
---@field caller? ctx.Context   its end is that of the caller, though c goes on

--- Waits for an operation on a thread. start(callback) begins it, and answers as luv does: with the
--- request; or true, for what cannot be called back.
---@async
---@param c ctx.Context
---@param start fun(callback: fun(...)): any, string?
---@param operation? ctx.uv.Operation
---@return boolean|nil ok  true and the results; false and luv's words; nil and an error of c
---@return any ...
function threads.await(c, start, operation)
  if shared.taken and not c:err() then
    return core.refused(false, TAKEN)
  end
  local caller = operation and operation.caller
  return core.await(c, function(resolve)
    -- All that needs memory comes before it begins: libuv goes on with it, whatever becomes of us.
    local job <close> = new_job()
    local function abort()
      leave(job)
    end
    if caller then
      core.after_func(caller, abort)
    end
    local request, refused = start(host.guarded(function(said, ...)
      finish(job)
      if said then
        resolve(false, job.refused and TAKEN or said)
      else
        resolve(true, ...)
      end
    end))
    if not request then
      finish(job)
      return resolve(false, refused)
    end
    local is_certain = operation and operation.certain
    job.request = not is_certain and type(request) == "userdata" and request
    return abort
  end, operation and operation.free)
end

-- -- Permits --------------------------------------------------------------------------------------

--- A permit to use a thread for one kind of operation. It belongs to the caller, and goes back when
--- that leaves its scope, until the operation runs: then it goes back with that.
---@class ctx.uv.Permit
---@field running boolean
---@field _of ctx.semaphore.Semaphore
---@field _held boolean
local Permit = { __name = "ctx.uv.Permit" }
Permit.__index = Permit

function Permit:release()
  if self._held then
    self._held = false
    self._of:release()
  end
end

-- The last resort: there was no memory to leave a scope, or for luv to call back. So it must be a
-- metatable with this before the first permit is made.
Permit.__gc = Permit.release

Permit.__close = function(self)
  if not self.running then
    self:release()
  end
end

--- Waits for one of the `n` permits for operations of this kind.
---@async
---@param c ctx.Context
---@param kind string
---@param n integer
---@return ctx.uv.Permit|nil permit  a variable to close
---@return any? err  of the system, with a `code`; or that of c
function threads.permit(c, kind, n)
  local of = shared.permits[kind] or semaphore.new(n)
  shared.permits[kind] = of
  -- Made before it is taken: there may be no memory after.
  local permit = setmetatable({ running = false, _of = of, _held = false }, Permit)
  local held, err = of:acquire(c)
  if not held then
    return nil, err
  end
  permit._held = true
  return permit
end

return threads
