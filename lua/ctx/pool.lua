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
local ctx = require "ctx"
local errors = require "ctx.errors"
local line = require "ctx.line"
local report = require "ctx.report"
local semaphore = require "ctx.semaphore"

local DRAIN, CLOSE = line.name("pool:drain"), line.name("pool:close")

local pool = {}

--- What submit answers once the pool takes no more items.
pool.closed = core.shared("ctx.pool").closed or errors.new("pool: closed") ---@type ctx.Error
core.shared("ctx.pool").closed = pool.closed

--- Failures beyond that many are counted, not kept: a stream has no end.
local KEPT = 100

---@class ctx.Pool
local Pool = {}
local metatable = { __name = "ctx.pool", __index = Pool }

local function check(ok, name, position, argument, expected, value)
  if not ok then
    local class = getmetatable(value)
    local got = type(value) == "number" and tostring(value)
      or type(class) == "table" and class.__name or type(value)
    error(("bad argument #%d to '%s' (%s: %s expected, got %s)")
      :format(position, name, argument, expected, got), 3)
  end
end

local function is_count(value, least)
  return math.type(value) == "integer" and value >= least
end

local function fault(options)
  if not is_count(options.workers, 1) then
    return "workers: a whole number of 1 or more expected, got " .. tostring(options.workers)
  elseif options.queue ~= nil and not is_count(options.queue, 0) then
    return "queue: a whole number of 0 or more expected, got " .. tostring(options.queue)
  elseif options.on_error ~= nil and type(options.on_error) ~= "function" then
    return "on_error: a function expected, got " .. type(options.on_error)
  end
  for name in pairs(options) do
    if name ~= "workers" and name ~= "queue" and name ~= "on_error" then
      return ("there is no option '%s'"):format(tostring(name))
    end
  end
end

---@class ctx.Pool.Options
---@field workers integer   items that are worked on at a time
---@field queue? integer    items that may wait for a worker: 0
---@field on_error? fun(err: any, item: any, traceback?: string)  instead of the list of errors

--- A pool that calls fn(c, item) for each item, with a context below c.
---
--- An item fails when fn raises, or returns nil or false and an error. That ends neither the worker
--- nor the pool: the failure goes to on_error, or else into p:errors(), and the next item comes.
---@param c ctx.Context
---@param options ctx.Pool.Options
---@param fn fun(c: ctx.Context, item: any): any, any
---@return ctx.Pool
function pool.new(c, options, fn)
  check(core.kind(c) == "context", "new", 1, "c", "a context", c)
  check(type(options) == "table", "new", 2, "options", "a table", options)
  check(type(fn) == "function", "new", 3, "fn", "a function", fn)
  local wrong = fault(options)
  if wrong then
    error("bad argument #2 to 'new' (options: " .. wrong .. ")", 2)
  end
  local self = setmetatable({
    _workers = options.workers,
    _places = semaphore.new(options.workers + (options.queue or 0)),
    _on_error = options.on_error,
    _fn = fn,
    _active = 0, -- workers that are there
    _taken = 0,  -- items that were taken, and are not done with
    _items = {}, _first = 1, _last = 0,
    _drainers = line.gate(),
    _errors = {}, _failed = 0, _done = 0,
    _dropped = {},
  }, metatable)
  self._c, self._cancel = ctx.with_cancel(c)
  self._open, self._close = ctx.with_cancel(self._c) -- done: no more items
  return self
end

-- -- Workers ------------------------------------------------------------------------------------

local function with_traceback(err)
  return { err = err, traceback = debug.traceback(nil, 2) }
end

--- Errors of on_error are nobody's; they must not end a worker.
local function failed(self, item, err, traceback)
  self._failed = self._failed + 1
  if self._on_error then
    local ok, raised = xpcall(self._on_error, debug.traceback, err, item, traceback)
    if not ok then
      report.send("pool: on_error failed: " .. report.describe(raised), "pool")
    end
  elseif #self._errors < KEPT then
    table.insert(self._errors, { item = item, err = err, traceback = traceback })
  end
end

local function process(self, item)
  local ok, value, err = xpcall(self._fn, with_traceback, self._c, item)
  if not ok then
    failed(self, item, value.err, value.traceback)
  elseif not value and err ~= nil then
    failed(self, item, err)
  else
    self._done = self._done + 1
  end
end

local function leave(self)
  self._taken = self._taken - 1
  self._places:release()
  if self._taken == 0 then
    self._drainers:open()
  end
end

local function next_item(self)
  if self._first > self._last then
    return nil
  end
  local item = self._items[self._first]
  self._items[self._first] = nil
  self._first = self._first + 1
  return item
end

--- Items that no worker took before the end are handed back by p:dropped().
local function drop_rest(self)
  local item = next_item(self)
  while item ~= nil do
    table.insert(self._dropped, item)
    leave(self)
    item = next_item(self)
  end
end

--- However a worker ends, also when somebody closes its coroutine, another takes its place.
local Leaving = {}
Leaving.__index = Leaving

local work

function Leaving:__close()
  local p = self.pool
  if self.busy then
    leave(p)
  end
  p._active = p._active - 1
  if p._c:done() then
    drop_rest(p)
  elseif p._first <= p._last then
    p._active = p._active + 1
    ctx.go(work, p, next_item(p))
  end
end

function work(self, item)
  local leaving <close> = setmetatable({ pool = self }, Leaving)
  while item ~= nil and not self._c:done() do
    leaving.busy = true
    process(self, item)
    leaving.busy = false
    leave(self)
    item = next_item(self)
  end
  if item ~= nil then
    table.insert(self._dropped, item)
    leave(self)
  end
end

--- Brings an item, which has a place already, to a worker or into the queue.
local function enter(self, item)
  self._taken = self._taken + 1
  if self._active < self._workers then
    self._active = self._active + 1
    ctx.go(work, self, item)
  else
    self._last = self._last + 1
    self._items[self._last] = item
  end
end

-- -- Items in -------------------------------------------------------------------------------------

--- Why no item is taken any more; or nil.
local function refusal(self)
  if self._c:done() then
    return self._open:cause() == pool.closed and pool.closed
      or errors.ended(self._c:err(), self._c:cause())
  end
  return self._open:done() and pool.closed or nil
end

--- Waits for a place, as long as c lives and the pool is open.
local function wait_for_place(self, c)
  core.check_wait(c, "pool:submit")
  local either, cancel <close> = ctx.any(c, self._open)
  local ok, err = self._places:acquire(either)
  if not ok then
    return nil, not c:done() and refusal(self) or err
  end
  return true
end

--- Hands over an item, and waits for a place when all are taken: true; or nil and an error, and the
--- item was not taken: c is done, or the pool is (pool.closed after drain).
---@param c ctx.Context
---@param item any  not nil
---@return true? ok
---@return any? err
function Pool:submit(c, item)
  check(core.kind(c) == "context", "submit", 1, "c", "a context", c)
  check(item ~= nil, "submit", 2, "item", "a value", item)
  local err = c:done() and errors.ended(c:err(), c:cause()) or refusal(self)
  if err then
    return nil, err
  end
  if not self._places:try_acquire() then
    local ok
    ok, err = wait_for_place(self, c)
    if not ok then
      return nil, err
    end
  end
  enter(self, item)
  return true
end

--- Hands over an item if there is a place for it at once, and nobody waits for that.
---@param item any  not nil
---@return boolean taken
function Pool:try_submit(item)
  check(item ~= nil, "try_submit", 1, "item", "a value", item)
  if refusal(self) or not self._places:try_acquire() then
    return false
  end
  enter(self, item)
  return true
end

-- -- The end --------------------------------------------------------------------------------------

--- Takes no more items, and waits until all that were taken are done with: true; or nil and an
--- error when c is done before, and the work goes on. Those who wait in submit are turned away.
--- Again, it waits again.
---@param c? ctx.Context
---@return true? ok
---@return any? err
function Pool:drain(c)
  check(c == nil or core.kind(c) == "context", "drain", 1, "c", "a context", c)
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

--- Ends the context of all workers, and takes no more. Queued items are not begun: see dropped().
---@param cause? any
function Pool:cancel(cause)
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

--- The first failures, at most 100: { item =, err =, traceback = }; and how many there were.
---@return table[] failures
---@return integer count
function Pool:errors()
  return self._errors, self._failed
end

--- The items that were taken, and never begun, since the pool was cancelled before.
---@return any[]
function Pool:dropped()
  return self._dropped
end

--- How it stands: items worked on, queued, done without failure, failed.
---@return { working: integer, queued: integer, done: integer, failed: integer }
function Pool:stats()
  return {
    working = self._active, queued = self._last - self._first + 1, done = self._done,
    failed = self._failed,
  }
end

function metatable:__tostring()
  local stats = self:stats()
  return ("ctx.pool: %d of %d working, %d queued"):format(stats.working, self._workers,
    stats.queued)
end

return pool
