-- SPDX-License-Identifier: MIT
--- Internal: `channel.select`, the wait for the first of several sends and receives. Of a channel
--- it knows its two lines, `_offer`, `_receive`, `_put_back` and `_closed`.
local core = require "ctx.core"
local errors = require "ctx.errors"
local line = require "ctx.line"
local want = require "ctx.want"

-- One per Lua state: tasks of several module instances may meet at one channel.
local shared = core.shared("ctx.channel")
shared.closed = shared.closed or errors.new("channel closed")
shared.CLOSED = shared.CLOSED or {}

local select = {
  CHANNEL = "ctx.channel.Channel", -- what the class of channels calls itself
  closed = shared.closed,  ---@type ctx.errors.Error
  CLOSED = shared.CLOSED,  -- what a close grants to those that wait; no value can be this
}

local SELECT, CLOSED = line.name("channel.select"), select.CLOSED

---@class ctx.channel.Case
---@field recv? ctx.channel.Channel|false  false: never ready
---@field send? ctx.channel.Channel|false
---@field value? any               what to send; not nil

---@class ctx.channel.Cases
---@field default? boolean  do not wait
---@field timeout? number   ms

local OPTIONS = { default = want.flag, timeout = want.ms }

--- Checks what is not a case, and raises at the line that called select; returns how many cases
--- there are. Not `#cases`, which may overlook one behind a hole: then one of so many is missing.
local function count_cases(cases)
  local n = 0
  for key, value in next, cases do
    if OPTIONS[key] then
      OPTIONS[key](value, "select", 2, key, 2)
    else
      want.argument(math.type(key) == "integer", "select", 2, "cases",
        "a list, 'default' and 'timeout'", key, 2)
      n = n + 1
    end
  end
  return n
end

--- An entry for a case; nil if it is switched off.
local function entry_of(case, index)
  want.argument(type(case) == "table" and (case.recv == nil) ~= (case.send == nil), "select", 2,
    ("case %d"):format(index), "{ recv = channel } or { send = channel, value = … }", case, 2)
  local to = case.recv
  if to == nil then
    to = case.send
  end
  if to == false then
    return nil
  end
  want.argument(want.kind(to) == select.CHANNEL, "select", 2, ("case %d"):format(index),
    "a channel, or false", to, 2)
  if case.recv ~= nil then
    return { channel = to, index = index, line = false }
  end
  want.argument(case.value ~= nil, "select", 2, ("case %d"):format(index),
    "a value to send, but not nil,", case.value, 2)
  return { channel = to, index = index, line = false, offer = case.value }
end

local function entries_of(cases)
  local entries = {}
  for index = 1, count_cases(cases) do
    entries[#entries + 1] = entry_of(rawget(cases, index), index)
  end
  return entries
end

-- Where a select begins to look. Of its own, so as not to disturb the program's math.random, and
-- the same in every run.
local state = 1

local function draw(n)
  state = (state * 0x5DEECE66D + 11) & 0xFFFFFFFFFFFF
  return (state >> 17) % n
end

--- The index of a case that is ready, and what it brings. Raises for a send on a closed channel.
local function try(entry, deeper)
  local of = entry.channel
  if entry.offer == nil then
    local value = of:_receive()
    if value ~= nil then
      return entry.index, value
    elseif of._closed then
      return entry.index, nil, select.closed
    end
  elseif of._closed then
    error(("channel.select: case %d sends on a closed channel"):format(entry.index), 4 + deeper)
  elseif of:_offer(entry.offer) then
    return entry.index
  end
end

--- The first that is ready, beginning anywhere: in the order of the list, the last could starve.
--- `deeper`: calls between this and the public function.
local function first_ready(entries, deeper)
  local n = #entries
  local start = n > 0 and draw(n) or 0
  for i = 0, n - 1 do
    local index, value, err = try(entries[(start + i) % n + 1], deeper)
    if index then
      return index, value, err
    end
  end
end

local function give_back(_, waiter)
  local entry = waiter.granted
  if entry.offer == nil then
    entry.channel:_put_back(waiter)
  end
end

--- Stands in all lines at once, until one brings something, or `limit` ends.
local function wait_for_any(c, limit, entries)
  local waiter <close> = line.waiter(limit, give_back, nil, entries)
  local index, value, closed = first_ready(entries, 1)
  if index then
    return index, value, closed
  end
  for _, entry in ipairs(entries) do
    waiter:join(entry.offer == nil and entry.channel._receivers or entry.channel._senders, entry)
  end
  local granted = waiter:wait(SELECT)
  local entry = waiter.granted
  local sent = granted and entry.offer ~= nil and not rawequal(waiter.value, CLOSED)
  local err = not sent and c:ended()
  if sent then
    return entry.index
  elseif err then
    return nil, err
  elseif not granted then
    return "timeout"
  elseif entry.offer ~= nil then
    error(("channel.select: case %d sends on a channel that was closed meanwhile")
      :format(entry.index), 3)
  end
  waiter.granted = false
  if rawequal(waiter.value, CLOSED) then
    return try(entry, 1) -- a value may have come back meanwhile
  end
  return entry.index, waiter.value
end

--- Waits until one of several sends and receives can happen, and does that one. The cases are a
--- list of `{ recv = channel }` and `{ send = channel, value = … }`; a `false` channel is never
--- ready. Of several that are ready any may be chosen, at random. With `default = true` it does not
--- wait, with `timeout = ms` only for so long.  Returns the index of the case, and what was
--- received (nil and `channel.closed` from a closed one); "default" or "timeout"; or nil and an
--- error, when c has ended, which comes before everything else. The cases that lost leave nothing
--- behind.
---@async
---@param c ctx.Context
---@param cases ctx.channel.Cases|ctx.channel.Case[]
---@return integer|"default"|"timeout"|nil index
---@return any value  what was received; or the error
---@return ctx.errors.Error? closed
function select.select(c, cases)
  want.context(c, "select")
  want.table(cases, "select", 2, "cases")
  local entries = entries_of(cases)
  local err = c:ended()
  if err ~= nil then
    return nil, err
  end
  local index, value, closed = first_ready(entries, 0)
  if closed then
    return core.refused(index, value, closed)
  elseif index then
    return index, value, closed
  elseif rawget(cases, "default") then
    return "default"
  elseif not rawget(cases, "timeout") then
    index, value, closed = wait_for_any(c, c, entries)
    return index, value, closed
  end
  local limit, stop <close> = core.with_timeout(c, rawget(cases, "timeout"))
  index, value, closed = wait_for_any(c, limit, entries)
  return index, value, closed
end

return select
