-- SPDX-License-Identifier: MIT
--- A fixed number of workers for a stream of items that does not end by itself.
---
---     local p <close> = pool.new(c, { workers = 8, queue = 16 }, function(c, message)
---       return store(c, message)
---     end)
---     for message in messages do
---       local ok, err = p:submit(c, message)      -- waits for a place: the source slows down
---       if not ok then return nil, err end
---     end
---     p:drain(c)                                  -- no more in; waits for the rest
---
--- A worker is there only while it has something to do: a pool without items is no task, and
--- nothing that keeps a program alive.
local core = require "ctx.core"
local errors = require "ctx.errors"
local fifo = require "ctx.fifo"
local line = require "ctx.line"
local report = require "ctx.report"
local want = require "ctx.want"

local DRAIN, CLOSE = line.name("pool:drain"), line.name("pool:close")

---@class ctx.pool
---@field closed ctx.errors.Error  The error of `submit` after a drain.
local pool = {}

--- What submit answers once the pool has been drained.
pool.closed = core.shared("ctx.pool").closed or errors.new("pool: closed") ---@type ctx.errors.Error
core.shared("ctx.pool").closed = pool.closed

--- Failures beyond that many are counted, not kept: a stream has no end.
local KEPT = 100

---@class ctx.pool.Pool
local Pool = {}
local metatable = { __name = "ctx.pool.Pool", __index = Pool }

local OPTIONS = { workers = want.count, queue = want.whole(0), on_error = want.fn }

---@class ctx.pool.Options
---@field workers integer   items that are worked on at a time
---@field queue? integer    items that may wait for a worker: 0
---@field on_error? fun(err: any, item: any, traceback?: string)  instead of the list of errors

---@class ctx.pool.Failure
---@field item any
---@field err any
---@field traceback string?  where it raised

--- Makes a pool that calls fn(c, item) for each item, with a context below c.
---
--- An item fails when fn raises, or returns nil or false and an error. That ends neither the worker
--- nor the pool: the failure goes to on_error, or else into p:errors(), and the next item comes.
---@generic T
---@param c ctx.Context
---@param options ctx.pool.Options
---@param fn fun(c: ctx.Context, item: T): any, any
---@return ctx.pool.Pool p  to be closed
function pool.new(c, options, fn)
  want.context(c, "new")
  options = want.options(options, "new", 2, OPTIONS)
  want.count(options.workers, "new", 2, "options.workers")
  want.fn(fn, "new", 3)
  local queue = options.queue or 0
  local places = queue > math.maxinteger - options.workers and math.maxinteger
    or options.workers + queue
  local self = setmetatable({
    _workers = options.workers,
    _places = core.semaphore(places),
    _on_error = options.on_error,
    _fn = fn,
    _active = 0,   -- workers that are there
    _starting = 0, -- of these, those that have not taken an item yet: there is one queued for each
    _taken = 0,    -- items that were taken, and are not done with
    _items = fifo.new(), -- queued, those that a worker is about to take included
    _drainers = line.gate(),
    _errors = {}, _failed = 0, _done = 0,
    _dropped = {},
  }, metatable)
  self._c, self._cancel = core.with_cancel(c)
  self._open, self._close = core.with_cancel(self._c) -- done: no more items
  return self
end

-- -- Workers ------------------------------------------------------------------------------------

--- Counts an item, by what errors.call returned: what fn did, or its error and a traceback.
local function settle(self, item, returned, value, err)
  if returned and (value or err == nil) then
    self._done = self._done + 1
    return
  end
  self._failed = self._failed + 1
  local traceback
  if not returned then
    traceback = err and err .. report.place(self._fn, "the pool's function")
    err = value
  end
  if self._on_error then
    report.guard("pool", "on_error", self._on_error, err, item, traceback)
  elseif #self._errors < KEPT then
    table.insert(self._errors, { item = item, err = err, traceback = traceback })
  end
end

local function leave(self)
  self._taken = self._taken - 1
  self._places:release()
  if self._taken == 0 then
    self._drainers:open()
  end
end

--- Once the pool is cancelled, what no worker has begun is handed back by p:dropped().
local function drop_rest(self)
  local items = self._items
  while items.count > 0 do
    table.insert(self._dropped, fifo.peek(items)) -- here it may run out of memory
    fifo.pop(items)
    leave(self)
  end
end

--- However a worker ends, also when somebody closes its coroutine, another takes its place.
local Leaving = {}

local work

local function start(self)
  core.go(work, self)
  self._active, self._starting = self._active + 1, self._starting + 1
end

function Leaving:__close()
  local p = self.pool
  if self.busy then
    leave(p)
  end
  p._active = p._active - 1
  if p._c:done() then
    drop_rest(p)
  elseif p._items.count > p._starting then
    start(p)
  end
end

function work(self)
  local leaving <close> = setmetatable({ pool = self, busy = false }, Leaving)
  self._starting = self._starting - 1
  while not self._c:done() do
    local item = fifo.pop(self._items)
    if item == nil then
      return
    end
    leaving.busy = true
    settle(self, item, errors.call(self._fn, self._c, item))
    leaving.busy = false
    leave(self)
    if self._items.count > 0 then
      core.breathe() -- a function that never waits would keep the loop from turning
    end
  end
end

--- What enter does, if there is memory.
local function add(self, item)
  if self._active < self._workers then
    start(self) -- it runs later; without an item it ends
  end
  fifo.push(self._items, item)
  self._taken = self._taken + 1
end

--- Brings an item, which has a place already, into the queue, with a worker if one may come.
local function enter(self, item)
  local ok, err = pcall(add, self, item)
  if not ok then
    self._places:release()
    error(err, 0)
  end
end

-- -- Items in -------------------------------------------------------------------------------------

--- Why no item is taken any more; or nil. After a drain it is pool.closed, with the cause if the
--- pool was cancelled meanwhile.
local function refusal(self)
  if not self._open:done() then
    return nil
  elseif not rawequal(self._open:cause(), pool.closed) then
    return self._c:ended()
  end
  local cause = self._c:cause()
  return rawequal(cause, errors.canceled) and pool.closed or errors.ended(pool.closed, cause)
end

--- Waits for a place, as long as c lives and the pool is open; returns the error if there is none.
local function wait_for_place(self, c)
  core.check_wait(c, "pool:submit")
  local either, cancel <close> = core.any(c, self._open)
  local ok, err = self._places:acquire(either)
  if not ok then
    return not c:done() and refusal(self) or err
  end
end

--- Hands over an item, and waits for a place when all are taken. When c or the pool ends first, the
--- result is nil and an error, and the item was not taken: after a drain the error is pool.closed,
--- after a cancel it wraps the cause.
---@async
---@param c ctx.Context
---@param item any  not nil
---@return true? ok
---@return any? err  `pool.closed`, that of a cancel, or that of c
function Pool:submit(c, item)
  want.self(self, metatable, "submit")
  want.context(c, "submit")
  want.something(item, "submit", 2, "item")
  local err = c:ended() or refusal(self)
  if err then
    return core.refused(nil, err)
  elseif not self._places:try_acquire() then
    err = wait_for_place(self, c)
    if err then
      return nil, err
    end
  end
  enter(self, item)
  return true
end

--- Hands over an item if there is a place for it at once, and no other waits; returns whether it
--- did.
---@param item any  not nil
---@return boolean taken
function Pool:try_submit(item)
  want.self(self, metatable, "try_submit")
  want.something(item, "try_submit", 1, "item")
  if self._open:done() or not self._places:try_acquire() then
    return false
  end
  enter(self, item)
  return true
end

-- -- The end --------------------------------------------------------------------------------------

--- Takes no more items, and waits until all that were taken are done. When c ends first, the work
--- goes on. Tasks that wait in submit are turned away. Calling it again waits again.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err  that of c
function Pool:drain(c)
  want.self(self, metatable, "drain")
  if c ~= nil then
    want.context(c, "drain")
  end
  if self._taken > 0 then
    core.check_wait(c, "pool:drain")
  end
  self._close(pool.closed)
  while self._taken > 0 do
    local ok, err = self._drainers:wait(c, DRAIN)
    -- The last item may have ended c as its last act.
    if not ok and self._taken > 0 then
      return nil, err
    end
  end
  self:cancel() -- nothing needs it any more, and its parent may live long
  return true
end

--- Cancels the context of all workers, and takes no more items. Queued items are not begun: see
--- dropped().
---@param cause? any
function Pool:cancel(cause)
  want.self(self, metatable, "cancel")
  self._cancel(cause)
  self._close()
end

--- Leaving the scope cancels, with an error as the cause, and waits for the workers.
function metatable:__close(err)
  self:cancel(err)
  while self._taken > 0 do
    self._drainers:wait(nil, CLOSE)
  end
end

--- Returns the first failures, at most 100, and how many there were.
---@return ctx.pool.Failure[] failures
---@return integer count
function Pool:errors()
  want.self(self, metatable, "errors")
  return self._errors, self._failed
end

--- Returns the items that were taken and never begun, since the pool was cancelled. The list is
--- complete as soon as the pool's context is done.
---@return any[] items
function Pool:dropped()
  want.self(self, metatable, "dropped")
  if self._c:done() then -- of which no worker may have heard yet
    drop_rest(self)
  end
  return self._dropped
end

--- Returns the numbers of items that are worked on, queued, done without failure, and failed.
---@return { working: integer, queued: integer, done: integer, failed: integer } stats
function Pool:stats()
  want.self(self, metatable, "stats")
  return {
    working = self._active, queued = self._items.count - self._starting,
    done = self._done, failed = self._failed,
  }
end

function metatable:__tostring()
  local stats = self:stats()
  return ("ctx.pool.Pool (%d of %d working, %d queued)"):format(stats.working, self._workers,
    stats.queued)
end

return pool
