-- SPDX-License-Identifier: MIT
--- What a handle brings by itself, datagrams or changes, kept in order until somebody asks. The
--- handle keeps luv's loop alive only while somebody waits.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local gate = require "ctx.uv.gate"
local host = require "ctx.uv.host"

--- The base of what has one.
---@class ctx.uv.Inbox
---@field _handle userdata
---@field _queue table[]      what has come; with `said`, an error in luv's words
---@field _gate ctx.uv.Gate   opens when something has
---@field _closed any?
local Inbox = {}

local inbox = { methods = Inbox }

---@param handle userdata
---@param metatable table  its index has the methods of this module
function inbox.new(handle, metatable)
  handle:unref()
  return setmetatable({ _handle = handle, _queue = {}, _gate = gate.new() }, metatable)
end

local function wait(self, c)
  local handle = self._handle
  handle:ref()
  local ok, err = self._gate:wait(c)
  if #self._gate == 0 and not handle:is_closing() then
    handle:unref()
  end
  return ok, err
end

--- Takes the next that has come, or will.
---@async
---@param c ctx.Context
---@param what string                           for the errors
---@param begin? fun(self): any, string?  called before a wait; answers as luv does
---@return table|nil item
---@return any? err
function Inbox:_take(c, what, begin)
  if c:err() then
    return nil, failure.ended(c)
  end
  while not self._closed do
    local item = table.remove(self._queue, 1)
    if item and item.said then
      return nil, failure.of(c, item.said, what)
    elseif item then
      return item
    end
    core.check_wait(c, what)
    local ok, err = true, nil
    if begin then
      ok, err = begin(self)
    end
    if not ok then
      return nil, failure.of(c, err, what)
    end
    ok, err = wait(self, c)
    if not ok then
      return nil, err
    end
  end
  return nil, failure.closed(what, self._closed)
end

--- Closes it; whoever waits is woken with an error of code ECLOSED. Again: nothing.
function Inbox:close()
  if not self._closed then
    self._closed = "by its owner"
    self._queue = {}
    host.close(self._handle)
    self._gate:open()
  end
end

return inbox
