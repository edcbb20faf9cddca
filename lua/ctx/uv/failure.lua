-- SPDX-License-Identifier: MIT
--- What the operating system says, as error objects: recognised by their code, not their text.
---
--- `failure.codes.ECONNREFUSED` is a sentinel; `errors.is(err, failure.codes.ECONNREFUSED)` holds
--- for every failure with that code. Kept in C's registry, like all sentinels: a second instance of
--- this module must know the first one's errors.
local core = require "ctx.core"
local errors = require "ctx.errors"
local texts = require "ctx.uv.codes"
local want = require "ctx.want"

local shared = core.shared("ctx.uv.failure")

local failure = {}

---@class ctx.uv.Error
---@field code string    libuv's name of the error, or ECLOSED or EOF
---@field text string    what the code means, with the details that came along
---@field what? string   the operation that failed; nil in a sentinel
---@field [integer] any  the errors that it sums up
---@field timeout fun(self: ctx.uv.Error): boolean    Returns whether the code is ETIMEDOUT.
---@field temporary fun(self: ctx.uv.Error): boolean  Returns whether another attempt may succeed.
local Error = shared.metatable or { __name = "ctx.uv.Error" }
shared.metatable = Error

if not shared.codes then
  Error.__tostring = function(err)
    local text = err.code .. ": " .. err.text
    return err.what and err.what .. ": " .. text or text
  end
  Error.__concat = function(left, right)
    return tostring(left) .. tostring(right)
  end
  -- Sentinels are those without an operation: two failures of one code are not each other.
  Error.is = function(err, target)
    return getmetatable(err) == Error and getmetatable(target) == Error
      and target.what == nil and err.code == target.code
  end
  Error.unwrap = function(err)
    return table.unpack(err)
  end
  local AGAIN = { EAGAIN = true, EAI_AGAIN = true, ETIMEDOUT = true, ECONNRESET = true,
    ECONNREFUSED = true, ECONNABORTED = true, EMFILE = true, ENFILE = true, ENOBUFS = true,
    EPIPE = true, EBUSY = true, EINTR = true }
  Error.__index = {
    timeout = function(err)
      return err.code == "ETIMEDOUT"
    end,
    temporary = function(err)
      return AGAIN[err.code] or false
    end,
  }
  local codes = {}
  for code, text in pairs(texts) do
    codes[code] = setmetatable({ code = code, text = text }, Error)
  end
  --- The cause of a wait that ends since nothing moved for too long.
  shared.idle = errors.new("no progress within the idle time")
  shared.codes = codes
end

failure.codes = shared.codes ---@type table<string, ctx.uv.Error>
failure.idle = shared.idle ---@type ctx.errors.Error
failure.Error = Error

--- The failure of the operation `what`. Further arguments are errors that it sums up.
---@param code string
---@param what string
---@param text? string  by default what the code means
---@return ctx.uv.Error
function failure.new(code, what, text, ...)
  return setmetatable({ code = code, what = what, text = text or texts[code] or code, ... }, Error)
end

-- Three spellings of one fact: of streams, of files (with the path), and of the resolver.
local CANCELED = { ECANCELED = true, EAI_CANCELED = true }

--- An error for what luv said in its words: a bare code from a callback, `CODE: text` from a call.
--- When the context is behind it, then it is the context's error.
---@param c ctx.Context?
---@param said string
---@param what string
---@return any err
function failure.of(c, said, what)
  local code, text = said:match("^[%u%d_]+$"), nil
  if not code then
    code, text = said:match("^([%u%d_]+): (.+)")
  end
  if CANCELED[code] then
    if c and c:err() then
      return c:ended()
    end
    return failure.new("ECANCELED", what)
  end
  -- An error that libuv has no code for has none of its words either.
  return failure.new(code or "UNKNOWN", what, code and text or not code and said or nil)
end

--- Why something is closed whose handle of luv's others closed, as uv.walk(close) does.
failure.ROBBED = "luv's handle was closed"

-- A context is for a close that waits.
local WHY = want.rule("an error object or a string", function(why)
  local kind = type(why)
  return kind == "string" or (kind == "table" or kind == "userdata") and core.kind(why) == nil
end, "why")

--- The rule for all that is closed at once, by `close([why])`: checks what that was given, and
--- returns what failure.closed takes.
---@param why any
---@return any reason
function failure.reason(why)
  local reason = why == nil and "by its owner" or WHY(why, "close", 1, nil, 1)
  return reason
end

--- The error of an operation on something that was closed on this side: the error object that its
--- close was given, or one of code ECLOSED, which the text explains.
---@param what string
---@param reason any
---@return any err
function failure.closed(what, reason)
  if type(reason) ~= "string" then
    return reason
  end
  return failure.new("ECLOSED", what, texts.ECLOSED .. ": " .. reason)
end

return failure
