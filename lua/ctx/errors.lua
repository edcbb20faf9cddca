-- SPDX-License-Identifier: MIT
--- Error objects that wrap one another and are told apart by identity, never by their text.
---
--- The errors that an object wraps stand in its array part, in order; `_message` and the wrapped
--- errors, with `_separator` between them, make up its text. Nothing changes after creation.
local core = require "ctx.core"
local want = require "ctx.want"

-- One table per Lua state. A second instance of this module (busted loads one for each spec file)
-- must hand out the same sentinels and know the first one's errors.
local shared = core.shared("ctx.errors")

---@class ctx.errors
---@field canceled ctx.errors.Error    The sentinel that prints "context canceled".
---@field deadline_exceeded ctx.errors.Error  The sentinel that prints "context deadline exceeded".
local errors = {}

---@class ctx.errors.Error
---@field traceback? string  where it was made; only with `ctx.debug(true)`
--- Returns whether the error is `deadline_exceeded` or wraps it.
---@field timeout fun(self: ctx.errors.Error): boolean
--- Returns the same as `timeout`: another attempt may have more time.
---@field temporary fun(self: ctx.errors.Error): boolean
---@operator concat(any): string
local Error = shared.metatable or { __name = "ctx.errors.Error" }
shared.metatable = Error

--- The function `name` of the value's metatable. Raw, so that an index that invents fields on
--- demand is not taken for a class that answers.
local function metamethod(value, name)
  local metatable = getmetatable(value)
  local method = type(metatable) == "table" and rawget(metatable, name)
  return type(method) == "function" and method or nil
end

--- Finishes a new error object. `level` as for `error`: 3 is the caller of the public function.
local function make(object, level)
  if core.debugging() then
    object.traceback = core.traceback(nil, level)
  end
  return setmetatable(object, Error)
end

--- The list of what `err` wraps, with its length; nil if it wraps nothing. Classes other than ours
--- take part by a metamethod `unwrap(err)` that returns the wrapped errors; when it raises, there
--- are none.
local function wrapped_by(err)
  if getmetatable(err) == Error then
    return err, #err
  end
  local unwrap = metamethod(err, "unwrap")
  if unwrap then
    local list = table.pack(pcall(unwrap, err))
    if not list[1] then
      return {}, 0
    end
    return table.move(list, 2, list.n, 1, {}), list.n - 1
  end
end

--- The first of `err` and all that it wraps, depth first, that matches: true and the error.
--- A stack instead of recursion, since chains may be long; and each object is opened once, or a
--- join of joins of one error would take for ever.
local function search(err, matches, wanted)
  local pending, top, opened = { err }, 1, {}
  while top > 0 do
    local current = pending[top]
    top = top - 1
    if matches(current, wanted) then
      return true, current
    end
    local list, length = wrapped_by(current)
    if list and not opened[current] then
      opened[current] = true
      for i = length, 1, -1 do
        if list[i] ~= nil then
          top = top + 1
          pending[top] = list[i]
        end
      end
    end
  end
  return false
end

--- What a class raises when it is asked is no answer; it must not replace the error.
local function says(is, err, target)
  local ok, answer = pcall(is, err, target)
  return ok and answer
end

local function is_match(err, target)
  if rawequal(err, target) then
    return true
  end
  local of_err, of_target = metamethod(err, "is"), metamethod(target, "is")
  return of_err and says(of_err, err, target)
    or of_target and of_target ~= of_err and says(of_target, err, target)
end

local function has_metatable(err, metatable)
  return rawequal(getmetatable(err), metatable)
end

--- Makes an error that prints as `message`.
---@param message string
---@return ctx.errors.Error err
function errors.new(message)
  want.string(message, "new", 1, "message")
  local err = make({ _message = message }, 3)
  return err
end

--- Makes an error that prints as `message: err` and is whatever `err` is. Wrapping nil gives nil,
--- so that the result of a call can be passed on unseen.
---@param err any  an error object, or any other value that was raised or returned as an error
---@param message string
---@return ctx.errors.Error? wrapped
---@overload fun(err: nil, message: string): nil
function errors.wrap(err, message)
  want.string(message, "wrap", 2, "message")
  if err == nil then
    return nil
  end
  local wrapper = make({ err, _message = message, _separator = ": " }, 3)
  return wrapper
end

--- Makes one error of several: it prints each on a line of its own and is each of them. Nil
--- arguments are left out; when all are nil, so is the result.
---@param ... any
---@return ctx.errors.Error? joined
function errors.join(...)
  local joined, n = { _separator = "\n" }, 0
  for i = 1, select("#", ...) do
    local err = select(i, ...)
    if err ~= nil then
      n = n + 1
      joined[n] = err
    end
  end
  if n == 0 then
    return nil
  end
  joined = make(joined, 3)
  return joined
end

--- Returns whether `err`, or an error that it wraps, is `target`. That is the same object (of
--- strings, the same text), or one for which the metatable of either has a function `is(err,
--- target)` that says so. A nil `target` raises, since it is usually a misspelt sentinel.
---@param err any
---@param target any  not nil
---@return boolean is
function errors.is(err, target)
  want.argument(target ~= nil, "is", 2, "target", "an error", target)
  if err == nil then
    return false
  end
  return rawequal(err, target) or (search(err, is_match, target))
end

--- Returns the first of `err` and the errors that it wraps that has this metatable.
---@generic T : table
---@param err any
---@param metatable T
---@return T? found
function errors.as(err, metatable)
  want.table(metatable, "as", 2, "metatable")
  if err == nil then
    return nil
  end
  local _, found = search(err, has_metatable, metatable)
  return found
end

--- Returns what `err` wraps: one error, several of a join, or nil.
---@param err any
---@return any? ...
function errors.unwrap(err)
  local list, length = wrapped_by(err)
  if not list or length == 0 then
    return nil
  end
  return table.unpack(list, 1, length)
end

--- Internal: what a wait returns when its context ends. It is the sentinel and the cause too, so
--- that asking for either works; with no cause of its own, it is the sentinel itself.
---@package
---@param sentinel ctx.errors.Error
---@param cause any
---@return ctx.errors.Error
function errors.ended(sentinel, cause)
  if cause == nil or rawequal(cause, sentinel) then
    return sentinel
  end
  local err = make({ sentinel, cause, _separator = ": " }, 3)
  return err
end

-- What prints for `error(nil)`, and for `error()`.
local NOTHING = "an error without a value"

--- Internal: an error that a task raised, with the traceback of where it did. It prints as `err`,
--- and is `err`.
---@package
---@param err any
---@param traceback? string
---@return ctx.errors.Error
function errors.raised(err, traceback)
  local object = make({ err, _message = err == nil and NOTHING or nil, _separator = "" }, 3)
  object.traceback = traceback
  return object
end

-- -- User code ------------------------------------------------------------------------------------

--- What errors.call's message handler leaves for it. A class of its own: what was raised may be a
--- table, too, and Lua calls no handler when it is out of memory.
local Caught = {}

local function catch(err)
  return setmetatable({ err = err, trace = core.traceback(nil, 2) }, Caught)
end

local function settle(ok, ...)
  if ok then
    return true, ...
  end
  local caught = ...
  if getmetatable(caught) ~= Caught then -- no memory: for that, Lua calls no handler
    return false, caught, nil
  elseif caught.err == nil then
    return false, errors.raised(nil, caught.trace), caught.trace
  end
  return false, caught.err, caught.trace
end

--- Internal: the one place that runs a caller's function under a message handler.
---@package
---@param fn function
---@param ... any
---@return boolean ok
---@return any ...  what fn returned; or its error, never nil, and the traceback of where it was
---raised, which is nil when there was no memory for it
function errors.call(fn, ...)
  return settle(xpcall(fn, catch, ...))
end

--- Internal: the text of an error, also of one that cannot be printed.
---@package
---@param err any
---@return string
function errors.describe(err)
  local ok, text = pcall(tostring, err)
  return ok and text or "(an error object that cannot be printed)"
end

--- Internal: where a caller's function stands, "my.lua:5".
---@package
---@param fn any  a function, or an object that can be called
---@return string
function errors.place(fn)
  if type(fn) ~= "function" then
    local metatable = debug.getmetatable(fn)
    fn = type(metatable) == "table" and rawget(metatable, "__call")
  end
  local info = type(fn) == "function" and debug.getinfo(fn, "S")
  if not info or info.what == "C" then
    return "a function in C"
  end
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

--- The text of an error object. Objects of this class are taken apart on a stack; a __tostring that
--- called itself for each of a long chain would end in a C stack overflow.
local function text_of(err)
  local out, pending, top = {}, { err }, 1
  local function push(piece)
    top = top + 1
    pending[top] = piece
  end
  while top > 0 do
    local current = pending[top]
    top = top - 1
    if getmetatable(current) == Error then
      for i = #current, 1, -1 do
        push(current[i])
        if i > 1 or current._message then
          push(current._separator)
        end
      end
      if current._message then
        push(current._message)
      end
    else
      out[#out + 1] = errors.describe(current)
    end
  end
  return table.concat(out)
end

--- One side of a concatenation. A nil there is as much a mistake as in any other.
local function operand(value)
  if type(value) == "string" or type(value) == "number" or metamethod(value, "__tostring") then
    return tostring(value)
  end
  error(("attempt to concatenate a %s value with an error"):format(want.kind(value)), 3)
end

-- The functions of the first instance serve all: they touch nothing but `shared` and the object.
-- What the others look for is set last, so that a load that ran out of memory can be repeated.
if not shared.deadline_exceeded then
  Error.__tostring = text_of
  Error.__concat = function(left, right)
    local text = operand(left) .. operand(right)
    return text
  end
  --- Whether time ran out: true for `deadline_exceeded` and whatever wraps it.
  local function timeout(err)
    return errors.is(err, shared.deadline_exceeded)
  end
  -- As in Go, what ran out of time may fare better on another attempt, and nothing else.
  Error.__index = { timeout = timeout, temporary = timeout }
  shared.canceled = setmetatable({ _message = "context canceled" }, Error)
  shared.deadline_exceeded = setmetatable({ _message = "context deadline exceeded" }, Error)
end

errors.canceled = shared.canceled
errors.deadline_exceeded = shared.deadline_exceeded

core.sentinels(errors.canceled, errors.deadline_exceeded)
core.hook("foreign_cause", errors.new)
core.hook("ended", errors.ended)
core.hook("raised", errors.raised)

return errors
