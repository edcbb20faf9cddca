-- SPDX-License-Identifier: MIT
--- What a handle brings by itself, connections, datagrams or changes, kept in order until a task
--- takes it. The task that waited longest is first; the handle keeps luv's loop alive while one
--- waits.
---
--- What comes wakes one waiter and stays here until that one runs: so it can neither be lost nor
--- overtaken when the waiter's context ends meanwhile, or its coroutine is closed. Then the turn
--- goes to the next.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local line = require "ctx.line"

---@class ctx.uv.Inbox
---@field count integer            what is here
---@field closed any               why nothing comes any more, for failure.closed; or false
---@field _items table<integer, any>  from _first on; `{ said = … }` is an error in luv's words
---@field _first integer
---@field _handle userdata
---@field _line ctx.line.Line      of the waiters
---@field _turns integer           waiters that were woken, and have not taken yet
---@field _drop fun(item: any)     for what nobody will take
local Inbox = { __name = "ctx.uv.Inbox" }
Inbox.__index = Inbox

local inbox = {}

local function nothing() end

---@param handle userdata
---@param drop? fun(item: any)
---@return ctx.uv.Inbox
function inbox.new(handle, drop)
  handle:unref()
  return setmetatable({
    count = 0, closed = false, _items = {}, _first = 1, _handle = handle,
    _line = line.new(handle), _turns = 0, _drop = drop or nothing,
  }, Inbox)
end

--- Gives the next waiter a turn.
local function call(self)
  local called = line.grant(self._line) ~= nil
  if called then
    self._turns = self._turns + 1
  end
  return called
end

--- Adds what has come, and wakes the first waiter.
---@param item any
---@param scope? { handle: userdata|false }  had it until now
---@return boolean called  somebody waited for it
function Inbox:give(item, scope)
  if self.closed then
    self._drop(item)
    return false
  end
  self._items[self._first + self.count] = item
  self.count = self.count + 1
  if scope then
    scope.handle = false
  end
  return call(self)
end

--- Lets the first waiter try itself to take in what there is.
function Inbox:wake()
  call(self)
end

---@return boolean
function Inbox:is_awaited()
  return self._line.first ~= false
end

--- What came last, and has not been taken.
function Inbox:last()
  return self._items[self._first + self.count - 1]
end

local function pop(self)
  local first = self._first
  local item = self._items[first]
  self._items[first] = nil
  self.count = self.count - 1
  self._first = self.count > 0 and first + 1 or 1
  return item
end

--- Takes the next item, if more are here than waiters have been woken; else nil.
---@return any? item
function Inbox:try_take()
  if self.count > self._turns then
    return pop(self)
  end
end

--- Takes the next item, also one for which a waiter has been woken: that one waits again.
---@return any? item
function Inbox:seize()
  if self.count > 0 then
    return pop(self)
  end
end

--- A waiter was woken and leaves with nothing.
local function pass_on(self)
  self._turns = self._turns - 1
  if self.count > self._turns then
    call(self)
  end
end

--- Waits for a turn: the item; nil when there was none.
local function wait(self, c, what)
  local waiter <close> = line.waiter(c, pass_on, self)
  local item = self:try_take() -- to make a waiter may have run finalizers
  if item ~= nil then
    return item
  end
  waiter:join(self._line)
  local taken, err = waiter:take(what, true)
  if taken then
    self._turns = self._turns - 1
    return self.count > 0 and pop(self) or nil
  end
  return nil, err
end

--- Takes the next that has come, or will.
---@async
---@param c ctx.Context
---@param name string   of the wait, from line.name
---@param what string   for the errors
---@param begin? fun(owner: any): any, string?  called before a wait; answers as luv does
---@param owner? any
---@return any? item
---@return any? err  of the system, with a `code`; or that of c
function Inbox:take(c, name, what, begin, owner)
  local item, err = nil, c:ended()
  while item == nil and err == nil do
    local closed = self:fault(what)
    if closed then
      return core.refused(nil, closed)
    end
    item = self:try_take()
    if item == nil then
      core.check_wait(c, name)
      local ok, said = true, nil
      if begin then
        ok, said = begin(owner)
      end
      if not ok then
        return core.refused(nil, failure.of(c, said, what))
      end
      item, err = wait(self, c, name)
    end
  end
  if type(item) == "table" and item.said then
    return nil, failure.of(c, item.said, what)
  end
  return item, err
end

--- Sees a handle that others closed, as uv.walk(close) does: nothing comes any more, and many of
--- luv's functions end the process when they are called for it.
function Inbox:check()
  if not self.closed and self._handle:is_closing() then
    self:close(failure.ROBBED)
  end
end

--- Why nothing can be done with the handle; nil while it is open. To be asked before each call into
--- luv.
---@param what string
---@return any err
function Inbox:fault(what)
  self:check()
  return self.closed and failure.closed(what, self.closed) or nil
end

--- Closes the handle, and wakes the waiters. Calling it again does nothing.
---@param why any  for failure.closed
function Inbox:close(why)
  if self.closed then
    return
  end
  host.close(self._handle) -- first: a close that had no memory for this can be repeated
  self.closed = why
  while self.count > 0 do
    self._drop(pop(self))
  end
  while call(self) do end
end

return inbox
