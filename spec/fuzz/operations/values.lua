-- SPDX-License-Identifier: MIT
--- ctx.channel, ctx.errors, ctx.retry. What is sent over a channel comes once.
local channel = require "ctx.channel"
local ctx = require "ctx"
local errors = require "ctx.errors"
local retry = require "ctx.retry"

local operations, classes = {}, {}

-- -- Channels -------------------------------------------------------------------------------------

local function make(play)
  return play:keep("ctx.channel.Channel", channel.new(play.random(4) - 1))
end

classes["ctx.channel.Channel"] = { make = make }

--- A value that is told from all others.
local function parcel(play)
  local one = { "parcel" }
  play.parcels = play.parcels or setmetatable({}, { __mode = "k" })
  play.parcels[one] = "under way"
  return one
end

local function arrived(play, value)
  if type(value) == "table" and play.parcels and play.parcels[value] then
    play:claim(play.parcels[value] == "under way", "a value came twice")
    play.parcels[value] = "here"
  end
end

operations["ctx.channel.new"] = make

operations["ctx.channel.Channel:send"] = function(play)
  play:outcome("send", play:one("ctx.channel.Channel"):send(play:brief(), parcel(play)))
end

operations["ctx.channel.Channel:recv"] = function(play)
  arrived(play, play:outcome("recv", play:one("ctx.channel.Channel"):recv(play:brief())))
end

operations["ctx.channel.Channel:try_send"] = function(play)
  play:one("ctx.channel.Channel"):try_send(parcel(play))
end

operations["ctx.channel.Channel:try_recv"] = function(play)
  arrived(play, (play:one("ctx.channel.Channel"):try_recv()))
end

operations["ctx.channel.Channel:iter"] = function(play)
  for value in play:one("ctx.channel.Channel"):iter(play:brief()) do
    arrived(play, value)
  end
end

operations["ctx.channel.Channel:close"] = function(play)
  play:one("ctx.channel.Channel"):close()
end

operations["ctx.channel.Channel:is_closed"] = function(play)
  local ch = play:one("ctx.channel.Channel")
  play:claim(type(ch:is_closed()) == "boolean", "is_closed() is no boolean")
end

operations["ctx.channel.Channel:len"] = function(play)
  local count, capacity = play:one("ctx.channel.Channel"):len()
  play:claim(count >= 0 and count <= capacity, "%d values of %d", count, capacity)
end

operations["ctx.channel.select"] = function(play)
  local cases = {}
  for i = 1, play.random(4) do
    local ch = play:one("ctx.channel.Channel")
    cases[i] = play:pick { { recv = ch }, { send = ch, value = parcel(play) }, { recv = false } }
  end
  cases.default = play:chance(4) or nil
  cases.timeout = play:chance(3) and play.random(5) or nil
  local which, got = channel.select(play:brief(), cases)
  play:claim(which ~= nil or got ~= nil, "select returned nothing")
  if cases[which] and cases[which].recv then
    arrived(play, got)
  end
end

-- -- Errors ---------------------------------------------------------------------------------------

local function new_error(play)
  return play:keep("ctx.errors.Error", errors.new(play:pick { "an error", "", "a\nb" }))
end

local function any_error(play)
  return play:chance(2) and play:one("ctx.errors.Error") or play:strange_error()
end

classes["ctx.errors.Error"] = { make = new_error }

operations["ctx.errors.new"] = new_error

operations["ctx.errors.wrap"] = function(play)
  local err = errors.wrap(any_error(play), "about it")
  play:keep("ctx.errors.Error", err)
  play.text(err)
end

operations["ctx.errors.join"] = function(play)
  play:keep("ctx.errors.Error", errors.join(any_error(play), nil, any_error(play)))
end

operations["ctx.errors.is"] = function(play)
  local err = any_error(play)
  local wrapped = errors.wrap(err, "w")
  play:claim(errors.is(wrapped, wrapped), "an error is not itself")
  errors.is(wrapped, any_error(play) or 1)
end

operations["ctx.errors.as"] = function(play)
  errors.as(any_error(play), getmetatable(ctx.canceled))
end

operations["ctx.errors.unwrap"] = function(play)
  errors.unwrap(any_error(play))
end

operations["ctx.errors.Error:timeout"] = function(play)
  play:one("ctx.errors.Error"):timeout()
  play:claim(ctx.deadline_exceeded:timeout() and not ctx.canceled:timeout(), "a wrong timeout()")
end

operations["ctx.errors.Error:temporary"] = function(play)
  play:one("ctx.errors.Error"):temporary()
end

-- -- Attempts -------------------------------------------------------------------------------------

operations["ctx.retry.call"] = function(play)
  local fails = play:chance(2)
  retry.call(play:brief(), {
    attempts = play.random(3), backoff = play:chance(2) and play.random(3) or play:callback(1),
    timeout = play:chance(3) and play.random(9) or nil, jitter = play:chance(2),
    retryable = play:chance(2) and play:callback(true) or nil,
    on_retry = play:chance(2) and play:callback() or nil,
  }, fails and play:callback(nil, "an error") or play:callback(1), play:value())
end

operations["ctx.retry.permanent"] = function(play)
  local marked = retry.permanent(any_error(play))
  retry.call(play:brief(), { attempts = 2 }, function() return nil, marked end)
end

return { operations = operations, classes = classes }
