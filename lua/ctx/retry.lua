-- SPDX-License-Identifier: MIT
--- Repeats calls that may succeed the next time, within the budget of a context.
---
---     local page, err = retry.call(c, { attempts = 3, timeout = 200 }, fetch, url)
---
--- The end of the context comes first: then no attempt and no sleep begins. No sleep begins that
--- would outlast the deadline.
local core = require "ctx.core"
local errors = require "ctx.errors"
local report = require "ctx.report"
local want = require "ctx.want"

---@class ctx.retry
--- The class of errors that tell why there were no more attempts, for `errors.as`.
---@field Stopped table
local retry = {}

-- -- Errors --------------------------------------------------------------------------------------

-- One per Lua state: what one instance of this module marks as permanent, another one understands.
local shared = core.shared("ctx.retry")

---@class ctx.retry.Stopped
---@field attempts integer  that were made
---@field reason "attempts"|"budget"|"done"
---@field last any          the error of the last of them
---@field delay number?     ms to the next one, that were too many for the budget
---@field ended any?        the error of the context
local Stopped = shared.stopped or { __name = "ctx.retry.Stopped" }
---@class ctx.retry.Permanent
---@field err any
local Permanent = shared.permanent or { __name = "ctx.retry.Permanent" }
shared.stopped, shared.permanent = Stopped, Permanent

retry.Stopped = Stopped

function Stopped.unwrap(err)
  if err.ended == nil then
    return err.last
  end
  return err.ended, err.last
end

function Stopped.__tostring(err)
  local last = errors.describe(err.last)
  local attempts = err.attempts == 1 and "1 attempt" or err.attempts .. " attempts"
  if err.reason == "done" then
    local ended = err.ended and errors.describe(err.ended) .. ": " or ""
    return ("%sstopped after %s: %s"):format(ended, attempts, last)
  elseif err.reason == "budget" then
    return ("gave up after %s, the next, in %.0f ms, being past the deadline: %s")
      :format(attempts, err.delay, last)
  end
  return ("gave up after %s: %s"):format(attempts, last)
end

function Permanent.unwrap(err)
  return err.err
end

function Permanent.__tostring(err)
  return errors.describe(err.err)
end

--- Marks an error as permanent: `retry.call` returns it as it was, at once.
---@param err any
---@return any marked
function retry.permanent(err)
  want.argument(err ~= nil, "permanent", 1, "err", "an error", err)
  return setmetatable({ err = err }, Permanent)
end

--- The error to return at once, if another attempt will not help.
local function final(options, err)
  if getmetatable(err) == Permanent then
    return err.err
  elseif errors.as(err, Permanent) or options.retryable and not options.retryable(err) then
    return err
  end
end

-- -- Options -------------------------------------------------------------------------------------

---@class ctx.retry.Options
---@field attempts? number       at most; 3 by default, math.huge: until the context ends
---@field timeout? number        ms for each attempt; none by default
---@field backoff? number|fun(attempt: integer, err: any): number
---                              ms before the second attempt, 100 by default; or what says the ms
---@field factor? number         by which they grow, 2 by default
---@field max_backoff? number    ms at most, 30 000 by default
---@field jitter? boolean        by default, sleeps any part of that
---@field random? fun(): number  from 0 to 1, math.random by default
---@field retryable? fun(err: any): boolean
---@field on_retry? fun(attempt: integer, err: any, delay: number)

local OPTIONS = {
  attempts = want.either("a whole number of 1 or more, or math.huge,", want.count,
    want.one_of(math.huge)),
  timeout = want.positive_ms,
  backoff = want.either("a time in ms, 0 or more, or a function", want.duration, want.fn),
  factor = want.number(1),
  max_backoff = want.duration,
  jitter = want.flag,
  random = want.fn,
  retryable = want.fn,
  on_retry = want.fn,
}

--- Delays that grew beyond all bounds; infinity times a random 0 would be no number.
local LONGEST = 2 ^ 42

--- Calls a function of the options that answers a question. What it raises goes through, and a
--- wrong answer raises at the line that called retry.call, which called what called this.
local function ask(options, name, rule, expected, ...)
  local answer = options[name](...)
  if not rule[2](answer) then
    error(("retry.call: options.%s returned no %s: %s")
      :format(name, expected, errors.describe(answer)), 5)
  end
  return answer
end

local PART = want.number(0, 1)

--- The ms before the attempt after this one.
local function delay_after(options, attempt, err)
  local backoff = options.backoff or 100
  if type(backoff) ~= "number" then
    local delay = ask(options, "backoff", want.duration, "time in ms", attempt, err)
    return math.min(delay, LONGEST)
  end
  local grown = backoff == 0 and 0 or backoff * (options.factor or 2) ^ (attempt - 1)
  local delay = math.min(grown, options.max_backoff or 30000, LONGEST)
  if options.jitter == false then
    return delay
  end
  -- All of it is left to chance: calls that failed together should not come back together.
  local part = options.random and ask(options, "random", PART, "number from 0 to 1")
    or math.random()
  return delay * part
end

-- -- The call ------------------------------------------------------------------------------------

local function attempt_once(c, options, fn, ...)
  if not options.timeout then
    return table.pack(fn(c, ...))
  end
  local limited, cancel <close> = core.with_timeout(c, options.timeout)
  return table.pack(fn(limited, ...))
end

local function stopped_by(c, attempts, last)
  -- Most often the attempt has failed for the same reason: that need not be said twice.
  local ended = not errors.is(last, c:err()) and c:ended() or nil
  return setmetatable({ reason = "done", attempts = attempts, last = last, ended = ended }, Stopped)
end

--- What ends the attempts after this one; nil if there will be another, after `delay`.
local function reason_to_stop(c, options, attempt, err)
  if c:done() then
    return stopped_by(c, attempt, err)
  end
  local permanent = final(options, err)
  if permanent ~= nil then
    return permanent
  elseif attempt >= (options.attempts or 3) then
    return setmetatable({ reason = "attempts", attempts = attempt, last = err }, Stopped)
  end
  local delay = delay_after(options, attempt, err)
  if delay >= c:remaining() then
    return setmetatable({ reason = "budget", attempts = attempt, last = err, delay = delay },
      Stopped)
  end
  return nil, delay
end

--- Calls fn(c, …) until it succeeds. It has failed when it returns nil or false and an error; an
--- error that it raises is no outcome, and goes through. With `timeout`, each attempt gets a
--- context of its own, which ends with the attempt.
---
--- Returns what fn returned; or nil and an error, which is the last one, and tells why there were
--- no more attempts; or nil and a permanent error.
---@async
---@param c ctx.Context
---@param options ctx.retry.Options?
---@param fn fun(c: ctx.Context, ...): ...
---@param ... any
---@return any ...  what fn returned; or nil and an error
function retry.call(c, options, fn, ...)
  want.context(c, "call")
  options = want.options(options, "call", 2, OPTIONS)
  want.fn(fn, "call", 3)
  core.check_wait(c, "retry.call")
  local err = c:ended()
  local attempt = 0
  while err == nil do
    attempt = attempt + 1
    local results = attempt_once(c, options, fn, ...)
    if results[1] or results[2] == nil then
      return table.unpack(results, 1, results.n)
    end
    local delay
    err, delay = reason_to_stop(c, options, attempt, results[2])
    if err == nil then
      if options.on_retry then
        report.guard("retry", "on_retry", options.on_retry, attempt, results[2], delay)
      end
      if not core.sleep(c, delay) then -- also when its time came first, and the end after it
        err = stopped_by(c, attempt, results[2])
      end
    end
  end
  return nil, err
end

return retry
