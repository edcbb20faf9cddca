-- SPDX-License-Identifier: MIT
---@meta ctx.errors

---Errors as objects: they wrap one another and are recognised by identity.
---@class ctx.errors
---@field canceled ctx.Error           prints "context canceled"
---@field deadline_exceeded ctx.Error  prints "context deadline exceeded"
local errors = {}

---@class ctx.Error
---@field traceback? string  the stack at its creation; nil unless `ctx.debug(true)` was on
---@field timeout fun(self: ctx.Error): boolean    is it `deadline_exceeded`, or does it wrap it?
---@field temporary fun(self: ctx.Error): boolean  the same answer
---@operator concat(any): string

---@param message string
---@return ctx.Error
function errors.new(message) end

---Prints as `message: err`. Nil stays nil.
---@param err any
---@param message string
---@return ctx.Error?
---@overload fun(err: nil, message: string): nil
function errors.wrap(err, message) end

---Prints each argument on a line of its own; nil arguments are left out. Nil if all are nil.
---@param ... any
---@return ctx.Error?
function errors.join(...) end

---@param err any     nil is never anything
---@param target any  not nil
---@return boolean
function errors.is(err, target) end

---@generic T : table
---@param err any
---@param metatable T
---@return T?
function errors.as(err, metatable) end

---What `err` wraps: nothing, one error, or several.
---@param err any
---@return any? ...
function errors.unwrap(err) end

---For the library's own waits.
---@package
---@param sentinel ctx.Error
---@param cause any
---@return ctx.Error
function errors.ended(sentinel, cause) end

---For the library's own tasks.
---@package
---@param err any
---@param traceback? string
---@return ctx.Error
function errors.raised(err, traceback) end

---For the library's own use: runs a caller's function under a message handler.
---@package
---@param fn function
---@param ... any
---@return boolean ok
---@return any ...  the results; or the error (never nil) and its traceback, if any
function errors.call(fn, ...) end

---For the library's own use: the text of an error, also of one that cannot be printed.
---@package
---@param err any
---@return string
function errors.describe(err) end

---For the library's own use: where a caller's function stands, "my.lua:5".
---@package
---@param fn any
---@return string
function errors.place(fn) end

return errors
