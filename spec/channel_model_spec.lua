-- SPDX-License-Identifier: MIT
-- Random sends, receives, selects, cancels and closes on a few channels, against a model that is as
-- plain as can be: one list of all who wait, searched from its beginning.
local channel = require "ctx.channel"
local ctx = require "ctx"
local errors = require "ctx.errors"
local randoms = require "spec.support.random"
local testing = require "ctx.testing"

local CHANNELS, CONTEXTS, STEPS = 3, 4, 80
local CLOSED = {}

-- -- The model ------------------------------------------------------------------------------------

local Model = {}
Model.__index = Model

local function new_model(capacities)
  local channels = {}
  for i, capacity in ipairs(capacities) do
    channels[i] = { capacity = capacity, buffer = {} }
  end
  return setmetatable({
    channels = channels, waiting = {}, handed = {}, ended = {}, results = {},
    count = 0, order = {}, -- of the values that were handed to receivers
  }, Model)
end

--- Takes the first who waits to do `op` at channel `ch` out of the list, and hands over `value`.
function Model:hand_over(ch, op, value)
  for i, waiter in ipairs(self.waiting) do
    for index, case in ipairs(waiter.cases) do
      if case.ch == ch and case.op == op and not self.ended[waiter.which] then
        table.remove(self.waiting, i)
        waiter.index, waiter.case, waiter.got = index, case, value
        if op == "recv" and value ~= CLOSED then
          self.count = self.count + 1
          self.order[value] = self.order[value] or self.count
        end
        self.handed[#self.handed + 1] = waiter
        return case
      end
    end
  end
end

function Model:offer(ch, value)
  local of = self.channels[ch]
  if self:hand_over(ch, "recv", value) then
    return true
  elseif #of.buffer < of.capacity then
    table.insert(of.buffer, value)
    return true
  end
  return false
end

function Model:receive(ch)
  local of = self.channels[ch]
  if #of.buffer == 0 then
    local case = self:hand_over(ch, "send")
    return case and case.value
  end
  local value = table.remove(of.buffer, 1)
  local case = #of.buffer < of.capacity and self:hand_over(ch, "send")
  if case then
    table.insert(of.buffer, case.value)
  end
  return value
end

function Model:close(ch)
  self.channels[ch].closed = true
  while self:hand_over(ch, "recv", CLOSED) do end
  while self:hand_over(ch, "send", CLOSED) do end
end

--- Back to the front, but behind what was handed over before it.
function Model:put_back(ch, value)
  local buffer, place = self.channels[ch].buffer, 1
  while buffer[place] and (self.order[buffer[place]] or math.huge) < self.order[value] do
    place = place + 1
  end
  table.insert(buffer, place, value)
end

--- What becomes of one that was handed something, when it runs on.
function Model:outcome(waiter)
  local case, value = waiter.case, waiter.got
  local ended = self.ended[waiter.which]
  if case.op == "send" and value ~= CLOSED then
    return waiter.index .. " sent"
  elseif not ended then
    if value == CLOSED and case.op == "send" then
      return "raised"
    end
    return waiter.index .. " " .. (value ~= CLOSED and value or self:receive(case.ch) or "closed")
  elseif value ~= CLOSED and not self:hand_over(case.ch, "recv", value) then
    self:put_back(case.ch, value)
  end
  return "ended"
end

--- Everybody who can run on does.
function Model:settle()
  while #self.handed > 0 do
    local waiter = table.remove(self.handed, 1)
    self.results[waiter.id] = self:outcome(waiter)
  end
  for i = #self.waiting, 1, -1 do
    local waiter = self.waiting[i]
    if self.ended[waiter.which] then
      table.remove(self.waiting, i)
      self.results[waiter.id] = "ended"
    end
  end
end

function Model:is_ready(case)
  local of = self.channels[case.ch]
  local other = case.op == "recv" and "send" or "recv"
  for _, waiter in ipairs(self.waiting) do
    for _, theirs in ipairs(waiter.cases) do
      if theirs.ch == case.ch and theirs.op == other then
        return true
      end
    end
  end
  return case.op == "recv" and (#of.buffer > 0 or of.closed)
    or case.op == "send" and #of.buffer < of.capacity
end

--- A wait with one case or two begins. False, and nothing happens, if chance would decide.
function Model:begin(waiter)
  local ready
  for index, case in ipairs(waiter.cases) do
    if case.op == "send" and self.channels[case.ch].closed then
      return false
    elseif self:is_ready(case) then
      if ready then
        return false
      end
      ready = index
    end
  end
  if self.ended[waiter.which] then
    self.results[waiter.id] = "ended"
  elseif not ready then
    table.insert(self.waiting, waiter)
  else
    local case = waiter.cases[ready]
    local value = case.op == "recv" and (self:receive(case.ch) or "closed")
    if case.op == "send" then
      self:offer(case.ch, case.value)
    end
    self.results[waiter.id] = ready .. " " .. (value or "sent")
  end
  return true
end

-- -- The real ones --------------------------------------------------------------------------------

local function told(index, value, err)
  if errors.is(err, channel.closed) then
    return index .. " closed"
  elseif not index then
    return "ended"
  end
  return index .. " " .. (value or "sent")
end

--- A wait for the cases of `waiter`: by send or recv if it is one, else by select.
local function wait(channels, c, waiter)
  local cases = waiter.cases
  local first = cases[1]
  if #cases == 2 then
    local list = {}
    for i, case in ipairs(cases) do
      list[i] = { [case.op] = channels[case.ch], value = case.value }
    end
    return told(channel.select(c, list))
  elseif first.op == "send" then
    return told(channels[first.ch]:send(c, first.value) and 1)
  end
  local value, err = channels[first.ch]:recv(c)
  return told((value or err == channel.closed) and 1, value, err)
end

--- What a run does at random, with the real channels and the model's.
local Run = {}
Run.__index = Run

local function new_run(root, next_random)
  local capacities, channels, contexts, cancels = {}, {}, {}, {}
  for i = 1, CHANNELS do
    capacities[i] = next_random(3) - 1
    channels[i] = channel.new(capacities[i])
  end
  for i = 1, CONTEXTS do
    contexts[i], cancels[i] = ctx.with_cancel(root)
  end
  return setmetatable({
    root = root, random = next_random, channels = channels, contexts = contexts, cancels = cancels,
    model = new_model(capacities), results = {}, values = 0,
  }, Run)
end

function Run:settle()
  ctx.sleep(self.root, 1)
  self.model:settle()
  assert.same(self.model.results, self.results)
  for i, of in ipairs(self.model.channels) do
    assert.equal(#of.buffer, (self.channels[i]:len()))
  end
end

function Run:value()
  self.values = self.values + 1
  return "v" .. self.values
end

function Run:begin(step)
  self:settle()
  local waiter = { id = "op " .. step, which = self.random(CONTEXTS), cases = {} }
  for i = 1, self.random(2) do
    local op = self.random(2) == 1 and "send" or "recv"
    waiter.cases[i] =
      { ch = self.random(CHANNELS), op = op, value = op == "send" and self:value() or nil }
  end
  if self.model:begin(waiter) then
    ctx.go(function()
      local ok, result = pcall(wait, self.channels, self.contexts[waiter.which], waiter)
      self.results[waiter.id] = ok and result or "raised"
    end)
    self:settle()
  end
end

function Run:cancel()
  local which = self.random(CONTEXTS)
  self.cancels[which]()
  self.model.ended[which] = true
  if self.random(2) == 1 then
    self:settle()
    self.contexts[which], self.cancels[which] = ctx.with_cancel(self.root)
    self.model.ended[which] = nil
  end
end

function Run:step(step)
  local action, ch = self.random(12), self.random(CHANNELS)
  local is_open = not self.model.channels[ch].closed
  if action <= 4 then
    self:begin(step)
  elseif action <= 7 and is_open then
    local value = self:value()
    assert.equal(self.model:offer(ch, value), self.channels[ch]:try_send(value))
  elseif action <= 10 then
    assert.equal(self.model:receive(ch), (self.channels[ch]:try_recv()))
  elseif action == 11 then
    self:cancel()
  elseif is_open and self.random(8) == 1 then
    self.channels[ch]:close()
    self.model:close(ch)
  end
end

describe("random traffic through channels is what a list would make of it,", function()
  for i = 1, 100 do
    local seed = 7000 + i
    it("seed " .. seed, function()
      testing.run(function(root)
        local run = new_run(root, randoms(seed))
        for step = 1, STEPS do
          run:step(step)
        end
        for which = 1, CONTEXTS do
          run.cancels[which]()
          run.model.ended[which] = true
        end
        run:settle()
      end)
    end)
  end
end)
