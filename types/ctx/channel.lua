-- SPDX-License-Identifier: MIT
---@meta ctx.channel

---Values from task to task; any but nil.
---@class ctx.channel
---@field closed ctx.Error  what recv returns when there will be no more
local channel = {}

---@class ctx.Channel
local Channel = {}

---@class ctx.channel.Case
---@field recv? ctx.Channel|false  false: never ready
---@field send? ctx.Channel|false
---@field value? any               what to send

---@class ctx.channel.Cases
---@field [integer] ctx.channel.Case
---@field default? boolean  do not wait
---@field timeout? number   ms

---@param capacity? integer  values that it buffers; 0 by default
---@return ctx.Channel
function channel.new(capacity) end

---Waits until one of the cases can go on. The index, and what was received; "default"; "timeout";
---nil and an error, when c has ended, which comes before everything else.
---@async
---@param c ctx.Context
---@param cases ctx.channel.Cases
---@return integer|"default"|"timeout"|nil which
---@return any got            what was received, or the error
---@return ctx.Error? closed  `channel.closed`, from a channel that is
function channel.select(c, cases) end

---Raises when the channel is closed.
---@async
---@param c ctx.Context
---@param value any  not nil
---@return true? ok
---@return any? err  when c ended first
function Channel:send(c, value) end

---@async
---@param c ctx.Context
---@return any value
---@return any? err  `channel.closed`, or when c ended first
function Channel:recv(c) end

---Raises when the channel is closed.
---@param value any  not nil
---@return boolean sent
function Channel:try_send(value) end

---@return any value        nil: none now
---@return ctx.Error? err   `channel.closed`
function Channel:try_recv() end

---For loops, until the channel is closed and empty or c ends.
---@param c ctx.Context
---@return fun(): any
function Channel:iter(c) end

---Raises when it is closed already.
function Channel:close() end

---@return boolean
function Channel:is_closed() end

---@return integer count  values in the buffer
---@return integer capacity
function Channel:len() end

return channel
